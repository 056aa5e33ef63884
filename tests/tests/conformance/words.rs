//! The words of a line, and what both directions agree on: names of their own for each script, and short forms of
//! long texts.

use std::borrow::Cow;

/// The words of one line: plain ones in order, `key=value` ones by key.
pub(crate) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    pub(crate) fn all(&self) -> &[&'a str] {
        &self.0
    }

    /// The word at `index`.
    pub(crate) fn at(&self, index: usize) -> Result<&'a str, String> {
        self.0.get(index).copied().ok_or_else(|| format!("word {index} is missing"))
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }

    /// All values of a key, in order.
    pub(crate) fn values<'w>(&'w self, key: &'w str) -> impl Iterator<Item = &'a str> + 'w {
        self.0.iter().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.values(key).next()
    }

    /// A number by key.
    pub(crate) fn number<N: TryFrom<u32>>(&self, key: &str) -> Result<Option<N>, String> {
        self.value(key).map(number).transpose()
    }
}

/// A number, decimal or hexadecimal.
pub(crate) fn number<N: TryFrom<u32>>(word: &str) -> Result<N, String> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    let number = parsed.ok().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| format!("{word:?} is not a number that fits"))
}

/// Writes out `200*x` at the end of a word.
pub(crate) fn written_out(word: &str) -> Cow<'_, str> {
    let Some((front, last)) = word.rsplit_once('*') else { return word.into() };
    let digits = front.len() - front.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (start, count) = front.split_at(front.len() - digits);
    match count.parse() {
        Ok(count) => format!("{start}{}", last.repeat(count)).into(),
        Err(_) => word.into(),
    }
}

/// Texts whose end is one character again and again are shortened from this length.
const LONG: usize = 40;

/// The opposite of [`written_out`]. Spaces become underscores, so that a word stays one.
pub(crate) fn shortened(text: &str) -> String {
    let text = text.replace(' ', "_");
    let Some(last) = text.chars().next_back() else { return "-".to_owned() };
    let start = text.trim_end_matches(last);
    let count = text[start.len()..].chars().count();
    if count < LONG { text } else { format!("{start}{count}*{last}") }
}

/// What sets the names of one script apart from those of others that run beside it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope(String);

impl Scope {
    /// Without a prefix names stay as they are.
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// A topic is moved below the level of the script.
    pub(crate) fn topic(&self, word: &str) -> String {
        let word = written_out(word);
        if self.0.is_empty() { word.into_owned() } else { format!("{}/{word}", self.0) }
    }

    /// A filter as a topic; in a shared one the group is the script's, too.
    pub(crate) fn filter(&self, word: &str) -> String {
        match word.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((group, filter)) => format!("$share/{}{group}/{}", self.0, self.topic(filter)),
            None => self.topic(word),
        }
    }

    pub(crate) fn client_id(&self, word: &str) -> String {
        if word.is_empty() { String::new() } else { format!("{}{}", self.0, written_out(word)) }
    }

    /// A topic that the server sent, as the script knows it.
    pub(crate) fn seen<'a>(&self, topic: &'a str) -> &'a str {
        let inside = topic.strip_prefix(self.0.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if self.0.is_empty() { topic } else { inside.unwrap_or(topic) }
    }
}

#[test]
fn names_are_moved_and_seen_where_the_script_wrote_them() {
    let scope = Scope::new("s7");
    assert_eq!(scope.topic("/a"), "s7//a");
    assert_eq!(scope.filter("$share/g/#"), "$share/s7g/s7/#");
    assert_eq!(scope.client_id("alice"), "s7alice");
    assert_eq!(scope.seen("s7//a"), "/a");
    assert_eq!(Scope::default().filter("$share/g/#"), "$share/g/#");
    assert_eq!(Scope::default().seen("a/b"), "a/b");
}

#[test]
fn long_texts_have_a_short_form() {
    assert_eq!(written_out("t/50*x"), format!("t/{}", "x".repeat(50)));
    assert_eq!(shortened(&written_out("t/50*x")), "t/50*x");
    assert_eq!(written_out("a*b"), "a*b");
    assert_eq!(shortened("a b"), "a_b");
}

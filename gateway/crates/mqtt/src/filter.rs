//! Topic filters (4.7, 4.8.2): what a subscription asks for. A value of these types has been checked.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::TopicError;
use crate::limits::STRING_MAX;
use crate::topic::{TopicName, level_count, levels};

/// What a shared subscription starts with (4.8.2).
const SHARE_PREFIX: &str = "$share/";

/// A topic filter: levels of text, `+` for one level, `#` for all that follow, perhaps shared by a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `filter`. What starts with `$share/` is a shared subscription in both versions.
    ///
    /// # Errors
    /// A [`TopicError`] that names the rule of section 4.7 or 4.8.2 which `filter` breaks.
    pub fn new(filter: &'a str) -> Result<Self, TopicError> {
        if filter.is_empty() {
            return Err(TopicError::Empty);
        }
        if filter.len() > STRING_MAX {
            return Err(TopicError::TooLong { len: filter.len() });
        }
        if filter.as_bytes().contains(&0) {
            return Err(TopicError::NulCharacter);
        }
        check_levels(matcher_of(filter)?)?;
        Ok(Self(filter))
    }

    /// A filter whose characters have passed [`TopicFilter::new`] before.
    pub(crate) fn checked_before(filter: &'a str) -> Self {
        Self(filter)
    }

    /// The whole filter, `$share/group/` included.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The group that shares the subscription, where it is shared (4.8.2).
    pub fn share_group(self) -> Option<&'a str> {
        let (group, _) = self.0.strip_prefix(SHARE_PREFIX)?.split_once('/')?;
        Some(group)
    }

    /// The filter that topics are matched with: without `$share/group/`.
    pub fn matcher(self) -> &'a str {
        matcher_of(self.0).unwrap_or(self.0)
    }

    /// Levels of [`matcher`](Self::matcher), 1 or more: `$share/group/` does not count.
    pub fn level_count(self) -> usize {
        level_count(self.matcher())
    }

    /// Whether more than one topic can match.
    pub fn has_wildcards(self) -> bool {
        self.matcher().contains(['+', '#'])
    }

    /// Whether a message published to `topic` is for this filter.
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        let filter = self.matcher();
        if topic.is_hidden() && starts_with_wildcard(filter) {
            return false;
        }
        let mut names = levels(topic.as_str());
        for level in levels(filter) {
            match (level, names.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Whether every topic that `other` matches is matched by this filter too. Groups play no part.
    pub fn covers(self, other: TopicFilter<'_>) -> bool {
        let (wide, narrow) = (self.matcher(), other.matcher());
        if narrow.starts_with('$') && starts_with_wildcard(wide) {
            return false;
        }
        // "#" takes in the level above it, but above these two is the empty topic, which nobody publishes to.
        let mut narrow = levels(match narrow {
            "#" => "+/#",
            "/#" => "/+/#",
            other => other,
        });
        for level in levels(wide) {
            match (level, narrow.next()) {
                ("#", _) => return true,
                (_, Some("#")) => return false,
                ("+", Some(_)) => {}
                (level, Some(other)) if level == other => {}
                _ => return false,
            }
        }
        narrow.next().is_none()
    }

    /// A copy that lives on its own.
    pub fn to_owned(self) -> TopicFilterBuf {
        TopicFilterBuf(Arc::from(self.0))
    }
}

/// The part of `filter` that topics are matched with.
fn matcher_of(filter: &str) -> Result<&str, TopicError> {
    let Some(shared) = filter.strip_prefix(SHARE_PREFIX) else {
        return Ok(filter);
    };
    let (group, matcher) = shared.split_once('/').ok_or(TopicError::ShareWithoutFilter)?;
    if group.is_empty() || group.contains(['+', '#']) {
        return Err(TopicError::ShareGroup);
    }
    if matcher.is_empty() {
        return Err(TopicError::ShareWithoutFilter);
    }
    Ok(matcher)
}

fn check_levels(matcher: &str) -> Result<(), TopicError> {
    let mut levels = levels(matcher).peekable();
    while let Some(level) = levels.next() {
        match level {
            "+" => {}
            "#" if levels.peek().is_none() => {}
            level if level.contains('#') => return Err(TopicError::MisplacedHash),
            level if level.contains('+') => return Err(TopicError::MisplacedPlus),
            _ => {}
        }
    }
    Ok(())
}

fn starts_with_wildcard(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

/// A topic filter that owns its characters; a clone shares them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilterBuf(Arc<str>);

impl TopicFilterBuf {
    /// Checks `filter` and copies it.
    ///
    /// # Errors
    /// A [`TopicError`] that names the rule of section 4.7 or 4.8.2 which `filter` breaks.
    pub fn new(filter: &str) -> Result<Self, TopicError> {
        TopicFilter::new(filter).map(TopicFilter::to_owned)
    }

    /// The borrowed form.
    pub fn as_filter(&self) -> TopicFilter<'_> {
        TopicFilter(&self.0)
    }

    /// The whole filter, `$share/group/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TopicFilter<'_>> for TopicFilterBuf {
    fn from(filter: TopicFilter<'_>) -> Self {
        filter.to_owned()
    }
}

impl Deref for TopicFilter<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        self.0
    }
}

impl Deref for TopicFilterBuf {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicFilterBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicFilterBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for TopicFilterBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter<'_> {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn filters_that_are_not() {
        for (text, error) in [
            ("", TopicError::Empty),
            ("a\0", TopicError::NulCharacter),
            ("sport/tennis#", TopicError::MisplacedHash),
            ("sport/tennis/#/ranking", TopicError::MisplacedHash),
            ("#/", TopicError::MisplacedHash),
            ("+#", TopicError::MisplacedHash),
            ("sport+", TopicError::MisplacedPlus),
            ("++", TopicError::MisplacedPlus),
            ("$share//a", TopicError::ShareGroup),
            ("$share/+/a", TopicError::ShareGroup),
            ("$share/g", TopicError::ShareWithoutFilter),
            ("$share/g/", TopicError::ShareWithoutFilter),
            ("$share/g/a#", TopicError::MisplacedHash),
        ] {
            assert_eq!(TopicFilter::new(text), Err(error), "{text:?}");
        }
        let long = "x".repeat(STRING_MAX + 1);
        assert_eq!(TopicFilter::new(&long), Err(TopicError::TooLong { len: 65_536 }));
    }

    #[test]
    fn shared_filters_are_split() {
        let shared = filter("$share/consumers/a/+/#");
        assert_eq!(shared.share_group(), Some("consumers"));
        assert_eq!(shared.matcher(), "a/+/#");
        assert!(shared.has_wildcards());
        assert_eq!((shared.level_count(), filter("a/+/#").level_count()), (3, 3));
        let rooted = filter("$share/g//a");
        assert_eq!((rooted.share_group(), rooted.matcher()), (Some("g"), "/a"));
        let plain = filter("$shared/g/a");
        assert_eq!((plain.share_group(), plain.matcher()), (None, "$shared/g/a"));
    }

    /// The examples of sections 4.7.1.2, 4.7.1.3 and 4.7.2, and their borders.
    const MATCHES: [(&str, &str, bool); 22] = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("#", "a/b/c", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/b", "a/b", true),
        ("a/b", "A/b", false),
        ("a/b", "a/b/", false),
        ("+/#", "a", true),
        ("$share/g/a/#", "a", true),
    ];

    #[test]
    fn topics_match_as_the_specification_says() {
        for (wanted, topic, expected) in MATCHES {
            let topic = TopicName::new(topic).unwrap();
            assert_eq!(filter(wanted).matches(topic), expected, "{wanted} on {topic}");
        }
    }

    /// Compares `covers` with what it means, over every filter of up to three levels of a small alphabet.
    #[test]
    fn covers_is_inclusion_of_the_topics_matched() {
        let (mut names, mut filters) = (Vec::new(), Vec::new());
        let grow = |alphabet: &[&str], out: &mut Vec<String>, depth: usize| {
            let mut last = vec![String::new()];
            for level in 0..depth {
                let slash = if level == 0 { "" } else { "/" };
                last = last
                    .iter()
                    .flat_map(|head| {
                        alphabet.iter().map(move |next| format!("{head}{slash}{next}"))
                    })
                    .collect();
                out.extend(last.iter().cloned());
            }
        };
        grow(&["a", "b", "z", "", "$s", "$z"], &mut names, 4);
        grow(&["a", "b", "", "$s", "+", "#"], &mut filters, 3);
        let filters =
            filters.iter().filter_map(|text| TopicFilter::new(text).ok()).collect::<Vec<_>>();
        let names = names.iter().filter_map(|text| TopicName::new(text).ok()).collect::<Vec<_>>();
        let matched = filters
            .iter()
            .map(|filter| names.iter().map(|name| filter.matches(*name)).collect::<Vec<_>>())
            .collect::<Vec<_>>();
        for (wide, wide_matches) in filters.iter().zip(&matched) {
            for (narrow, narrow_matches) in filters.iter().zip(&matched) {
                let included = narrow_matches.iter().zip(wide_matches).all(|(n, w)| !n || *w);
                assert_eq!(wide.covers(*narrow), included, "{wide} covers {narrow}");
            }
        }
    }
}

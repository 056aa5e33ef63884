//! Topic names (4.7): what a message is published to. A value of these types has been checked.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::TopicError;
use crate::limits::STRING_MAX;

/// A topic name: one character or more, no wildcard, no U+0000, at most 65535 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `topic`.
    ///
    /// # Errors
    /// A [`TopicError`] that names the rule of section 4.7 which `topic` breaks.
    #[inline]
    pub fn new(topic: &'a str) -> Result<Self, TopicError> {
        if has_forbidden(topic.as_bytes()) || topic.is_empty() || topic.len() > STRING_MAX {
            return Err(Self::refuse(topic));
        }
        Ok(Self(topic))
    }

    /// The name as a string.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the name starts with `$`, and so is hidden from a filter that starts with a wildcard (4.7.2).
    pub fn is_hidden(self) -> bool {
        self.0.starts_with('$')
    }

    /// Levels, 1 or more.
    pub fn level_count(self) -> usize {
        level_count(self.0)
    }

    /// A copy that lives on its own.
    pub fn to_owned(self) -> TopicNameBuf {
        TopicNameBuf(Arc::from(self.0))
    }

    #[cold]
    fn refuse(topic: &str) -> TopicError {
        if topic.is_empty() {
            TopicError::Empty
        } else if topic.len() > STRING_MAX {
            TopicError::TooLong { len: topic.len() }
        } else if topic.as_bytes().contains(&0) {
            TopicError::NulCharacter
        } else {
            TopicError::WildcardInName
        }
    }
}

/// Whether U+0000, `+` or `#` is among `bytes`. Eight at a time: topics are short and each PUBLISH has one.
#[inline]
fn has_forbidden(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const PLUS: u64 = u64::from_ne_bytes([b'+'; 8]);
    // "+" and "#" differ in this bit alone.
    const BETWEEN: u64 = u64::from_ne_bytes([b'+' ^ b'#'; 8]);
    // Not 0 when a byte is 0: only there does the subtraction set a high bit that was not set.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let found = |word: u64| zeros(word) | zeros((word | BETWEEN) ^ PLUS);
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'));
    };
    let (words, _) = bytes.as_chunks::<8>();
    // The last eight bytes overlap the words before them rather than being taken one by one.
    let last = found(u64::from_ne_bytes(*last));
    words.iter().fold(last, |bad, word| bad | found(u64::from_ne_bytes(*word))) != 0
}

/// The levels of a topic name or filter: what stands between the slashes, empty levels included (4.7.1.1).
pub fn levels(topic: &str) -> std::str::Split<'_, char> {
    topic.split('/')
}

/// How many [`levels`] there are, 1 or more.
pub(crate) fn level_count(topic: &str) -> usize {
    1 + topic.bytes().filter(|byte| *byte == b'/').count()
}

/// A topic name that owns its characters; a clone shares them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNameBuf(Arc<str>);

impl TopicNameBuf {
    /// Checks `topic` and copies it.
    ///
    /// # Errors
    /// A [`TopicError`] that names the rule of section 4.7 which `topic` breaks.
    pub fn new(topic: &str) -> Result<Self, TopicError> {
        TopicName::new(topic).map(TopicName::to_owned)
    }

    /// The borrowed form.
    pub fn as_topic(&self) -> TopicName<'_> {
        TopicName(&self.0)
    }

    /// The name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TopicName<'_>> for TopicNameBuf {
    fn from(topic: TopicName<'_>) -> Self {
        topic.to_owned()
    }
}

impl Deref for TopicName<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        self.0
    }
}

impl Deref for TopicNameBuf {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicNameBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicNameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for TopicNameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_names() {
        for name in ["a", "/", "a/b/c", "//", "$SYS/uptime", " ", "ACCOUNTS/é/温度", "a b"] {
            assert_eq!(TopicName::new(name).map(TopicName::as_str), Ok(name));
            assert_eq!(TopicNameBuf::new(name).unwrap().as_topic().as_str(), name);
        }
        assert!(TopicName::new(&"x".repeat(STRING_MAX)).is_ok());
    }

    #[test]
    fn names_that_are_not() {
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert_eq!(TopicName::new("a/+"), Err(TopicError::WildcardInName));
        assert_eq!(TopicName::new("a#"), Err(TopicError::WildcardInName));
        assert_eq!(TopicName::new("a\0b"), Err(TopicError::NulCharacter));
        let long = "x".repeat(STRING_MAX + 1);
        assert_eq!(TopicName::new(&long), Err(TopicError::TooLong { len: 65_536 }));
    }

    #[test]
    fn a_forbidden_byte_is_found_wherever_it_stands_and_no_other_is() {
        for len in 1..40 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'x'; len];
                    bytes[at] = byte;
                    let expected = matches!(byte, 0 | b'+' | b'#');
                    assert_eq!(has_forbidden(&bytes), expected, "{byte:#04x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn levels_keep_the_empty_ones() {
        assert_eq!(levels("/a//b/").collect::<Vec<_>>(), ["", "a", "", "b", ""]);
        for topic in ["a", "/", "/a//b/"] {
            let name = TopicName::new(topic).unwrap();
            assert_eq!(name.level_count(), levels(topic).count(), "{topic}");
        }
    }
}

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
        // No early exit: without one the compiler tests sixteen bytes at a time.
        let suspect = topic
            .as_bytes()
            .iter()
            .fold(false, |found, &byte| found | matches!(byte, 0 | b'+' | b'#'));
        if suspect || topic.is_empty() || topic.len() > STRING_MAX {
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

/// The levels of a topic name or filter: what stands between the slashes, empty levels included (4.7.1.1).
pub fn levels(topic: &str) -> std::str::Split<'_, char> {
    topic.split('/')
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
    fn levels_keep_the_empty_ones() {
        assert_eq!(levels("/a//b/").collect::<Vec<_>>(), ["", "a", "", "b", ""]);
    }
}

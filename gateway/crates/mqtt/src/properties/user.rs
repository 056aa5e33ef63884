use std::fmt;

use super::{Checked, PropertyId};
use crate::error::EncodeError;
use crate::sink::Sink;

/// The user properties of a packet, names and values in their order (3.1.2.11.8); a name may come twice.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    section: &'a [u8],
}

impl<'a> UserProperties<'a> {
    /// Those of a section that was checked.
    pub(crate) fn of(section: &'a [u8]) -> Self {
        Self { section }
    }

    /// Names and values.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Checked::new(self.section)
            .filter(|(id, ..)| *id == PropertyId::UserProperty)
            .filter_map(|(_, mut value, _)| Some((value.utf8("").ok()?, value.utf8("").ok()?)))
    }

    /// How many there are.
    pub fn count(self) -> usize {
        Checked::new(self.section).filter(|(id, ..)| *id == PropertyId::UserProperty).count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn write(self, sink: &mut impl Sink) {
        Checked::new(self.section)
            .filter(|(id, ..)| *id == PropertyId::UserProperty)
            .for_each(|(.., wire)| sink.put(wire));
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// User properties to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPropertiesBuf(Vec<u8>);

impl UserPropertiesBuf {
    /// Adds one at the end.
    ///
    /// # Errors
    /// [`EncodeError`] when name or value is longer than 65535 bytes or contains U+0000.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let before = self.0.len();
        self.0.put(&[PropertyId::UserProperty as u8]);
        let written = self
            .0
            .string("user property name", name)
            .and_then(|()| self.0.string("user property value", value));
        if written.is_err() {
            self.0.truncate(before);
        }
        written
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> UserProperties<'_> {
        UserProperties::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repeated_names_are_kept() {
        let mut user = UserPropertiesBuf::default();
        for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
            user.push(name, value).unwrap();
        }
        assert!(user.push("nul", "\0").is_err());
        assert_eq!(user.as_ref().iter().collect::<Vec<_>>(), [("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!((user.as_ref().count(), UserProperties::default().count()), (3, 0));
    }
}

use std::fmt;

use super::{Checked, PropertyId};
use crate::error::EncodeError;
use crate::limits::VARINT_MAX;
use crate::sink::Sink;

/// The subscription identifiers of a PUBLISH from a server (3.3.2.3.8), one for each subscription that it is for.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIds<'a> {
    section: &'a [u8],
}

impl<'a> SubscriptionIds<'a> {
    pub(crate) fn of(section: &'a [u8]) -> Self {
        Self { section }
    }

    /// The identifiers, 1 to 268435455.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        Checked::new(self.section)
            .filter(|(id, ..)| *id == PropertyId::SubscriptionIdentifier)
            .filter_map(|(_, mut value, _)| value.varint("").ok())
    }

    /// Whether there is no section to search, which is the common case of there being none.
    #[inline]
    pub(crate) fn has_no_bytes(self) -> bool {
        self.section.is_empty()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn write(self, sink: &mut impl Sink) {
        Checked::new(self.section)
            .filter(|(id, ..)| *id == PropertyId::SubscriptionIdentifier)
            .for_each(|(.., wire)| sink.put(wire));
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Subscription identifiers to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionIdsBuf(Vec<u8>);

impl SubscriptionIdsBuf {
    /// Adds one at the end.
    ///
    /// # Errors
    /// [`EncodeError::Value`] unless it is 1 to 268435455.
    pub fn push(&mut self, id: u32) -> Result<(), EncodeError> {
        if id == 0 || id > VARINT_MAX {
            let rule = "it must be 1 to 268435455";
            return Err(EncodeError::Value { field: "subscription identifier", value: id, rule });
        }
        self.0.put(&[PropertyId::SubscriptionIdentifier as u8]);
        self.0.varint(id);
        Ok(())
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> SubscriptionIds<'_> {
        SubscriptionIds::of(&self.0)
    }
}

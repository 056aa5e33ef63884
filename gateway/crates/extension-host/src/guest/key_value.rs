//! `portcullis:host/key-value`

use super::Guest;
use crate::bindings::portcullis::host::key_value::{self, StoreError};
use crate::facilities::{
    KeyValueChange, KeyValueChanged, KeyValueFault, MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_VALUE_BYTES,
};

impl key_value::Host for Guest {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        let facility = self.services.facilities.key_value.as_ref()?;
        facility.get(&key).map(|value| value.to_vec())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.change(KeyValueChange::Set { key, value }).map(drop)
    }

    fn delete(&mut self, key: String) -> Result<bool, StoreError> {
        self.change(KeyValueChange::Delete { key }).map(|changed| changed == KeyValueChanged::Done)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        self.change(KeyValueChange::CompareAndSet { key, expected, value })
            .map(|changed| changed == KeyValueChanged::Done)
    }

    fn increment(&mut self, key: String, delta: i64) -> Result<i64, StoreError> {
        match self.change(KeyValueChange::Increment { key, delta })? {
            KeyValueChanged::Number(sum) => Ok(sum),
            other => {
                Err(StoreError::Unavailable(format!("the store answered {other:?}, not a number")))
            }
        }
    }

    fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> key_value::KeyPage {
        let limit = usize::try_from(limit).unwrap_or(MAX_PAGE_KEYS).min(MAX_PAGE_KEYS);
        let (keys, more) = match &self.services.facilities.key_value {
            Some(facility) => facility.keys(&prefix, after.as_deref(), limit),
            None => (Vec::new(), false),
        };
        key_value::KeyPage { keys, more }
    }
}

impl Guest {
    /// Makes a change that is within the contract; a guest that only watches is told what would come of it.
    fn change(&mut self, change: KeyValueChange) -> Result<KeyValueChanged, StoreError> {
        check(&change).map_err(StoreError::Invalid)?;
        let Some(facility) = &self.services.facilities.key_value else {
            return Err(StoreError::Unavailable("nothing can be kept".into()));
        };
        let made = if self.is_rehearsal() {
            change.rehearse(facility.get(change.key()).as_deref())
        } else {
            facility.change(change, self.clock.may_wait())
        };
        made.map_err(|fault| match fault {
            KeyValueFault::Invalid(why) => StoreError::Invalid(why),
            KeyValueFault::Quota(why) => StoreError::QuotaExceeded(why),
            KeyValueFault::Unavailable(why) => StoreError::Unavailable(why),
        })
    }
}

fn check(change: &KeyValueChange) -> Result<(), String> {
    let bytes = change.key().len();
    if bytes == 0 || bytes > MAX_KEY_BYTES {
        return Err(format!("a key of {bytes} bytes; it must have 1 to {MAX_KEY_BYTES}"));
    }
    match change.value().map_or(0, <[u8]>::len) {
        0..=MAX_VALUE_BYTES => Ok(()),
        bytes => Err(format!("a value of {bytes} bytes; at most {MAX_VALUE_BYTES} are kept")),
    }
}

//! `portcullis:host/key-value`

use serde_json::json;

use super::{Guest, Services};
use crate::bindings::portcullis::host::key_value::{self, StoreError};
use crate::facilities::{
    KeyValueChange, KeyValueChanged, KeyValueFault, MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_VALUE_BYTES,
};
use crate::tape::{COMPARE_AND_SET, DELETE, GET, INCREMENT, LIST_KEYS, SET, bytes};

impl key_value::Host for Guest {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        let arguments = self.is_taped().then(|| json!([key]));
        let get = |guest: &mut Self| {
            let Services { facilities, counters, .. } = &*guest.services;
            let facility = facilities.key_value.as_ref()?;
            counters.key_value_reads.count();
            let value = facility.get(&key)?;
            counters.key_value_bytes_read.add(value.len() as u64);
            Some(value.to_vec())
        };
        self.outside(&GET, arguments, get, |_| None)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        let arguments = self.is_taped().then(|| json!([key, bytes(&value)]));
        let change = KeyValueChange::Set { key, value };
        self.outside(&SET, arguments, |guest| guest.change(change).map(drop), unavailable)
    }

    fn delete(&mut self, key: String) -> Result<bool, StoreError> {
        let arguments = self.is_taped().then(|| json!([key]));
        let change = KeyValueChange::Delete { key };
        self.outside(&DELETE, arguments, |guest| guest.change(change).map(is_done), unavailable)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let arguments = self
            .is_taped()
            .then(|| json!([key, expected.as_deref().map(bytes), value.as_deref().map(bytes)]));
        let change = KeyValueChange::CompareAndSet { key, expected, value };
        let make = |guest: &mut Self| guest.change(change).map(is_done);
        self.outside(&COMPARE_AND_SET, arguments, make, unavailable)
    }

    fn increment(&mut self, key: String, delta: i64) -> Result<i64, StoreError> {
        let arguments = self.is_taped().then(|| json!([key, delta]));
        let change = KeyValueChange::Increment { key, delta };
        let make = |guest: &mut Self| match guest.change(change)? {
            KeyValueChanged::Number(sum) => Ok(sum),
            other => unavailable(format!("the store answered {other:?}, not a number")),
        };
        self.outside(&INCREMENT, arguments, make, unavailable)
    }

    fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> key_value::KeyPage {
        let arguments = self.is_taped().then(|| json!([prefix, after, limit]));
        let list = |guest: &mut Self| {
            let limit = usize::try_from(limit).unwrap_or(MAX_PAGE_KEYS).min(MAX_PAGE_KEYS);
            guest.services.counters.key_value_reads.count();
            let (keys, more) = match &guest.services.facilities.key_value {
                Some(facility) => facility.keys(&prefix, after.as_deref(), limit),
                None => (Vec::new(), false),
            };
            key_value::KeyPage { keys, more }
        };
        let none = |_| key_value::KeyPage { keys: Vec::new(), more: false };
        self.outside(&LIST_KEYS, arguments, list, none)
    }
}

fn is_done(changed: KeyValueChanged) -> bool {
    changed == KeyValueChanged::Done
}

fn unavailable<T>(why: String) -> Result<T, StoreError> {
    Err(StoreError::Unavailable(why))
}

impl Guest {
    /// Makes a change that is within the contract, and counts it; a guest that only watches is told what would come of it.
    fn change(&self, change: KeyValueChange) -> Result<KeyValueChanged, StoreError> {
        let counters = &self.services.counters;
        let bytes = change.value().map_or(0, <[u8]>::len) as u64;
        let made = self.make(change);
        match &made {
            _ if self.is_rehearsal() => {}
            Ok(KeyValueChanged::Unchanged) => {}
            Ok(KeyValueChanged::Done | KeyValueChanged::Number(_)) => {
                counters.key_value_writes.count();
                counters.key_value_bytes_written.add(bytes);
            }
            Err(_) => counters.key_value_failures.count(),
        }
        made
    }

    fn make(&self, change: KeyValueChange) -> Result<KeyValueChanged, StoreError> {
        check(&change).map_err(StoreError::Invalid)?;
        let Some(facility) = &self.services.facilities.key_value else {
            return Err(StoreError::Unavailable("nothing can be kept".into()));
        };
        let made = if self.is_rehearsal() {
            change.judge(facility.get(change.key()).as_deref()).map(|(changed, _)| changed)
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

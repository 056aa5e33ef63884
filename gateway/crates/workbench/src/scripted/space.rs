//! A store in memory, with the quota of the grant.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::KeyValueGrant;
use extension_host::{KeyValue, KeyValueChange, KeyValueChanged, KeyValueFault};

use super::{Values, lock};

#[derive(Debug)]
pub(super) struct Space {
    grant: KeyValueGrant,
    values: Mutex<Values>,
}

impl Space {
    pub(super) fn new(grant: KeyValueGrant, values: Values) -> Self {
        Self { grant, values: Mutex::new(values) }
    }

    pub(super) fn put(&self, values: &BTreeMap<String, Vec<u8>>) {
        lock(&self.values).extend(values.clone());
    }

    pub(super) fn value(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.values).get(key).cloned()
    }
}

impl KeyValue for Space {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.value(key).map(Into::into)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
        let values = lock(&self.values);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let keys = values.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        let mut keys = keys.take_while(|key| key.starts_with(prefix));
        let page: Vec<String> = keys.by_ref().take(limit).cloned().collect();
        (page, keys.next().is_some())
    }

    fn change(
        &self,
        change: KeyValueChange,
        _: Duration,
    ) -> Result<KeyValueChanged, KeyValueFault> {
        let mut values = lock(&self.values);
        let key = change.key();
        let (answer, after) = change.judge(values.get(key).map(Vec::as_slice))?;
        let Some(after) = after else { return Ok(answer) };
        let weight = |value: &Vec<u8>| key.len() + value.len();
        let bytes_before: usize = values.iter().map(|(key, value)| key.len() + value.len()).sum();
        let freed = values.get(key).map_or(0, weight);
        let bytes = bytes_before - freed + after.as_ref().map_or(0, weight);
        let keys = values.len() + usize::from(after.is_some()) - usize::from(freed > 0);
        let (most_keys, most_bytes) = (self.grant.max_keys, self.grant.max_bytes);
        if keys > most_keys as usize && keys > values.len() {
            let why = format!("there are {most_keys} keys, as many as are granted");
            return Err(KeyValueFault::Quota(why));
        }
        if bytes as u64 > most_bytes && bytes > bytes_before {
            let why = format!("there would be {bytes} bytes, and {most_bytes} are granted");
            return Err(KeyValueFault::Quota(why));
        }
        match after {
            Some(value) => values.insert(key.to_owned(), value),
            None => values.remove(key),
        };
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_holds_and_pages_are_in_order() {
        let space = Space::new(KeyValueGrant { max_keys: 3, max_bytes: 12 }, BTreeMap::new());
        let set = |key: &str, value: &str| {
            let change = KeyValueChange::Set { key: key.into(), value: value.into() };
            space.change(change, Duration::ZERO)
        };
        for key in ["a/1", "a/2", "b"] {
            assert_eq!(set(key, ""), Ok(KeyValueChanged::Done));
        }
        assert!(matches!(set("c", ""), Err(KeyValueFault::Quota(_))));
        assert!(matches!(set("a/1", "123456"), Err(KeyValueFault::Quota(_))), "13 bytes");
        assert_eq!(set("a/1", "12345"), Ok(KeyValueChanged::Done));
        assert_eq!(space.keys("a/", None, 1), (vec!["a/1".to_owned()], true));
        assert_eq!(space.keys("a/", Some("a/1"), 9), (vec!["a/2".to_owned()], false));
        let delete = KeyValueChange::Delete { key: "a/1".into() };
        assert_eq!(space.change(delete, Duration::ZERO), Ok(KeyValueChanged::Done));
        let add = KeyValueChange::Increment { key: "n".into(), delta: 3 };
        assert_eq!(space.change(add, Duration::ZERO), Ok(KeyValueChanged::Number(3)));
        assert_eq!(space.value("n").as_deref(), Some(&b"3"[..]));
    }
}

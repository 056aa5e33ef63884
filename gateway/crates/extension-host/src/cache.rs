//! What an extension remembers and could lose.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Bytes that an entry costs besides its key and value.
const ENTRY_BYTES: usize = 96;
/// The part of the limit that one value may take.
const SHARE_OF_ONE: usize = 8;

/// Values with an end of their time, least recently used out first when there is no room.
#[derive(Debug)]
pub(crate) struct Cache {
    limit_bytes: usize,
    bytes: usize,
    entries: HashMap<String, Entry>,
    /// Keys by when they were used last.
    used: BTreeMap<u64, String>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    /// On the monotonic clock.
    until: Duration,
    used: u64,
}

#[derive(Debug)]
enum Value {
    Bytes(Vec<u8>),
    Number(i64, Vec<u8>),
}

impl Value {
    fn number(number: i64) -> Self {
        Self::Number(number, number.to_string().into_bytes())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) | Self::Number(_, bytes) => bytes,
        }
    }
}

impl Cache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, entries: HashMap::new(), used: BTreeMap::new(), clock: 0 }
    }

    /// The value of a key whose time is not over. A number reads as its decimal digits.
    pub(crate) fn get(&mut self, key: &str, now: Duration) -> Option<&[u8]> {
        if self.entries.get(key)?.until <= now {
            self.remove(key);
            return None;
        }
        self.touch(key);
        self.entries.get(key).map(|entry| entry.value.bytes())
    }

    pub(crate) fn put(&mut self, key: String, value: Vec<u8>, until: Duration) {
        self.remove(&key);
        self.insert(key, Value::Bytes(value), until);
    }

    /// Adds to a number, which is 0 and lasts until `until` if there is none.
    pub(crate) fn increment(
        &mut self,
        key: String,
        delta: i64,
        now: Duration,
        until: Duration,
    ) -> i64 {
        let (before, until) = match self.entries.get(&key) {
            Some(Entry { value: Value::Number(number, _), until, .. }) if *until > now => {
                (*number, *until)
            }
            _ => (0, until),
        };
        let after = before.saturating_add(delta);
        self.remove(&key);
        self.insert(key, Value::number(after), until);
        after
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.used.remove(&entry.used);
            self.bytes -= cost(key, &entry.value);
        }
    }

    fn insert(&mut self, key: String, value: Value, until: Duration) {
        let cost = cost(&key, &value);
        if cost > self.limit_bytes / SHARE_OF_ONE {
            return;
        }
        while self.bytes + cost > self.limit_bytes {
            let Some((_, oldest)) = self.used.pop_first() else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.bytes += cost;
        self.used.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { value, until, used: self.clock });
    }

    fn touch(&mut self, key: &str) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key)
            && let Some(key) = self.used.remove(&entry.used)
        {
            entry.used = self.clock;
            self.used.insert(self.clock, key);
        }
    }
}

fn cost(key: &str, value: &Value) -> usize {
    2 * key.len() + value.bytes().len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_value_lasts_until_its_time_is_over() {
        let mut cache = Cache::new(1 << 16);
        cache.put("k".into(), b"v".to_vec(), 2 * S);
        assert_eq!(cache.get("k", S), Some(&b"v"[..]));
        assert_eq!(cache.get("k", 2 * S), None);
        assert_eq!((cache.bytes, cache.used.len()), (0, 0));
    }

    #[test]
    fn the_least_recently_used_makes_room_and_bytes_stay_below_the_limit() {
        let mut cache = Cache::new(4096);
        for n in 0..100 {
            cache.put(format!("{n}"), vec![0; 100], S);
            assert!(cache.get("0", Duration::ZERO).is_some(), "used all the time");
            assert!(cache.bytes <= 4096);
        }
        assert!(cache.get("1", Duration::ZERO).is_none());
        assert!(cache.get("99", Duration::ZERO).is_some());
        assert_eq!(cache.entries.len(), cache.used.len());
        let bytes: usize = cache.entries.iter().map(|(k, e)| cost(k, &e.value)).sum();
        assert_eq!(bytes, cache.bytes);
        cache.put("99".into(), vec![0; 4096 / 8], S);
        assert!(cache.get("99", Duration::ZERO).is_none(), "too large, and the old one is gone");
    }

    #[test]
    fn a_number_keeps_the_end_that_it_began_with() {
        let mut cache = Cache::new(4096);
        assert_eq!(cache.increment("n".into(), 1, Duration::ZERO, 2 * S), 1);
        assert_eq!(cache.increment("n".into(), 4, S, 9 * S), 5);
        assert_eq!(cache.get("n", S), Some(&b"5"[..]));
        assert_eq!(cache.increment("n".into(), -1, 2 * S, 4 * S), -1, "a new window");
        assert_eq!(cache.increment("n".into(), i64::MIN, 2 * S, 4 * S), i64::MIN);
        cache.put("n".into(), b"7".to_vec(), 9 * S);
        assert_eq!(cache.increment("n".into(), 1, 2 * S, 4 * S), 1, "bytes are no number");
    }
}

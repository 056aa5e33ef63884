//! `portcullis:host/cache`

use std::time::Duration;

use super::Guest;
use crate::bindings::portcullis::host::cache;
use crate::extension::lock;

impl cache::Host for Guest {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        let now = self.services.nature.monotonic();
        lock(&self.services.cache).get(&key, now).map(<[u8]>::to_vec)
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: u32) {
        let until = self.services.nature.monotonic() + ttl(ttl_ms);
        lock(&self.services.cache).put(key, value, until);
    }

    fn remove(&mut self, key: String) {
        lock(&self.services.cache).remove(&key);
    }

    fn increment(&mut self, key: String, delta: i64, ttl_ms: u32) -> i64 {
        let now = self.services.nature.monotonic();
        lock(&self.services.cache).increment(key, delta, now, now + ttl(ttl_ms))
    }
}

fn ttl(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

//! `portcullis:host/cache`

use std::time::Duration;

use serde_json::json;

use super::Guest;
use crate::bindings::portcullis::host::cache;
use crate::cache::Cache;
use crate::tape::bytes;

impl cache::Host for Guest {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.taped(
            "cache.get",
            || json!([key]),
            |guest| {
                let now = guest.services.nature.monotonic();
                guest.cached(|cache| cache.get(&key, now).map(<[u8]>::to_vec))
            },
        )
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: u32) {
        let arguments = || json!([key, bytes(&value), ttl_ms]);
        if self.is_taped() {
            let arguments = arguments();
            return self.taped(
                "cache.put",
                || arguments,
                |guest| guest.put_now(key, value, ttl_ms),
            );
        }
        self.put_now(key, value, ttl_ms);
    }

    fn remove(&mut self, key: String) {
        self.taped(
            "cache.remove",
            || json!([key]),
            |guest| guest.cached(|cache| cache.remove(&key)),
        );
    }

    fn increment(&mut self, key: String, delta: i64, ttl_ms: u32) -> i64 {
        self.taped(
            "cache.increment",
            || json!([key, delta, ttl_ms]),
            |guest| {
                let now = guest.services.nature.monotonic();
                let until = now + ttl(ttl_ms);
                guest.cached(|cache| cache.increment(key.clone(), delta, now, until))
            },
        )
    }
}

impl Guest {
    fn put_now(&self, key: String, value: Vec<u8>, ttl_ms: u32) {
        let until = self.services.nature.monotonic() + ttl(ttl_ms);
        self.cached(|cache| cache.put(key, value, until));
    }

    fn cached<R>(&self, act: impl FnOnce(&mut Cache) -> R) -> R {
        self.services.cache.with(&self.services.rehearsal, act)
    }
}

fn ttl(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

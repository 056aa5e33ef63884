//! `portcullis:host/config`

use super::Guest;
use crate::bindings::portcullis::host::config;

impl config::Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        self.services.config.get(&key).cloned()
    }

    fn keys(&mut self) -> Vec<String> {
        self.services.config.keys().cloned().collect()
    }
}

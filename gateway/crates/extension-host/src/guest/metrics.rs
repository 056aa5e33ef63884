//! `portcullis:host/metrics`

use super::Guest;
use crate::bindings::portcullis::host::metrics;
use crate::extension::lock;
use crate::metrics::Change;

impl metrics::Host for Guest {
    fn counter_add(&mut self, name: String, value: u64, labels: Vec<(String, String)>) {
        self.note(name, labels, Change::Add(value));
    }

    fn gauge_set(&mut self, name: String, value: f64, labels: Vec<(String, String)>) {
        self.note(name, labels, Change::Set(value));
    }
}

impl Guest {
    /// What a guest counts that only watches is not the extension's: it would be there twice.
    fn note(&self, name: String, labels: Vec<(String, String)>, change: Change) {
        if self.is_rehearsal() {
            return;
        }
        if lock(&self.services.metrics).note(name, labels, change).is_none() {
            self.services.counters.metrics_refused.count();
        }
    }
}

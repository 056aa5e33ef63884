use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use extension_host::{KeyValueChange, KeyValueChanged, KeyValueFault};
use store::{Change, Changed, KeyValueError, KeyValueEvent, KeyValueQuota, KeyValues, StoreError};

/// Opens what extensions keep.
pub(super) fn open(directory: Option<&Path>) -> Result<KeyValues, StoreError> {
    let Some(directory) = directory else {
        tracing::warn!("what extensions keep is in memory; it ends with the process");
        return KeyValues::in_memory();
    };
    let (values, found) = KeyValues::open(directory, Box::new(report))?;
    for incident in &found.incidents {
        tracing::warn!(incident = %incident, "extension store incident");
    }
    if found.damaged > 0 {
        tracing::error!(records = found.damaged, "extension records damaged and set aside");
    }
    tracing::info!(keys = found.keys, bytes = found.bytes, "extension store opened");
    Ok(values)
}

fn report(event: KeyValueEvent) {
    match event {
        KeyValueEvent::Failed(error) => tracing::error!(
            error = %error,
            "extension store failed; extensions are told so until it succeeds"
        ),
        KeyValueEvent::Recovered => tracing::info!("extension store works again"),
        KeyValueEvent::Incident(incident) => {
            tracing::warn!(incident = %incident, "extension store incident");
        }
    }
}

/// The space of one extension.
#[derive(Debug)]
pub(super) struct Space {
    values: KeyValues,
    extension: String,
    quota: KeyValueQuota,
}

impl Space {
    pub(super) fn new(extension: &config::Extension, values: KeyValues) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let quota = KeyValueQuota {
            keys: extension.key_value.max_keys as usize,
            bytes: size(extension.key_value.max_bytes),
        };
        Self { values, extension: extension.name.clone(), quota }
    }
}

impl extension_host::KeyValue for Space {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.values.get(&self.extension, key)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
        self.values.keys(&self.extension, prefix, after, limit)
    }

    fn change(
        &self,
        change: KeyValueChange,
        wait: Duration,
    ) -> Result<KeyValueChanged, KeyValueFault> {
        let change = match change {
            KeyValueChange::Set { key, value } => Change::Set { key, value },
            KeyValueChange::Delete { key } => Change::Delete { key },
            KeyValueChange::CompareAndSet { key, expected, value } => {
                Change::CompareAndSet { key, expected, value }
            }
            KeyValueChange::Increment { key, delta } => Change::Increment { key, delta },
        };
        match self.values.change(&self.extension, self.quota, change, wait) {
            Ok(Changed::Done) => Ok(KeyValueChanged::Done),
            Ok(Changed::Unchanged) => Ok(KeyValueChanged::Unchanged),
            Ok(Changed::Number(sum)) => Ok(KeyValueChanged::Number(sum)),
            Err(error) => Err(fault(&error)),
        }
    }
}

fn fault(error: &KeyValueError) -> KeyValueFault {
    let why = error.to_string();
    match error {
        KeyValueError::Keys { .. } | KeyValueError::Bytes { .. } => KeyValueFault::Quota(why),
        KeyValueError::NotANumber => KeyValueFault::Invalid(why),
        KeyValueError::Busy
        | KeyValueError::TimedOut(_)
        | KeyValueError::Disk(_)
        | KeyValueError::Closed => KeyValueFault::Unavailable(why),
    }
}

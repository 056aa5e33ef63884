mod http;
mod key_value;
mod orders;
mod rate;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use config::{BrokerGrant, Checked, Grant, HttpConnection, KeyValueGrant};
use store::KeyValues;

use crate::failure::Failure;
use http::Server;
use key_value::Space;
use orders::ExtensionOrders;
pub(crate) use orders::{Deed, Orders, channel};

/// Bytes of a file with the value of a header at most.
const HEADER_BYTES_MAX: u64 = 8 << 10;

/// What of the gateway extensions may reach, for all of them.
pub(crate) struct Surroundings {
    /// Where extensions keep things; `None` for memory.
    directory: Option<PathBuf>,
    /// Opened for the first extension that may keep anything.
    key_values: Mutex<Option<KeyValues>>,
    orders: Orders,
}

impl Surroundings {
    /// Those of a gateway that runs.
    pub(crate) fn of(checked: &Checked, orders: Orders) -> Self {
        let kept = checked.store.engine != config::Engine::Memory;
        let directory = kept.then(|| checked.data.join("key-value"));
        Self { directory, key_values: Mutex::new(None), orders }
    }

    /// Those of a configuration that is only checked: nothing is kept, and nobody obeys.
    pub(crate) fn of_nobody() -> Self {
        Self { directory: None, key_values: Mutex::new(None), orders: channel().0 }
    }

    /// Ends what is kept in order. Blocks.
    pub(crate) fn close(&self) {
        let key_values = self.key_values.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(key_values) = key_values {
            key_values.close();
        }
    }

    fn key_values(&self) -> Result<KeyValues, Failure> {
        let mut opened = self.key_values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key_values) = &*opened {
            return Ok(key_values.clone());
        }
        let key_values = key_value::open(self.directory.as_deref()).map_err(Failure::Store)?;
        Ok(opened.insert(key_values).clone())
    }
}

/// What the operator grants one extension beside interfaces.
pub(crate) struct Facilities {
    /// What the extension uses.
    pub(crate) granted: extension_host::Facilities,
    stated: Stated,
    /// The values of secret headers, by connection and name.
    secrets: BTreeMap<(String, String), String>,
}

/// What decides, so that a change is noticed.
#[derive(PartialEq)]
struct Stated {
    grants: [bool; 3],
    key_value: KeyValueGrant,
    connections: Vec<HttpConnection>,
    broker: BrokerGrant,
}

impl Stated {
    fn of(extension: &config::Extension) -> Self {
        let grants = [Grant::KeyValue, Grant::Http, Grant::Broker];
        Self {
            grants: grants.map(|grant| extension.grants.contains(&grant)),
            key_value: extension.key_value,
            connections: extension.connections.clone(),
            broker: extension.broker.clone(),
        }
    }
}

impl Facilities {
    /// Opens what is granted. Connects to nothing yet.
    pub(crate) fn open(
        extension: &config::Extension,
        surroundings: &Surroundings,
    ) -> Result<Self, Failure> {
        Self::with(extension, secrets(extension)?, surroundings)
    }

    /// As [`open`](Self::open) where something else is stated, or a secret has changed; otherwise nothing.
    pub(crate) fn again(
        &self,
        extension: &config::Extension,
        surroundings: &Surroundings,
    ) -> Result<Option<Self>, Failure> {
        let secrets = secrets(extension)?;
        if Stated::of(extension) == self.stated && secrets == self.secrets {
            return Ok(None);
        }
        Self::with(extension, secrets, surroundings).map(Some)
    }

    fn with(
        extension: &config::Extension,
        secrets: BTreeMap<(String, String), String>,
        surroundings: &Surroundings,
    ) -> Result<Self, Failure> {
        let stated = Stated::of(extension);
        let [keeps, asks, orders] = stated.grants;
        let mut granted = extension_host::Facilities::default();
        if keeps {
            let space = Space::new(extension, surroundings.key_values()?);
            granted.key_value = Some(Arc::new(space));
        }
        if asks {
            for connection in &extension.connections {
                let server = Server::new(&extension.name, connection, &secrets)?;
                granted.http.insert(connection.name.clone(), Arc::new(server));
            }
        }
        if orders {
            let orders = ExtensionOrders::new(extension, surroundings.orders.clone());
            granted.orders = Some(Arc::new(orders));
        }
        Ok(Self { granted, stated, secrets })
    }
}

/// Reads the values of secret headers.
fn secrets(extension: &config::Extension) -> Result<BTreeMap<(String, String), String>, Failure> {
    let mut secrets = BTreeMap::new();
    for connection in &extension.connections {
        for (header, path) in &connection.secret_headers {
            let size = fs::metadata(path).map_err(Failure::file("read", path))?.len();
            let text = match size {
                0..=HEADER_BYTES_MAX => {
                    fs::read_to_string(path).map_err(Failure::file("read", path))?
                }
                _ => String::new(),
            };
            let value = text.trim_end_matches(['\r', '\n']);
            if value.is_empty() {
                return Err(Failure::Extension(format!(
                    "extension \"{}\": connection \"{}\": secret-headers.{header}: {} has {size} bytes; it \
                     must have the value of the header, 1 to {HEADER_BYTES_MAX} bytes",
                    extension.name,
                    connection.name,
                    path.display()
                )));
            }
            secrets.insert((connection.name.clone(), header.clone()), value.to_owned());
        }
    }
    Ok(secrets)
}

//! The key sets and secrets of a fixture: files that are read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use auth::jwt::{KeySet, Policy};
use extension_host::{KeySource, Keyring, Look, Miss, Secret, TokenKeys};

use crate::failure::Failure;

/// The keyring that a fixture grants.
pub(crate) fn keyring(stated: &config::Extension) -> Result<Keyring, Failure> {
    let mut key_sets = BTreeMap::new();
    for stated in &stated.key_sets {
        let policy = stated.policy();
        let keys = read(stated, &policy)
            .map_err(|why| Failure::Other(format!("key set \"{}\": {why}", stated.name)))?;
        let source = Arc::new(Fixed(Arc::new(keys)));
        key_sets.insert(stated.name.clone(), TokenKeys { policy, source });
    }
    let secrets =
        stated.secrets.iter().map(|(name, path)| Ok((name.clone(), Secret::new(secret(path)?))));
    Ok(Keyring { key_sets, secrets: secrets.collect::<Result<_, Failure>>()? })
}

fn read(stated: &config::KeySet, policy: &Policy) -> Result<KeySet, String> {
    let text = |path: &Path| {
        fs::read_to_string(path)
            .map_err(|error| format!("cannot read {} ({error})", path.display()))
    };
    match &stated.source {
        config::KeySource::File(path) => {
            KeySet::parse(&text(path)?, policy).map_err(|error| error.to_string())
        }
        config::KeySource::Pem(path) => {
            KeySet::pem(&text(path)?, policy).map_err(|error| error.to_string())
        }
        config::KeySource::Secret(path) => {
            let secret = secret(path).map_err(|failure| failure.to_string())?;
            KeySet::symmetric(&secret, policy).map_err(|error| error.to_string())
        }
        config::KeySource::Url(_) => {
            Err("a test fetches nothing; keep the JWKS in a file and name it with `file`"
                .to_owned())
        }
    }
}

/// Without the line break that editors put at the end.
fn secret(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = fs::read(path).map_err(Failure::file("read", path))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}

/// Keys that do not change.
#[derive(Debug)]
struct Fixed(Arc<KeySet>);

impl KeySource for Fixed {
    fn current(&self) -> Result<Arc<KeySet>, String> {
        Ok(Arc::clone(&self.0))
    }

    fn missed(&self, _: Miss) -> Look {
        Look::Same
    }
}

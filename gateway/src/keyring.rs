mod kept;
mod key_file;
mod key_url;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::KeySource;
use extension_host::{Secret, TokenKeys};

use crate::failure::Failure;
use kept::Kept;
use key_file::{Form, KeyFile};
use key_url::KeyUrl;

/// Bytes of a file with a secret at most. A longer one is no key but a mistake.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The key sets and secrets that the operator grants one extension, and what keeps them new.
pub(crate) struct Keyring {
    /// What the extension uses.
    pub(crate) keys: Arc<extension_host::Keyring>,
    /// What was stated of the key sets.
    stated: Vec<config::KeySet>,
    secrets: BTreeMap<String, Secret>,
    files: Vec<Arc<KeyFile>>,
    urls: Vec<Arc<KeyUrl>>,
}

/// Of which set of which extension a line of the log speaks.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) extension: String,
    pub(crate) key_set: String,
}

impl Label {
    /// A sentence about the set.
    fn failure(&self, why: impl std::fmt::Display) -> Failure {
        let Self { extension, key_set } = self;
        Failure::Extension(format!("extension \"{extension}\": key set \"{key_set}\": {why}"))
    }
}

impl Keyring {
    /// Reads what is in files, here and in the data directory. Fetches nothing: see [`start`](Self::start).
    pub(crate) fn open(extension: &config::Extension, data: &Path) -> Result<Self, Failure> {
        Self::with(extension, secrets(extension)?, data)
    }

    /// As [`open`](Self::open) where something else is stated, or a secret has changed. Otherwise nothing, and the
    /// files are read again and what is fetched is fetched again.
    pub(crate) fn again(
        &self,
        extension: &config::Extension,
        data: &Path,
    ) -> Result<Option<Self>, Failure> {
        let secrets = secrets(extension)?;
        if extension.key_sets != self.stated || secrets != self.secrets {
            return Self::with(extension, secrets, data).map(Some);
        }
        for file in &self.files {
            file.read_again();
        }
        for url in &self.urls {
            url.fetch_now();
        }
        Ok(None)
    }

    fn with(
        extension: &config::Extension,
        secrets: BTreeMap<String, Secret>,
        data: &Path,
    ) -> Result<Self, Failure> {
        let (mut files, mut urls) = (Vec::new(), Vec::new());
        let mut key_sets = BTreeMap::new();
        for stated in &extension.key_sets {
            let label = Label { extension: extension.name.clone(), key_set: stated.name.clone() };
            let policy = stated.policy();
            let mut file = |form, path: &PathBuf| {
                let file = Arc::new(KeyFile::open(label.clone(), form, path, policy.clone())?);
                files.push(Arc::clone(&file));
                Ok::<_, Failure>(file)
            };
            let source: Arc<dyn extension_host::KeySource> = match &stated.source {
                KeySource::File(path) => file(Form::Jwks, path)?,
                KeySource::Pem(path) => file(Form::Pem, path)?,
                KeySource::Secret(path) => file(Form::Secret, path)?,
                KeySource::Url(url) => {
                    let kept = Kept::of(data, &label, &url.url);
                    let url = Arc::new(KeyUrl::open(label, url, kept, policy.clone())?);
                    urls.push(Arc::clone(&url));
                    url
                }
            };
            key_sets.insert(stated.name.clone(), TokenKeys { policy, source });
        }
        let keys = extension_host::Keyring { key_sets, secrets: secrets.clone() };
        let (keys, stated) = (Arc::new(keys), extension.key_sets.clone());
        Ok(Self { keys, stated, secrets, files, urls })
    }

    /// Begins to fetch what is to be fetched, until this value goes.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        self.urls.iter().try_for_each(|url| url.start())
    }
}

fn secrets(extension: &config::Extension) -> Result<BTreeMap<String, Secret>, Failure> {
    let read = |(name, path): (&String, &PathBuf)| {
        let bytes = secret(path)?;
        if bytes.is_empty() {
            let why = "is empty; put a secret into it, such as that of `openssl rand -hex 32`";
            return Err(Failure::Extension(format!(
                "extension \"{}\": secrets.{name}: {} {why}",
                extension.name,
                path.display()
            )));
        }
        Ok((name.clone(), Secret::new(bytes)))
    };
    extension.secrets.iter().map(read).collect()
}

/// What is in a file with a secret, without the line break that editors put at its end.
fn secret(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = fs::read(path).map_err(Failure::file("read", path))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(Failure::Extension(format!(
            "{} has {} bytes, a secret has at most {SECRET_BYTES_MAX}",
            path.display(),
            bytes.len()
        )));
    }
    Ok(bytes)
}

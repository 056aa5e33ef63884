use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{Checked, MessageGrant};
use extension_host::{Extension, ExtensionSpec, Host};

use super::check_messages;
use super::vigil::Vigil;
use crate::facilities::{Facilities, Surroundings};
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::package::Package;
use crate::{settings, trust};

/// Bytes of a file whose text an extension gets: it must fit the guest's memory several times over.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What an extension was loaded from.
pub(super) struct Loaded {
    pub(super) spec: ExtensionSpec,
    pub(super) keyring: Keyring,
    pub(super) facilities: Facilities,
    /// Which messages it may look at.
    pub(super) messages: Arc<MessageGrant>,
    /// What is tried of component and configuration together, while the running version keeps what it has.
    pub(super) aside: Option<Aside>,
    /// The component was given up by the operator, and does not run.
    pub(super) is_abandoned: bool,
    /// Over its files, if it is to follow them.
    pub(super) vigil: Option<Vigil>,
}

/// What comes with a version if it is promoted.
pub(super) struct Aside {
    pub(super) spec: ExtensionSpec,
    pub(super) renewal: Renewal,
    pub(super) messages: MessageGrant,
}

/// What is new of an extension besides its component and settings.
pub(super) struct Renewal {
    pub(super) keyring: Option<Keyring>,
    pub(super) facilities: Option<Facilities>,
}

impl Loaded {
    /// Loads an extension for the first time.
    pub(super) fn first(
        host: &Host,
        stated: &config::Extension,
        checked: &Checked,
        surroundings: &Surroundings,
    ) -> Result<(Extension, Self), Failure> {
        let vigil = Vigil::over(stated);
        let keyring = Keyring::open(stated, &checked.data)?;
        let facilities = Facilities::open(stated, surroundings)?;
        let spec = spec(stated, &checked.trust, &keyring, &facilities)?;
        let extension =
            host.load(spec.clone()).map_err(|error| Failure::Extension(error.to_string()))?;
        let hooks = extension.hooks();
        check_messages(&stated.name, hooks, &stated.messages)?;
        tracing::info!(
            extension = &*extension.id(),
            sha256 = &*extension.hash(),
            authenticator = hooks.authenticator,
            authorizer = hooks.authorizer,
            hooks = hooks.names().collect::<Vec<_>>().join(", "),
            signed_by = spec.attestation.as_ref().map(|attestation| &*attestation.by),
            "extension loaded"
        );
        let messages = Arc::new(stated.messages.clone());
        let (aside, is_abandoned) = (None, false);
        let last = Self { spec, keyring, facilities, messages, aside, is_abandoned, vigil };
        Ok((extension, last))
    }

    /// What is new of keys, secrets and connections. Keys that are fetched begin to be.
    pub(super) fn renewal(
        &self,
        stated: &config::Extension,
        data: &Path,
        surroundings: &Surroundings,
    ) -> Result<Renewal, Failure> {
        let keyring = self.keyring.again(stated, data)?;
        if let Some(keyring) = &keyring {
            keyring.start()?;
        }
        let facilities = self.facilities.again(stated, surroundings)?;
        Ok(Renewal { keyring, facilities })
    }

    /// What is stated, with what is new.
    pub(super) fn fresh(
        &self,
        stated: &config::Extension,
        trust: &config::Trust,
        renewal: &Renewal,
    ) -> Result<ExtensionSpec, Failure> {
        let keyring = renewal.keyring.as_ref().unwrap_or(&self.keyring);
        let facilities = renewal.facilities.as_ref().unwrap_or(&self.facilities);
        spec(stated, trust, keyring, facilities)
    }

    /// Whether a version with the component, grants and limits of `fresh` runs, or is on its way to.
    pub(super) fn runs(&self, fresh: &ExtensionSpec) -> bool {
        !self.is_abandoned
            && fresh.component == self.spec.component
            && fresh.grants == self.spec.grants
            && fresh.limits == self.spec.limits
    }

    /// Notes which messages the extension may look at; answers whether they are others than before.
    pub(super) fn regrant(&mut self, messages: &MessageGrant) -> bool {
        let others = *self.messages != *messages;
        if others {
            self.messages = Arc::new(messages.clone());
        }
        others
    }

    pub(super) fn become_of(&mut self, spec: ExtensionSpec, renewal: Renewal) {
        self.spec = spec;
        self.aside = None;
        self.is_abandoned = false;
        if let Some(facilities) = renewal.facilities {
            self.facilities = facilities;
        }
        if let Some(keyring) = renewal.keyring {
            self.keyring = keyring;
        }
    }
}

impl Renewal {
    pub(super) fn is_empty(&self) -> bool {
        self.keyring.is_none() && self.facilities.is_none()
    }
}

pub(super) fn lock(last: &Mutex<Loaded>) -> MutexGuard<'_, Loaded> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a gateway with this configuration loads an extension from.
pub(crate) fn stated(
    stated: &config::Extension,
    checked: &Checked,
) -> Result<ExtensionSpec, Failure> {
    let keyring = Keyring::open(stated, &checked.data)?;
    let facilities = Facilities::open(stated, &Surroundings::of_nobody())?;
    spec(stated, &checked.trust, &keyring, &facilities)
}

fn spec(
    stated: &config::Extension,
    trust: &config::Trust,
    keyring: &Keyring,
    facilities: &Facilities,
) -> Result<ExtensionSpec, Failure> {
    let package = Package::read(&stated.component, stated.reference.as_deref())?;
    let attestation = trust::attestation(trust, stated, &package)?;
    Ok(ExtensionSpec {
        name: stated.name.clone(),
        component: package.component.into(),
        sha256_pin: stated.sha256,
        attestation,
        grants: stated.grants.iter().copied().map(settings::capability).collect(),
        config: configuration(stated)?,
        keyring: Arc::clone(&keyring.keys),
        facilities: facilities.granted.clone(),
        limits: settings::extension_limits(stated),
    })
}

/// What the extension `name` would be loaded from now, if the configuration has it.
pub(crate) fn spec_of(checked: &Checked, name: &str) -> Result<Option<ExtensionSpec>, Failure> {
    let named = checked.extensions.iter().find(|stated| stated.name == name);
    named.map(|named| stated(named, checked)).transpose()
}

/// What the guest reads: the table `config`, and the text of each of `files`.
fn configuration(stated: &config::Extension) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = stated.config.clone();
    for (key, path) in &stated.files {
        values.insert(key.clone(), text(&stated.name, path)?);
    }
    Ok(values)
}

fn text(extension: &str, path: &Path) -> Result<String, Failure> {
    let size = fs::metadata(path).map_err(Failure::file("read", path))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::Extension(format!(
            "extension \"{extension}\": {} has {size} bytes, an extension is given at most \
             {FILE_BYTES_MAX}; split it or shorten it",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(Failure::file("read", path))
}

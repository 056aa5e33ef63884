mod orders;
mod vigil;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use config::{Checked, MessageGrant};
use extension_host::{Extension, ExtensionSpec, Hooks, Host, LoadError, Mode};

use crate::clock::Held;
use crate::compiler::Workbench;
use crate::facilities::{Facilities, Surroundings};
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::package::Package;
use crate::{machine, settings, trust};

pub(crate) use orders::{Attempt, OrderError, Report};
use vigil::Vigil;

/// Bytes of a file whose text an extension gets: it must fit the guest's memory several times over.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// How long a new version may be taken back after it began to decide: long enough to see the clients of a site
/// come and go, short enough that the old one does not take memory for ever.
const TRIAL: Duration = Duration::from_secs(300);

/// All extensions, and what is needed to load new versions of them.
pub(crate) struct Extensions {
    host: Host,
    file: PathBuf,
    /// Where key sets that were fetched are kept.
    data: PathBuf,
    surroundings: Arc<Surroundings>,
    /// In the order of the configuration. Each with what it was loaded from last, held while a new version is
    /// made of it, so that two reloads do not cross.
    loaded: Vec<(Extension, Mutex<Loaded>)>,
    /// Who is told that extensions may want to see other messages.
    watcher: OnceLock<Watcher>,
}

/// Told of each change, with what extensions may see now.
type Watcher = Box<dyn Fn(&BTreeMap<String, Arc<MessageGrant>>) + Send + Sync>;

/// What an extension was loaded from.
struct Loaded {
    spec: ExtensionSpec,
    keyring: Keyring,
    facilities: Facilities,
    /// Which messages it may look at.
    messages: Arc<MessageGrant>,
    /// What is tried of component and configuration together, while the running version keeps what it has.
    aside: Option<Aside>,
    /// The component was given up by the operator, and does not run.
    is_abandoned: bool,
    /// Over its files, if it is to follow them.
    vigil: Option<Vigil>,
}

/// What comes with a version if it is promoted.
struct Aside {
    spec: ExtensionSpec,
    renewal: Renewal,
    messages: MessageGrant,
}

/// What is new of an extension besides its component and settings.
struct Renewal {
    keyring: Option<Keyring>,
    facilities: Option<Facilities>,
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// Everything is as it was.
    Unchanged,
    /// It has a new configuration.
    Reconfigured,
    /// A new version is being tried.
    Introduced,
}

impl Extensions {
    /// Loads every extension of the configuration; all that cannot be loaded are reported together.
    pub(crate) fn load(
        checked: &Checked,
        workbench: Workbench,
        surroundings: Arc<Surroundings>,
    ) -> Result<Self, Failure> {
        let host = Host::new(machine::engine_settings())
            .map_err(|error| Failure::Extension(error.to_string()))?
            .with_nature(Arc::new(Held::new()))
            .with_workshop(Arc::new(workbench));
        let mut loaded = Vec::with_capacity(checked.extensions.len());
        let mut faults = Vec::new();
        for stated in &checked.extensions {
            match load_one(&host, stated, checked, &surroundings) {
                Ok((extension, last)) => loaded.push((extension, Mutex::new(last))),
                Err(failure) => faults.push(failure.to_string()),
            }
        }
        let (file, data) = (checked.file.clone(), checked.data.clone());
        let watcher = OnceLock::new();
        let extensions = Self { host, file, data, surroundings, loaded, watcher };
        let deaf = |extension: &Extension| !extension.hooks().observer;
        for extension in extensions.named(&checked.observers).into_iter().filter(deaf) {
            faults.push(format!(
                "observers names \"{}\", which does not export portcullis:gateway/observer; take it off the list, \
                 or build it with that hook",
                extension.name()
            ));
        }
        for (bridge, extension) in extensions.blind(&checked.bridges) {
            faults.push(format!(
                "bridge \"{bridge}\": extensions names \"{extension}\", which does not export \
                 portcullis:gateway/publish-interceptor; take it off the list, or build it with that hook"
            ));
        }
        if !faults.is_empty() {
            return Err(Failure::Faults(faults));
        }
        Ok(extensions)
    }

    /// Has somebody told, now and after each change, which messages extensions may see. There is one such.
    pub(crate) fn watch(&self, watcher: Watcher) {
        let watcher = self.watcher.get_or_init(|| watcher);
        watcher(&self.message_grants());
    }

    fn tell(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher(&self.message_grants());
        }
    }

    /// Bridges that name extensions which look at no messages.
    fn blind(&self, bridges: &[config::Bridge]) -> Vec<(String, String)> {
        let of_one = |bridge: &config::Bridge| {
            let named = self.named(&bridge.extensions).into_iter();
            let blind = named.filter(|extension| !extension.hooks().publish_interceptor);
            blind.map(|it| (bridge.name.clone(), it.name().to_owned())).collect::<Vec<_>>()
        };
        bridges.iter().flat_map(of_one).collect()
    }

    /// What each extension may see of messages.
    pub(crate) fn message_grants(&self) -> BTreeMap<String, Arc<MessageGrant>> {
        let grant = |(extension, last): &(Extension, Mutex<Loaded>)| {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            (extension.name().to_owned(), Arc::clone(&last.messages))
        };
        self.loaded.iter().map(grant).collect()
    }

    /// Begins to fetch the key sets that are to be fetched.
    pub(crate) fn start_fetching(&self) -> Result<(), Failure> {
        let lock = |last: &Mutex<Loaded>| {
            last.lock().unwrap_or_else(PoisonError::into_inner).keyring.start()
        };
        self.loaded.iter().try_for_each(|(_, last)| lock(last))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Extension> {
        self.loaded.iter().map(|(extension, _)| extension)
    }

    /// The extensions that a listener's chain or another list names, in its order. The configuration has been checked
    /// for names that do not exist.
    pub(crate) fn named(&self, names: &[String]) -> Vec<Extension> {
        let by_name = |name: &String| self.all().find(|e| e.name() == name).cloned();
        names.iter().filter_map(by_name).collect()
    }

    /// Loads what has changed of the extensions: component, limits, grants or configuration. One that cannot be loaded goes
    /// on as it is, and so does one beside which the operator tries another version: what is looked at before it counts must
    /// not begin to count because something else was reloaded. Blocks.
    pub(crate) fn reload(&self, fresh: &Checked) {
        let (mut changed, mut refused, mut waiting) = (0, 0, 0);
        for (extension, last) in &self.loaded {
            let Some(stated) = fresh.extensions.iter().find(|e| e.name == extension.name()) else {
                continue;
            };
            let id = extension.id();
            if self.is_tried_aside(extension.name()) {
                waiting += 1;
                tracing::warn!(
                    extension = &*id,
                    "extension not reloaded, because a version is tried beside it; promote, abandon or reload that first"
                );
                continue;
            }
            match self.reload_one(extension, last, stated, &fresh.trust, false) {
                Ok(Reloaded::Unchanged) => {}
                Ok(Reloaded::Reconfigured) => {
                    changed += 1;
                    tracing::info!(extension = &*extension.id(), "extension reconfigured");
                }
                Ok(Reloaded::Introduced) => {
                    changed += 1;
                    tracing::info!(
                        extension = &*extension.id(),
                        before = &*id,
                        "extension swapped"
                    );
                }
                Err(failure) => {
                    refused += 1;
                    tracing::error!(
                        extension = &*id,
                        error = %failure,
                        "extension not reloaded; it goes on as it is"
                    );
                }
            }
        }
        self.tell();
        tracing::info!(changed, refused, waiting, "extensions reloaded");
    }

    /// A new configuration takes effect at once and for good: what an operator takes away must not come back
    /// when a version is taken back. So the running version gets it before a new one is tried in its place. `anew`: also the
    /// component that was taken back because it failed.
    fn reload_one(
        &self,
        extension: &Extension,
        last: &Mutex<Loaded>,
        stated: &config::Extension,
        trust: &config::Trust,
        anew: bool,
    ) -> Result<Reloaded, Failure> {
        let vigil = Vigil::over(stated);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let renewal = last.renewal(stated, &self.data, &self.surroundings)?;
        let fresh = last.fresh(stated, trust, &renewal)?;
        let sentence = |error: LoadError| Failure::Extension(error.to_string());
        let same_code = last.runs(&fresh) && !(anew && extension.is_rolled_back());
        let unchanged = fresh.config == last.spec.config && renewal.is_empty();
        last.vigil = vigil;
        if same_code {
            check_messages(&stated.name, extension.hooks(), &stated.messages)?;
        }
        let reconfigured = match unchanged {
            true => Ok(()),
            false => extension
                .reconfigure(
                    fresh.config.clone(),
                    Arc::clone(&fresh.keyring),
                    fresh.facilities.clone(),
                )
                .map_err(sentence),
        };
        if same_code {
            reconfigured?;
            let regranted = last.regrant(&stated.messages);
            if unchanged {
                // What is tried aside is tried on.
                let regranted = regranted.then_some(Reloaded::Reconfigured);
                return Ok(regranted.unwrap_or(Reloaded::Unchanged));
            }
            last.become_of(fresh, renewal);
            return Ok(Reloaded::Reconfigured);
        }
        if let Err(failure) = reconfigured {
            // It may take the new version to understand the new configuration.
            tracing::warn!(extension = &*extension.id(), error = %failure, "running version keeps its configuration");
        }
        self.introduce(extension, stated, fresh.clone(), Mode::Trial(TRIAL))?;
        last.become_of(fresh, renewal);
        last.regrant(&stated.messages);
        Ok(Reloaded::Introduced)
    }

    /// Has a new version tried, if it sees no messages that nobody granted it.
    fn introduce(
        &self,
        extension: &Extension,
        stated: &config::Extension,
        fresh: ExtensionSpec,
        mode: Mode,
    ) -> Result<(), Failure> {
        let sentence = |error: LoadError| Failure::Extension(error.to_string());
        let prepared = self.host.prepare(fresh).map_err(sentence)?;
        check_messages(&stated.name, prepared.hooks(), &stated.messages)?;
        extension.introduce_prepared(&prepared, mode).map_err(sentence)
    }

    /// Whether the operator tries a version of this extension that does not decide, or not for all.
    fn is_tried_aside(&self, name: &str) -> bool {
        let found = self.loaded.iter().find(|(extension, _)| extension.name() == name);
        found.is_some_and(|(extension, last)| {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.aside.is_some() && extension.candidate().is_some()
        })
    }
}

impl Loaded {
    /// What is new of keys, secrets and connections. Keys that are fetched begin to be.
    fn renewal(
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
    fn fresh(
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
    fn runs(&self, fresh: &ExtensionSpec) -> bool {
        !self.is_abandoned
            && fresh.component == self.spec.component
            && fresh.grants == self.spec.grants
            && fresh.limits == self.spec.limits
    }

    /// Notes which messages the extension may look at; answers whether they are others than before.
    fn regrant(&mut self, messages: &MessageGrant) -> bool {
        let others = *self.messages != *messages;
        if others {
            self.messages = Arc::new(messages.clone());
        }
        others
    }

    fn become_of(&mut self, spec: ExtensionSpec, renewal: Renewal) {
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
    fn is_empty(&self) -> bool {
        self.keyring.is_none() && self.facilities.is_none()
    }
}

fn load_one(
    host: &Host,
    stated: &config::Extension,
    checked: &Checked,
    surroundings: &Surroundings,
) -> Result<(Extension, Loaded), Failure> {
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
    let last = Loaded { spec, keyring, facilities, messages, aside, is_abandoned, vigil };
    Ok((extension, last))
}

/// An extension that looks at messages is told by the operator at which.
fn check_messages(extension: &str, hooks: Hooks, messages: &MessageGrant) -> Result<(), Failure> {
    let lacks = [
        (hooks.publish_interceptor, &messages.publish, "publish-interceptor", "publish"),
        (hooks.delivery_interceptor, &messages.deliver, "delivery-interceptor", "deliver"),
    ];
    for (has, granted, hook, key) in lacks {
        if has && granted.is_empty() {
            return Err(Failure::Extension(format!(
                "extension \"{extension}\" has the hook {hook}, which shows it messages, and may see none; add \
                 {key} = [\"#\"], or the topics that it may see, to [extensions.{extension}.messages]"
            )));
        }
    }
    Ok(())
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

/// The configuration as it is in the file now; `None` if it cannot be used, which the log says. Blocks.
pub(crate) fn read_again(running: &Checked) -> Option<Checked> {
    let fresh = match config::load(&running.file) {
        Ok(fresh) => fresh,
        Err(report) => {
            log_faults(&report);
            return None;
        }
    };
    if blank(&fresh) != blank(running) {
        tracing::warn!(
            file = %running.file.display(),
            "configuration has changes beyond its extensions and bridges; they take effect at the next start"
        );
    }
    Some(fresh)
}

fn log_faults(report: &config::Report) {
    for fault in report.errors() {
        tracing::error!(
            file = %report.file().display(),
            line = fault.line,
            fault = fault.message,
            "configuration has a fault; the gateway goes on with what it has"
        );
    }
}

/// The configuration without what can change while the gateway runs, and which extensions there are.
fn blank(checked: &Checked) -> (Checked, Vec<String>) {
    let trust = config::Trust::default();
    let mut blank = Checked { trust, bridges: Vec::new(), ..checked.clone() };
    let names = blank.extensions.drain(..).map(|extension| extension.name).collect();
    (blank, names)
}

/// What an operator should know of an extension that could observe and is not asked to.
pub(crate) fn warn_of_idle_observers(extensions: &Extensions, observers: &[String]) {
    for extension in extensions.all().filter(|extension| extension.hooks().observer) {
        if observers.iter().all(|name| name != extension.name()) {
            tracing::warn!(
                extension = &*extension.id(),
                "extension has the hook `observer` and is not in `observers`; it is told nothing"
            );
        }
    }
}

/// What an operator should know of a chain that cannot do its work.
pub(crate) fn warn_of_gaps(listener: &str, chain: &[Extension]) {
    let authenticates = |extension: &Extension| {
        extension.hooks().authenticator || extension.hooks().enhanced_authenticator
    };
    if !chain.iter().any(authenticates) {
        tracing::warn!(
            listener,
            "no extension of the chain authenticates; every client is refused"
        );
    }
}

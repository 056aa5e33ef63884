mod loaded;
mod orders;
mod vigil;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use config::{Checked, MessageGrant};
use extension_host::{Extension, ExtensionSpec, Hooks, Host, LoadError, Mode};
use tokio::sync::Notify;

use crate::clock::Held;
use crate::compiler::Workbench;
use crate::facilities::Surroundings;
use crate::failure::Failure;
use crate::machine;

use loaded::{Loaded, lock};
pub(crate) use loaded::{spec_of, stated};
pub(crate) use orders::{Attempt, OrderError, Report};
use vigil::Vigil;

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
    /// Told when an extension may have begun to follow its files.
    followed: Notify,
}

/// Told of each change, with what extensions may see now.
type Watcher = Box<dyn Fn(&BTreeMap<String, Arc<MessageGrant>>) + Send + Sync>;

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
            match Loaded::first(&host, stated, checked, &surroundings) {
                Ok((extension, last)) => loaded.push((extension, Mutex::new(last))),
                Err(failure) => faults.push(failure.to_string()),
            }
        }
        let (file, data) = (checked.file.clone(), checked.data.clone());
        let (watcher, followed) = (OnceLock::new(), Notify::new());
        let extensions = Self { host, file, data, surroundings, loaded, watcher, followed };
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
            (extension.name().to_owned(), Arc::clone(&lock(last).messages))
        };
        self.loaded.iter().map(grant).collect()
    }

    /// Begins to fetch the key sets that are to be fetched.
    pub(crate) fn start_fetching(&self) -> Result<(), Failure> {
        self.loaded.iter().try_for_each(|(_, last)| lock(last).keyring.start())
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
        let mut last = lock(last);
        let renewal = last.renewal(stated, &self.data, &self.surroundings)?;
        let fresh = last.fresh(stated, trust, &renewal)?;
        let sentence = |error: LoadError| Failure::Extension(error.to_string());
        let same_code = last.runs(&fresh) && !(anew && extension.is_rolled_back());
        let unchanged = fresh.config == last.spec.config && renewal.is_empty();
        last.vigil = vigil;
        self.followed.notify_one();
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
            lock(last).aside.is_some() && extension.candidate().is_some()
        })
    }
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

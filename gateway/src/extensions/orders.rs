use std::fmt;
use std::sync::{Arc, Mutex};

use extension_host::{Extension, Mode};

use super::loaded::{Aside, Loaded, lock};
use super::vigil::Vigil;
use super::{Extensions, Reloaded};
use crate::failure::Failure;

/// What an operator wants of a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It decides for all, and can be taken back for a while.
    Trial,
    /// It decides beside the running one, and its decisions are only compared.
    Shadow,
    /// It decides for this share of the clients, in percent.
    Canary(u8),
}

/// Why an order was not carried out. The extension goes on as it is.
#[derive(Debug)]
pub(crate) enum OrderError {
    /// There is no such extension.
    Unknown(String),
    /// Nothing is being tried.
    NoCandidate(String),
    /// The new version or configuration is no good.
    Failed(Failure),
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) outcome: Reloaded,
    /// The version that decided before.
    pub(crate) before: Arc<str>,
    /// The version that was made, or that runs unchanged.
    pub(crate) after: Arc<str>,
}

/// Orders about one extension. They block, as long as it takes to compile a component.
impl Extensions {
    pub(crate) fn find(&self, name: &str) -> Option<&Extension> {
        self.all().find(|extension| extension.name() == name)
    }

    /// Reads the configuration again, and loads what has changed of this extension; also a component that was taken back
    /// because it failed.
    ///
    /// A trial gives a new configuration to the running version first, for good, as SIGHUP does. A shadow and a canary
    /// try it together with the component, and the running version keeps what it has.
    pub(crate) fn reload_named(&self, name: &str, attempt: Attempt) -> Result<Report, OrderError> {
        let report = self.attempt(name, attempt)?;
        tracing::info!(
            extension = &*report.after,
            before = &*report.before,
            ?attempt,
            outcome = report.outcome.name(),
            "extension reloaded by the operator"
        );
        Ok(report)
    }

    pub(super) fn attempt(&self, name: &str, attempt: Attempt) -> Result<Report, OrderError> {
        let (extension, last) = self.loaded(name)?;
        let fresh = config::load(&self.file)
            .map_err(|report| OrderError::Failed(Failure::Config(report)))?;
        let stated = fresh.extensions.iter().find(|stated| stated.name == name);
        let stated = stated.ok_or_else(|| {
            let why = format!("extension \"{name}\" is not in {} any more", self.file.display());
            OrderError::Failed(Failure::Extension(why))
        })?;
        let before = extension.id();
        let outcome = match attempt {
            Attempt::Trial => self.reload_one(extension, last, stated, &fresh.trust, true),
            Attempt::Shadow => self.try_aside(extension, last, stated, &fresh.trust, Mode::Shadow),
            Attempt::Canary(share) => {
                self.try_aside(extension, last, stated, &fresh.trust, Mode::Canary(share))
            }
        };
        let outcome = outcome.map_err(OrderError::Failed)?;
        self.tell();
        let candidate = extension.candidate().map(|candidate| candidate.id);
        let after = candidate.unwrap_or_else(|| extension.id());
        Ok(Report { outcome, before, after })
    }

    /// What is being tried takes over for good.
    pub(crate) fn promote(&self, name: &str) -> Result<Report, OrderError> {
        let (extension, last) = self.loaded(name)?;
        let before = extension.running();
        {
            let mut last = lock(last);
            let aside = last.aside.take();
            if !extension.promote() {
                return Err(OrderError::NoCandidate(name.to_owned()));
            }
            if let Some(Aside { spec, renewal, messages }) = aside {
                last.become_of(spec, renewal);
                last.regrant(&messages);
            }
        }
        self.tell();
        let after = extension.running();
        tracing::info!(extension = &*after, before = &*before, "extension version promoted");
        Ok(Report { outcome: Reloaded::Introduced, before, after })
    }

    /// What is being tried goes.
    pub(crate) fn abandon(&self, name: &str) -> Result<Report, OrderError> {
        let (extension, last) = self.loaded(name)?;
        let mut last = lock(last);
        let aside = last.aside.take();
        let before = extension.abandon().ok_or_else(|| OrderError::NoCandidate(name.to_owned()))?;
        // Of a trial it is the component that was loaded last: another reload is to load it again.
        last.is_abandoned = aside.is_none();
        let after = extension.running();
        tracing::info!(extension = &*after, abandoned = &*before, "extension version abandoned");
        Ok(Report { outcome: Reloaded::Introduced, before, after })
    }

    fn loaded(&self, name: &str) -> Result<(&Extension, &Mutex<Loaded>), OrderError> {
        let found = self.loaded.iter().find(|(extension, _)| extension.name() == name);
        let (extension, last) = found.ok_or_else(|| OrderError::Unknown(name.to_owned()))?;
        Ok((extension, last))
    }

    /// Makes a version of component and configuration that decides for nobody, or for some.
    fn try_aside(
        &self,
        extension: &Extension,
        last: &Mutex<Loaded>,
        stated: &config::Extension,
        trust: &config::Trust,
        mode: Mode,
    ) -> Result<Reloaded, Failure> {
        let vigil = Vigil::over(stated);
        let mut last = lock(last);
        let renewal = last.renewal(stated, &self.data, &self.surroundings)?;
        let fresh = last.fresh(stated, trust, &renewal)?;
        let same_code = last.runs(&fresh) && !extension.is_rolled_back();
        if renewal.is_empty() && same_code && fresh.config == last.spec.config {
            return Ok(Reloaded::Unchanged);
        }
        self.introduce(extension, stated, fresh.clone(), mode)?;
        last.vigil = vigil;
        self.followed.notify_one();
        last.aside = Some(Aside { spec: fresh, renewal, messages: stated.messages.clone() });
        Ok(Reloaded::Introduced)
    }
}

impl Reloaded {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Reconfigured => "reconfigured",
            Self::Introduced => "introduced",
        }
    }
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no extension \"{name}\""),
            Self::NoCandidate(name) => write!(
                f,
                "no new version of extension \"{name}\" is being tried; reload it with a mode first"
            ),
            Self::Failed(failure) => write!(f, "{failure}"),
        }
    }
}

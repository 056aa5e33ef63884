//! The versions of an extension as an operator sees them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ask::Hook;
use crate::extension::{Extension, lock};
use crate::generation::Generation;
use crate::rollout::CandidateStatus;

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Name and first digits of the hash, as decisions show it.
    pub id: Arc<str>,
    /// SHA-256 of the component in hexadecimal.
    pub hash: Arc<str>,
    /// The hooks that are not called for the time being because they failed too often, each with the time until the
    /// next attempt.
    pub resting: Vec<(&'static str, Duration)>,
}

/// The versions that there are at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The one that decides where none is tried.
    pub running: Version,
    /// The one that is tried, and what came of it so far.
    pub candidate: Option<(Version, CandidateStatus)>,
}

impl Extension {
    /// The versions that there are.
    #[must_use]
    pub fn versions(&self) -> Versions {
        let rollout = lock(&self.0.rollout);
        let running = Version::of(rollout.running());
        let candidate = rollout
            .candidate()
            .map(|candidate| (Version::of(&candidate.generation), candidate.status()));
        Versions { running, candidate }
    }

    /// SHA-256 of the component of a version that decisions name, if it is still there.
    #[must_use]
    pub fn hash_of(&self, id: &str) -> Option<Arc<str>> {
        let rollout = lock(&self.0.rollout);
        let candidate = rollout.candidate().map(|candidate| &candidate.generation);
        let found = candidate.into_iter().chain([rollout.running()]).find(|g| *g.id == *id)?;
        Some(Arc::clone(&found.hash))
    }
}

impl Version {
    fn of(generation: &Generation) -> Self {
        let now = Instant::now();
        let rests = |hook: Hook| {
            let left = generation.breaker(hook).rests_for(now)?;
            Some((hook.name(), left))
        };
        Self {
            id: Arc::clone(&generation.id),
            hash: Arc::clone(&generation.hash),
            resting: Hook::ALL.into_iter().filter_map(rests).collect(),
        }
    }
}

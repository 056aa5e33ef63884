use std::hash::{DefaultHasher, Hash, Hasher};

use crate::ban::{Guest, Whom};
use crate::limits::{Limits, ms};
use crate::network::Network;
use crate::table::Table;
use crate::window::Window;

/// What is known of names that clients show, each within the network from which it is shown.
///
/// What strangers can fill and what takes an authenticated client are kept apart: failures do not flush out who is known.
#[derive(Debug)]
pub(crate) struct Names {
    /// With it names are hashed, so that nobody can choose two that are one here.
    seed: u64,
    /// Failures of a name within a network.
    failures: Table<Key, Window>,
    /// Failures of an identity from everywhere.
    sieges: Table<u64, Window>,
    /// Names that were let in from a network.
    known: Table<Key, Known>,
}

/// A name, by its hash, within a network.
type Key = (Network, u64);

#[derive(Debug)]
struct Known {
    /// When it was let in last, in milliseconds.
    at: u64,
    connects: Window,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Identity,
    Client,
}

/// Somebody who is to be banned within a network.
pub(crate) type Culprit = (Whom, u32);

impl Names {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        let most = limits.tracked;
        Self {
            seed,
            failures: Table::new(most),
            sieges: Table::new(most),
            // Two for each client.
            known: Table::new(most.saturating_mul(2)),
        }
    }

    /// A guest has failed: how often the worse of its names has by now, and who is to be banned for it. A name that is
    /// known in its network is not: others must not lock it out by failing under it.
    pub(crate) fn blame(
        &mut self,
        now: u64,
        network: Network,
        guest: Guest<'_>,
        limits: &Limits,
    ) -> (u32, Vec<Culprit>) {
        let window = ms(limits.failure_window);
        let (mut worst, mut culprits) = (0, Vec::new());
        let idle = |it: &Window| it.count(now, window) == 0;
        for (kind, name) in names(guest) {
            let hash = self.hash(kind, name);
            if kind == Kind::Identity
                && let Some(siege) = self.sieges.place(hash, Window::default, idle)
            {
                siege.add(now, window);
            }
            let known = self.is_known(now, network, hash);
            let Some(failures) = self.failures.place((network, hash), Window::default, idle) else {
                continue;
            };
            let count = failures.add(now, window);
            worst = worst.max(count);
            if count >= limits.failures_per_name && !known && name.len() <= Whom::NAME_BYTES_MAX {
                *failures = Window::default();
                culprits.push((whom(network, kind, name), count));
            }
        }
        (worst, culprits)
    }

    /// Whether so many fail under this identity from elsewhere that strangers under it are to wait.
    pub(crate) fn is_besieged(
        &self,
        now: u64,
        network: Network,
        identity: &str,
        limits: &Limits,
    ) -> bool {
        let hash = self.hash(Kind::Identity, identity);
        let most = limits.failures_per_name.saturating_mul(Limits::SIEGE);
        let siege = self.sieges.get(hash);
        siege.is_some_and(|siege| siege.count(now, ms(limits.failure_window)) >= most)
            && !self.is_known(now, network, hash)
    }

    /// A guest has authenticated, whose identity counts by its principal: who comes too often by now.
    pub(crate) fn connected(
        &mut self,
        now: u64,
        network: Network,
        guest: Guest<'_>,
        limits: &Limits,
    ) -> Vec<Culprit> {
        let window = ms(limits.flapping_window);
        let mut culprits = Vec::new();
        for (kind, name) in names(guest) {
            let hash = self.hash(kind, name);
            let Some(known) = self.know(now, (network, hash)) else { continue };
            let count = known.connects.add(now, window);
            let most = match kind {
                Kind::Identity => limits.connects_per_address,
                Kind::Client => limits.connects_per_client,
            };
            if count > most && name.len() <= Whom::NAME_BYTES_MAX {
                known.connects = Window::default();
                culprits.push((whom(network, kind, name), count));
            }
        }
        culprits
    }

    /// The names of a guest are its own: what failed under them within its network is forgiven.
    pub(crate) fn trust(&mut self, now: u64, network: Network, guest: Guest<'_>) {
        for (kind, name) in names(guest) {
            let key = (network, self.hash(kind, name));
            if let Some(known) = self.know(now, key) {
                known.at = now;
            }
            self.failures.remove(key);
        }
    }

    pub(crate) fn hash(&self, kind: Kind, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, kind, name).hash(&mut hasher);
        hasher.finish()
    }

    fn is_known(&self, now: u64, network: Network, hash: u64) -> bool {
        let known = self.known.get((network, hash));
        known.is_some_and(|known| now.saturating_sub(known.at) < ms(Limits::TRUST))
    }

    fn know(&mut self, now: u64, key: Key) -> Option<&mut Known> {
        let old = |known: &Known| now.saturating_sub(known.at) >= ms(Limits::TRUST);
        self.known.place(key, || Known { at: now, connects: Window::default() }, old)
    }
}

/// The names that a guest has; an identifier that the gateway is to make is none.
fn names(guest: Guest<'_>) -> impl Iterator<Item = (Kind, &str)> {
    let client = guest.client.filter(|client| !client.is_empty());
    let identity = guest.identity.filter(|identity| !identity.is_empty());
    let identity = identity.map(|identity| (Kind::Identity, identity));
    identity.into_iter().chain(client.map(|client| (Kind::Client, client)))
}

fn whom(network: Network, kind: Kind, name: &str) -> Whom {
    let (network, name) = (Some(network), Some(name.to_owned()));
    match kind {
        Kind::Identity => Whom { network, identity: name, client: None },
        Kind::Client => Whom { network, identity: None, client: name },
    }
}

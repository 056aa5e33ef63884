use std::{path::PathBuf, sync::Arc};

use broker::durable::{Op, Urgency};

use super::harness::Contents;
use crate::{
    Cut, Loaded, MemoryStore, Settings, SimulatedFiles, Store, StoreError, log_store::LogStore,
    memory_engine::MemoryEngine,
};

/// Settings that make everything happen early.
pub(super) const TINY: Settings = Settings {
    cache_bytes: 0,
    segment_bytes: 4 << 10,
    reserve_bytes: 2 << 10,
    checkpoint_bytes: 8 << 10,
    dirty_bytes: 32 << 10,
    log_slack_bytes: 8 << 10,
};

/// A machine with a store, and what that should hold.
pub(super) struct Machine {
    pub(super) files: SimulatedFiles,
    pub(super) engine: MemoryEngine,
    pub(super) store: LogStore<MemoryEngine>,
    settings: Settings,
    /// What the store would hold after each commit, from the last that is synced on.
    states: Vec<MemoryStore>,
}

impl Machine {
    pub(super) fn new(settings: Settings) -> Self {
        let (files, engine) = (SimulatedFiles::new(), MemoryEngine::new());
        let store = open(&files, &engine, settings).unwrap();
        let states = vec![MemoryStore::new()];
        let mut machine = Self { files, engine, store, settings, states };
        machine.store.load().unwrap();
        machine
    }

    /// Commits; what fails may be there or not until it is committed again.
    pub(super) fn commit(&mut self, ops: &[Op], urgency: Urgency) -> Result<(), StoreError> {
        let mut after = self.now().restarted();
        after.commit(ops, urgency).unwrap();
        let result = self.store.commit(ops, urgency).map(drop);
        self.states.push(after);
        if result.is_ok() && urgency == Urgency::Now {
            self.synced();
        }
        result
    }

    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.store.sync()?;
        self.synced();
        Ok(())
    }

    fn synced(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    /// What the store should hold now.
    pub(super) fn now(&self) -> &MemoryStore {
        self.states.last().unwrap()
    }

    /// Does all maintenance there is; gives up at the first error.
    pub(super) fn maintain(&mut self) -> Result<(), StoreError> {
        let mut steps = 0;
        while self.store.maintain()?.more {
            steps += 1;
            assert!(steps < 10_000, "maintenance has no end");
        }
        Ok(())
    }

    /// The machine stops now, and another process finds what is left.
    pub(super) fn restart(&mut self, seed: u64, how: Cut) -> Loaded {
        self.files = self.files.cut(seed, how);
        self.engine = self.engine.cut();
        self.store = open(&self.files, &self.engine, self.settings).unwrap();
        let loaded = self.store.load().unwrap();
        let found = Contents::of(&mut self.store, &loaded);
        let fits = |state: &MemoryStore| same(&contents(state).0, &found);
        // The newest that fits: what follows builds on it.
        let at = self.states.iter().rposition(fits);
        let Some(at) = at else {
            let last = contents(self.now()).0;
            let last = format!("{last:?}");
            let found = format!("{found:?}");
            let lines: std::collections::BTreeSet<&str> = last.lines().collect();
            let other: std::collections::BTreeSet<&str> = found.lines().collect();
            let found: Vec<_> = other.difference(&lines).take(9).collect();
            let last: Vec<_> = lines.difference(&other).take(9).collect();
            panic!(
                "none of {} states; the last: {last:#?}\n\nfound: {found:#?}\n{:?} {:?}",
                self.states.len(),
                loaded.incidents,
                loaded.dropped
            );
        };
        assert_eq!(loaded.quarantined, []);
        let mut state = self.states[at].restarted();
        state.load().unwrap();
        self.states = vec![state];
        loaded
    }

    /// Expects the store to hold what it should, read through and through.
    pub(super) fn check(&mut self) {
        let (expected, _) = contents(self.now());
        for (session, queue) in &expected.queues {
            assert_eq!(super::harness::queue(&mut self.store, *session), *queue);
        }
    }
}

pub(super) fn open(
    files: &SimulatedFiles,
    engine: &MemoryEngine,
    settings: Settings,
) -> Result<LogStore<MemoryEngine>, StoreError> {
    LogStore::open(engine.clone(), Arc::new(files.clone()), PathBuf::from("store"), settings)
}

fn contents(store: &MemoryStore) -> (Contents, Loaded) {
    let mut store = store.restarted();
    let loaded = store.load().unwrap();
    (Contents::of(&mut store, &loaded), loaded)
}

/// Whether both are the same but for numbers of sessions that were never stored.
fn same(expected: &Contents, found: &Contents) -> bool {
    let mut found = found.clone();
    let (next, most) = (&mut found.snapshot.next_session, expected.snapshot.next_session);
    let above_all = expected.snapshot.sessions.iter().all(|session| session.key.0 < *next);
    let fits = *next <= most && above_all;
    *next = most;
    fits && found == *expected
}

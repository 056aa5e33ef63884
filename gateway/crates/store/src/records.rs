use broker::durable::Op;

use crate::{
    CommitStats, Incident, Loaded, StoreError, Usage,
    engine::{Engine, Writes},
    plan::{Changes, Index, Plan, meta, put_number},
    record,
    recovery::{Recovered, Recovery},
};

/// A store of our records over any engine.
pub(crate) struct Records<E> {
    pub(crate) engine: E,
    /// `None` until the engine was read.
    index: Option<Index>,
    /// A commit that failed. It may be applied without being durable, so it is applied
    /// again before anything else is planned.
    pending: Option<Pending>,
}

struct Pending {
    writes: Writes,
    changes: Changes,
    stats: CommitStats,
}

impl<E: Engine> Records<E> {
    pub(crate) const fn new(engine: E) -> Self {
        Self { engine, index: None, pending: None }
    }

    pub(crate) fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut read = self.read();
        // An engine that lost records may also have lost its way to where new ones go.
        let damage = match &read {
            Ok(recovered) => recovered.damage(),
            Err(StoreError::Damaged { .. }) => read.as_ref().err().map(ToString::to_string),
            Err(_) => None,
        };
        if let Some(reason) = damage {
            self.engine.salvage(&reason)?;
            read = self.read();
        }
        let recovered = read?;
        let missing = recovered.missing();
        let Recovered { mut loaded, index, mut repairs, live_bytes, rolled_back, .. } = recovered;
        loaded.incidents = self.engine.incidents();
        loaded.incidents.extend(rolled_back.map(|commits| Incident::RolledBack { commits }));
        loaded.incidents.extend(missing.map(|records| Incident::RecordsMissing { records }));
        if recovered.outdated_numbers || !repairs.is_empty() {
            put_numbers(&mut repairs, &index);
            loaded.repairs_failed = self.engine.apply(&repairs).err();
        }
        self.engine.settle(live_bytes);
        loaded.incidents.extend(self.engine.incidents());
        self.index = Some(index);
        self.pending = None;
        Ok(loaded)
    }

    pub(crate) fn commit(&mut self, ops: &[Op]) -> Result<CommitStats, StoreError> {
        if self.index.is_none() {
            self.load()?;
        }
        let index = self.index.get_or_insert_default();
        let mut total = CommitStats::default();
        if let Some(pending) = self.pending.take() {
            total.add(apply(&mut self.engine, index, pending, &mut self.pending)?);
        }
        let mut plan = Plan::new(&mut self.engine, index);
        for op in ops {
            plan.add(op)?;
        }
        plan.count()?;
        let stats = plan.stats();
        let Plan { writes, changes, .. } = plan;
        if !writes.is_empty() {
            let planned = Pending { writes, changes, stats };
            total.add(apply(&mut self.engine, index, planned, &mut self.pending)?);
        }
        Ok(total)
    }

    pub(crate) fn usage(&self) -> Usage {
        self.engine.usage()
    }

    fn read(&mut self) -> Result<Recovered, StoreError> {
        let mut recovery = Recovery::default();
        self.engine.scan(&mut |key, value| recovery.feed(key, value))?;
        recovery.finish(self.engine.marked())
    }
}

/// Makes one planned commit durable, or keeps it.
fn apply(
    engine: &mut impl Engine,
    index: &mut Index,
    commit: Pending,
    kept: &mut Option<Pending>,
) -> Result<CommitStats, StoreError> {
    if let Err(error) = engine.apply(&commit.writes) {
        *kept = Some(commit);
        return Err(error);
    }
    index.absorb(commit.changes);
    engine.mark(index.commits);
    Ok(CommitStats { syncs: 1, ..commit.stats })
}

/// What an engine holds before anything else.
pub(crate) fn first_writes() -> Writes {
    let mut writes = Writes::new();
    put_numbers(&mut writes, &Index::default());
    writes
}

fn put_numbers(writes: &mut Writes, index: &Index) {
    put_number(writes, meta::FORMAT, u64::from(record::FORMAT));
    put_number(writes, meta::COMMITS, index.commits);
    put_number(writes, meta::ENTRIES, index.entries);
    put_number(writes, meta::NEXT_MESSAGE, index.next_message);
    put_number(writes, meta::NEXT_SESSION, u64::from(index.next_session));
}

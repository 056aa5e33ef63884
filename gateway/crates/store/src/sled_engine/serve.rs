use std::fs;

use super::{COPY, SledEngine, database::Database, files::remove_dir};
use crate::{
    Incident, StoreError,
    engine::{Engine, EngineUsage, Marks, Visit, VisitSome, Writes},
    key::Key,
};

/// The file may hold this many times what is live, and some slack besides, before it is copied.
const SLACK_FACTOR: u64 = 2;
/// Entries written to a new database at a time.
const BATCH: usize = 256;

impl Engine for SledEngine {
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        // A damaged database stays open: what is readable is copied out of it.
        let mut entries = 0_u64;
        self.database()?.scan(&mut |key, value| {
            entries += 1;
            visit(key, value);
        })?;
        if entries == 0 {
            let detail = "nothing is in it, not even its format".to_owned();
            return Err(StoreError::Damaged { action: "read", detail });
        }
        Ok(())
    }

    fn range(
        &mut self,
        from: &Key,
        prefix: &Key,
        visit: &mut VisitSome<'_>,
    ) -> Result<(), StoreError> {
        self.with(|database| database.range(from, prefix, visit))
    }

    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| database.get(key))
    }

    fn apply(&mut self, writes: &Writes) -> Result<(), StoreError> {
        self.with(|database| database.apply(writes))?;
        self.with(Database::flush)?;
        let synced = self.with(Database::sync);
        self.distrusted |= synced.is_err();
        synced
    }

    fn replace(&mut self, writes: &Writes) -> Result<(), StoreError> {
        let path = self.dir.join(COPY);
        remove_dir(&path)?;
        let copy = self.open_new(&path)?;
        let mut left = writes.iter().peekable();
        while left.peek().is_some() {
            copy.apply(left.by_ref().take(BATCH))?;
        }
        copy.make_durable()?;
        drop(copy);
        self.swap()
    }

    fn salvage(&mut self, reason: &str) -> Result<(), StoreError> {
        let salvaged = match self.copy() {
            Ok(copied) => copied.records,
            // The damaged database is all there is: it stays until there is space.
            Err(error) if error.is_no_space() => return Err(error),
            Err(_) => 0,
        };
        let path = self.set_aside()?;
        if salvaged == 0 {
            self.begin()?;
        } else {
            self.take_over(&self.dir.join(COPY))?;
        }
        self.incidents.push(Incident::SetAside { path, reason: reason.to_owned(), salvaged });
        Ok(())
    }

    fn settle(&mut self, live_bytes: u64, slack_bytes: u64) {
        let before = self.file_bytes();
        if before <= live_bytes.saturating_mul(SLACK_FACTOR).saturating_add(slack_bytes) {
            return;
        }
        let incident = match self.replace_by_copy() {
            Ok(()) => Incident::Compacted { before, after: self.file_bytes() },
            Err(error) => Incident::CompactionFailed { reason: error.to_string() },
        };
        self.incidents.push(incident);
    }

    fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    fn mark(&mut self, marks: Marks) {
        self.mark.set(marks);
    }

    fn marked(&self) -> Marks {
        self.mark.get()
    }

    fn usage(&self) -> EngineUsage {
        let stray = fs::read_dir(self.live().join("blobs")).map_or(0, Iterator::count);
        EngineUsage { file_bytes: self.file_bytes(), stray_files: stray as u64 }
    }
}

impl SledEngine {
    fn file_bytes(&self) -> u64 {
        fs::metadata(self.live().join("db")).map_or(0, |meta| meta.len())
    }
}

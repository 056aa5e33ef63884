use std::path::Path;

use crate::{DiskStore, Incident, Loaded, Settings, Store, StoreError, Usage, survey::is_there};

/// What compacting a store did.
#[derive(Debug)]
pub struct Compacted {
    /// What the store occupied before.
    pub before: Usage,
    /// And after.
    pub after: Usage,
    /// How it was found.
    pub loaded: Loaded,
    /// What else happened.
    pub incidents: Vec<Incident>,
}

/// Has the store in `dir` take as little space as it can, and leaves it as an orderly end of the
/// gateway would. It is repaired as at a start. Every step is durable before what it replaces is
/// removed: whenever it is interrupted, nothing is lost.
///
/// # Errors
/// [`StoreError::Locked`] when a gateway has the store open; when there is none; when the disk
/// has no room for what is written before space is freed.
pub fn compact(dir: &Path) -> Result<Compacted, StoreError> {
    if !is_there(dir) {
        return Err(StoreError::Absent { dir: dir.to_owned() });
    }
    let mut store = DiskStore::open(dir, Settings::default())?;
    let loaded = store.load()?;
    let before = store.usage();
    let incidents = store.tighten()?;
    let after = store.usage();
    store.close();
    Ok(Compacted { before, after, loaded, incidents })
}

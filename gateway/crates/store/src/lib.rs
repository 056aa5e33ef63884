//! Keeps what the broker must not forget, and says when it is kept.
//!
//! The broker hands over [`Op`]s; a [`Committer`] groups them on a
//! thread of its own and has a [`Store`] make them durable; only then does it report
//! the position up to which acknowledgements may leave.
//!
//! ```text
//! committer   groups commits, retries, counts          (a thread)
//! records     ops -> writes (plan), stored bytes -> snapshot (recovery)
//! record, key the format: ours, versioned, checksummed (no engine in sight)
//! engine      what an engine must do: an ordered map with atomic durable batches
//! sled_engine, memory_engine                           (the two that exist)
//! ```
//!
//! A commit is one atomic batch: after a crash all of it is there or none of it, so
//! a QoS 2 publication and the packet identifier that guards it cannot part.

mod committer;
mod engine;
mod error;
mod key;
mod loaded;
mod memory_engine;
mod plan;
mod record;
mod records;
mod recovery;
mod sled_engine;

use broker::durable::Op;

pub use committer::{Committer, CommitterSettings, CommitterStats, Event, EventSink};
pub use error::StoreError;
pub use key::Kind;
pub use loaded::{Dropped, Incident, Loaded, Quarantined};
pub use memory_engine::{Fault, MemoryStore};
pub use record::Damage;
pub use sled_engine::{Settings, SledStore};

/// Where the broker's durable state lives.
pub trait Store: Send {
    /// Reads everything, repairing what does not fit together.
    ///
    /// # Errors
    /// When the store cannot be read at all. Damage is no error: it is set aside and
    /// reported in [`Loaded`].
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes `ops` durable, all or none; they are when this returns `Ok`.
    ///
    /// After an error the same ops may be committed again: doing it twice is the
    /// same as doing it once.
    ///
    /// # Errors
    /// When anything stood in the way; then nothing may be acknowledged.
    fn commit(&mut self, ops: &[Op]) -> Result<CommitStats, StoreError>;

    /// What the store occupies.
    fn usage(&self) -> Usage;
}

/// What one commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Records, or pieces of long ones, created or replaced.
    pub records_written: u64,
    /// Records, or pieces of long ones, removed.
    pub records_removed: u64,
    /// Bytes of keys and values handed to the engine.
    pub bytes: u64,
    /// Times the file was synced: 0 when ops cancelled each other out.
    pub syncs: u64,
}

impl CommitStats {
    fn add(&mut self, other: Self) {
        self.records_written += other.records_written;
        self.records_removed += other.records_removed;
        self.bytes += other.bytes;
        self.syncs += other.syncs;
    }
}

/// What a store occupies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the engine's files. They are reused, and shrink only at start.
    pub file_bytes: u64,
    /// Files that the engine keeps outside its log; anything but 0 is a defect.
    pub stray_files: u64,
}

//! Keeps what the broker must not forget, and says when it is kept.
//!
//! The broker hands over [`Op`]s; a [`Committer`] groups them on a
//! thread of its own and has a [`Store`] make them durable; only then does it report
//! the position up to which acknowledgements may leave. What waits in queues is read back when
//! its turn comes.
//!
//! ```text
//! committer           groups commits, serves reads, retries      (a thread)
//! log_store           a log and an engine: commit, read, checkpoint, compaction, load
//! plan, change        ops -> the fewest changes -> bytes of a group
//! state               what is committed and not in the engine: changed, queue (pages), ledger
//! recovery            stored bytes -> snapshot
//! record, key, varint the format: ours, versioned, checksummed (no engine in sight)
//! log                 groups of records in segment files
//! engine              what an engine must do: an ordered map with atomic durable batches
//! sled_engine         the one that exists
//! survey, compact     looking into a store of others; making one small
//! memory_store        a store that is maps: what tests compare with
//! key_values          what extensions keep, in an engine of its own   (a thread)
//! ```
//!
//! A commit is one group of the log: after a crash all of it is there or none of it, so
//! a QoS 2 publication and the packet identifier that guards it cannot part.

#[cfg(test)]
extern crate self as portcullis_store;

mod change;
mod changed;
mod committer;
mod compact;
mod disk_store;
mod engine;
mod error;
mod key;
mod key_values;
mod ledger;
mod loaded;
mod log;
mod log_store;
#[cfg(test)]
mod memory_engine;
mod memory_store;
mod numbers;
mod plan;
mod queue;
mod recent;
mod record;
mod recovery;
mod sled_engine;
mod state;
mod survey;
mod varint;

use broker::durable::{Op, Page, Read, Urgency};

pub use committer::{Committer, CommitterSettings, CommitterStats, Event, EventSink};
pub use compact::{Compacted, compact};
pub use disk_store::{DiskStore, Settings};
pub use error::StoreError;
pub use key::Kind;
pub use key_values::{
    Change, Changed, KeyValueError, KeyValueEvent, KeyValueQuota, KeyValueSink, KeyValues,
    KeyValuesFound,
};
pub use loaded::{Dropped, Incident, Loaded, Quarantined};
/// The files below the log, and simulated ones: for tests.
#[doc(hidden)]
pub use log::{Cut, Failure, Files, Listed, OpenFile, Operation, RealFiles, SimulatedFiles};
pub use memory_store::{Fault, MemoryStore};
pub use record::Damage;
pub use survey::{Finding, Overview, Segment, Survey};

/// Where the broker's durable state lives.
pub trait Store: Send {
    /// Reads everything but the queues, repairing what does not fit together.
    ///
    /// # Errors
    /// When the store cannot be read at all. Damage is no error: it is set aside and
    /// reported in [`Loaded`].
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Writes `ops`, all or none: when this returns `Ok`, they survive the end of the process,
    /// and with [`Urgency::Now`] a power cut, together with everything before them.
    ///
    /// After an error the same ops may be committed again: doing it twice is the
    /// same as doing it once.
    ///
    /// # Errors
    /// When anything stood in the way; then nothing may be acknowledged.
    fn commit(&mut self, ops: &[Op], urgency: Urgency) -> Result<CommitStats, StoreError>;

    /// Makes everything that was committed survive a power cut.
    ///
    /// # Errors
    /// When anything stood in the way; then nothing may be acknowledged.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Reads entries of a queue that are committed.
    ///
    /// # Errors
    /// When the operating system refuses. Damage is no error: the entry comes without its
    /// message.
    fn read(&mut self, read: &Read) -> Result<Page, StoreError>;

    /// Does a step of what is to be done now and then; cheap when there is nothing.
    ///
    /// # Errors
    /// When anything stood in the way. Nothing is lost thereby; it is to be called again later.
    fn maintain(&mut self) -> Result<Maintained, StoreError>;

    /// What the store occupies.
    fn usage(&self) -> Usage;

    /// Leaves everything so that the next start has little to do, as far as possible.
    fn close(&mut self);
}

/// What one commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Messages and records created or replaced.
    pub records_written: u64,
    /// Records removed.
    pub records_removed: u64,
    /// Bytes written to the log.
    pub bytes: u64,
    /// Times that the disk was waited for.
    pub syncs: u64,
}

/// What a step of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Files of the log removed.
    pub segments_removed: u64,
    /// Bytes of messages that were written again so that files can be removed.
    pub moved_bytes: u64,
    /// Whether there is more to do at once.
    pub more: bool,
    /// Whether the disk is so full that the reserve was given up.
    pub disk_full: bool,
    /// What happened that an operator should know.
    pub incidents: Vec<Incident>,
}

/// What a store occupies, and what it wrote since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Of these, bytes of the log, its reserve included.
    pub log_bytes: u64,
    /// Of these, bytes of the database.
    pub engine_bytes: u64,
    /// Bytes of what is alive, near enough.
    pub live_bytes: u64,
    /// Files of the log.
    pub segments: u64,
    /// Whether the reserve for a full disk is there.
    pub reserve_held: bool,
    /// Files that the database keeps outside its own log; anything but 0 is a defect.
    pub stray_files: u64,
    /// Bytes written to the log.
    pub written_to_log: u64,
    /// Bytes of keys and values given to the database, which writes several times as much; how
    /// much, it does not tell.
    pub written_to_engine: u64,
}

use std::{fmt, path::PathBuf};

use broker::durable::Snapshot;

use crate::{Damage, Kind, StoreError};

/// What a store held, and what had to be done to read it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The state to start the broker from. The queues are read later.
    pub snapshot: Snapshot,
    /// Damaged records found now, the first [`Loaded::MAX_REPORTED`] of them.
    pub quarantined: Vec<Quarantined>,
    /// Damaged records found now.
    pub quarantined_total: u64,
    /// Pieces of damaged records kept in the store, of this start and earlier ones.
    pub quarantine_held: u64,
    /// Intact records that were of no use without others.
    pub dropped: Dropped,
    /// What happened to the store as a whole.
    pub incidents: Vec<Incident>,
    /// Why the repairs are not on disk; they are made again at the next start.
    pub repairs_failed: Option<StoreError>,
}

impl Loaded {
    /// Damaged records that are reported one by one.
    pub const MAX_REPORTED: usize = 100;

    /// Whether nothing was damaged, missing or set aside.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.quarantined_total == 0
            && self.dropped == Dropped::default()
            && self.incidents.is_empty()
            && self.repairs_failed.is_none()
    }
}

/// A damaged record. Its bytes were moved out of the way, not deleted, while the
/// quarantine has room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What it was; `None` when even that is unknown.
    pub kind: Option<Kind>,
    /// Its key in hexadecimal.
    pub key: String,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Intact records that were dropped because what they belong to is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Queue entries without their session.
    pub deliveries_without_session: u64,
    /// Queue entries without their message: losses, where the message was damaged.
    pub deliveries_without_message: u64,
    /// Subscriptions without their session.
    pub subscriptions: u64,
    /// Received packet identifiers without their session.
    pub received: u64,
    /// Pieces left over from longer records.
    pub fragments: u64,
}

/// What happened to a store as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// The database could not be used and was renamed; another was begun.
    SetAside {
        /// Where it is now.
        path: PathBuf,
        /// Why.
        reason: String,
        /// Records copied into the new database.
        salvaged: u64,
    },
    /// A store of an earlier format was rewritten.
    Upgraded {
        /// Which it was.
        from: u8,
        /// Queue entries that were in it.
        queued: u64,
        /// Records that could not be read.
        damaged: u64,
    },
    /// A part of the message log cannot be read any more.
    LogDamaged {
        /// Number of its file.
        segment: u32,
        /// How many groups of changes and messages are lost, at least.
        groups: u64,
        /// How many bytes they took, as far as they are still there.
        bytes: u64,
    },
    /// Pages of queues were damaged while the store was in use; what was in them is lost.
    PagesUnreadable {
        /// How many.
        pages: u64,
    },
    /// The database came up as it was some checkpoints ago, and the log does not tell all that
    /// happened since.
    RolledBack {
        /// How many, at least.
        commits: u64,
    },
    /// Fewer records are there than were written: the engine lost some without a word.
    RecordsMissing {
        /// How many.
        records: u64,
    },
    /// The engine's own settings file was damaged and was written anew.
    SettingsRewritten {
        /// What was wrong with it.
        reason: String,
    },
    /// The database was copied to shed unused space.
    Compacted {
        /// Bytes of the file before.
        before: u64,
        /// Bytes of the file after.
        after: u64,
    },
    /// Shedding unused space failed; the database is unchanged.
    CompactionFailed {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { path, reason, salvaged } => write!(
                f,
                "store was damaged ({reason}) and is kept at {}; {salvaged} records were saved from it",
                path.display()
            ),
            Self::Upgraded { from, queued, damaged } => write!(
                f,
                "store of format {from} was rewritten, {queued} queued messages with it; \
                 {damaged} records could not be read"
            ),
            Self::LogDamaged { segment, groups, bytes } => write!(
                f,
                "store lost {groups} groups of changes or more to damage of {bytes} bytes of its \
                 log file {segment:08}"
            ),
            Self::PagesUnreadable { pages } => {
                write!(f, "store lost {pages} pages of queues to damage while it was in use")
            }
            Self::RolledBack { commits } => {
                write!(f, "store lost its last {commits} checkpoints or more to damage")
            }
            Self::RecordsMissing { records } => {
                write!(f, "store lost {records} records to damage")
            }
            Self::SettingsRewritten { reason } => {
                write!(f, "store settings were damaged ({reason}) and have been rewritten")
            }
            Self::Compacted { before, after } => {
                write!(f, "store was compacted from {before} to {after} bytes")
            }
            Self::CompactionFailed { reason } => {
                write!(f, "store could not be compacted ({reason}); it works on as it is")
            }
        }
    }
}

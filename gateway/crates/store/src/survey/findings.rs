use broker::durable::{Page, StoredSession};

use super::part;
use crate::{Dropped, Incident, Kind, Loaded, Quarantined, StoreError, log_store::Look};

/// Something that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: String,
    /// What is wrong there.
    pub damage: String,
    /// What is lost with it.
    pub cost: String,
}

impl Finding {
    fn new(place: impl Into<String>, damage: impl Into<String>, cost: impl Into<String>) -> Self {
        Self { place: place.into(), damage: damage.into(), cost: cost.into() }
    }
}

/// What reading the records found.
pub(super) fn of_loaded(loaded: &Loaded, found: &mut dyn FnMut(Finding)) {
    for record in &loaded.quarantined {
        found(of_record(record, &loaded.snapshot.sessions));
    }
    let more = loaded.quarantined_total - loaded.quarantined.len() as u64;
    if more > 0 {
        let place = format!("{more} more records of the database");
        found(Finding::new(place, "damaged", "what was in them"));
    }
    loaded.incidents.iter().filter_map(of_incident).for_each(&mut *found);
    of_dropped(&loaded.dropped, found);
}

fn of_record(record: &Quarantined, sessions: &[StoredSession]) -> Finding {
    let Quarantined { kind, key, damage } = record;
    let place = match kind {
        Some(kind) => format!("database, {kind} record {key}"),
        None => format!("database, record {key}"),
    };
    let owner = key.get(2..10).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let session = || match sessions.iter().find(|it| Some(it.key.0) == owner) {
        Some(session) => format!("client {:?}", session.record.client_id),
        None => format!("session {}", owner.unwrap_or(0)),
    };
    let cost = match kind {
        Some(Kind::Meta) => "nothing: it is counted anew".to_owned(),
        Some(Kind::Session) => {
            format!("{} as a whole, with subscriptions and queue", session())
        }
        Some(Kind::Subscription) => format!("one subscription of {}", session()),
        Some(Kind::Queue) => {
            format!("up to {} queued messages of {}", crate::queue::SLOTS, session())
        }
        Some(Kind::Received) => format!(
            "that {} sent a QoS 2 message already: it may be taken twice if it is sent again",
            session()
        ),
        Some(Kind::Retained) => "one retained message".to_owned(),
        Some(Kind::Message) => "one queued message".to_owned(),
        Some(Kind::Delivery) => format!("one queued message of {}", session()),
        Some(Kind::Kept | Kind::Quarantine) | None => "what was in it".to_owned(),
    };
    Finding::new(place, damage.to_string(), cost)
}

fn of_incident(incident: &Incident) -> Option<Finding> {
    Some(match incident {
        Incident::SetAside { reason, salvaged, .. } => Finding::new(
            "database",
            reason.as_str(),
            format!("all but the {salvaged} records that can be read; the log may have the rest"),
        ),
        Incident::Upgraded { damaged: damaged @ 1.., .. } => Finding::new(
            "database",
            format!("{damaged} records of an earlier format cannot be read"),
            "what was in them",
        ),
        Incident::LogDamaged { segment, groups, bytes } => Finding::new(
            format!("log file {segment:08}"),
            format!("{groups} groups of changes or more cannot be read ({bytes} bytes)"),
            "what was committed with them: messages, acknowledgements, changes of sessions",
        ),
        Incident::PagesUnreadable { pages } => pages_lost(*pages),
        Incident::RolledBack { commits } => Finding::new(
            "database",
            format!("the last {commits} checkpoints or more are missing"),
            "what changed since",
        ),
        Incident::RecordsMissing { records } => {
            Finding::new("database", format!("{records} records are missing"), "what was in them")
        }
        Incident::SettingsRewritten { reason } => {
            Finding::new("database, settings", reason.as_str(), "nothing: they are written anew")
        }
        Incident::Upgraded { .. }
        | Incident::Compacted { .. }
        | Incident::CompactionFailed { .. } => return None,
    })
}

fn of_dropped(dropped: &Dropped, found: &mut dyn FnMut(Finding)) {
    let Dropped {
        deliveries_without_session,
        deliveries_without_message,
        subscriptions,
        received,
        fragments,
    } = *dropped;
    let mut some = |count: u64, place: &str, damage: &str, cost: &str| {
        if count > 0 {
            found(Finding::new(place, format!("{count} {damage}"), cost));
        }
    };
    let without = "are of no session";
    some(deliveries_without_session, "queues", &format!("entries {without}"), "these messages");
    some(
        deliveries_without_message,
        "queues",
        "entries name log files that are not there",
        "these messages",
    );
    some(subscriptions, "subscriptions", without, "these subscriptions");
    some(received, "received packet identifiers", without, "nothing but what the session is");
    some(fragments, "database", "pieces are left over from longer records", "nothing");
}

/// Files of the log whose beginning is damaged.
pub(super) fn of_segments(unsound: &[u32], found: &mut dyn FnMut(Finding)) {
    for number in unsound {
        let place = format!("log file {number:08}, header");
        let cost = "nothing, unless messages in it are reported as well";
        found(Finding::new(place, "checksum does not match", cost));
    }
}

/// Pages of queues that could not be read when their turn came.
pub(super) fn of_pages(pages: u64, found: &mut dyn FnMut(Finding)) {
    if pages > 0 {
        found(pages_lost(pages));
    }
}

fn pages_lost(pages: u64) -> Finding {
    let cost = format!("up to {} queued messages each", crate::queue::SLOTS);
    Finding::new("database", format!("{pages} pages of queues cannot be read"), cost)
}

/// Reads all queues; returns how many messages were read.
pub(super) fn of_queues(
    store: &mut dyn Look,
    sessions: &[StoredSession],
    found: &mut dyn FnMut(Finding),
) -> Result<u64, StoreError> {
    let mut read = 0;
    for session in sessions {
        let client = &session.record.client_id;
        let (mut from, mut count) = (Some(0), 0);
        while let Some(first) = from {
            let Page { entries, next, .. } = store.read(&part(session.key, first))?;
            count += entries.len();
            for entry in &entries {
                read += u64::from(entry.body.is_some());
                if entry.body.is_some() || entry.delivery.released {
                    continue;
                }
                let (place, damage) = match store.position(session.key, entry.sequence)? {
                    Some(at) => (
                        format!("log file {:08} at {}", at.segment, at.offset),
                        "message is damaged",
                    ),
                    None => (
                        format!("queue of client {client:?}"),
                        "message was damaged when files were tidied",
                    ),
                };
                let cost = format!("message {} of client {client:?}", entry.sequence);
                found(Finding::new(place, damage, cost));
            }
            from = next;
        }
        if count != session.queue.count {
            let damage = format!("has {count} entries, should have {}", session.queue.count);
            let cost = "the messages that are missing";
            found(Finding::new(format!("queue of client {client:?}"), damage, cost));
        }
    }
    Ok(read)
}

//! A store's content in words of this crate: the only place here that knows the store's own types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use broker::durable::{Read, SessionKey, Wanted};
use mqtt::QoS;
use store::{DiskStore, Dropped, Settings, Store};

use crate::key::Key;

/// What a store holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// By client identifier.
    pub(crate) sessions: BTreeMap<String, StoredSession>,
    /// Payloads by topic.
    pub(crate) retained: BTreeMap<String, Vec<u8>>,
    /// Clients of which there is more than one session.
    pub(crate) doubles: Vec<String>,
    /// Only what the sessions of subscribers will get, and what is retained, is known.
    pub(crate) partial: bool,
    /// What the store says that it had to repair.
    pub(crate) repairs: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct StoredSession {
    pub(crate) subscriptions: BTreeMap<String, QoS>,
    /// In the order in which they will be sent.
    pub(crate) queue: Vec<Entry>,
    /// QoS 2 identifiers of the client's own that are not released.
    pub(crate) received: BTreeSet<u16>,
}

/// One entry of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) packet_id: u16,
    pub(crate) qos: QoS,
    /// Only PUBREL is owed.
    pub(crate) released: bool,
    /// `None` if its payload is nobody's, or gone because it is released.
    pub(crate) key: Option<Key>,
}

/// Packet identifiers follow from positions in the queue (gateway/decisions/0003).
const IDENTIFIERS: u64 = 65_535;

impl Stored {
    /// Opens the store in `folder`, which may repair it, and reads all of it.
    ///
    /// The error is that it does not open, in its own words.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let mut store =
            DiskStore::open(folder, Settings::default()).map_err(|error| error.to_string())?;
        let loaded = store.load().map_err(|error| error.to_string())?;
        let mut stored = Self::default();
        // Where it put what it set aside is in a folder that goes away.
        let told = loaded.incidents.iter().map(|incident| {
            let text = incident.to_string();
            text.split(" and is kept at ").next().unwrap_or_default().to_owned()
        });
        stored.repairs.extend(told);
        if loaded.quarantined_total > 0 {
            stored.repairs.push("damaged records".to_owned());
        }
        if loaded.dropped != Dropped::default() {
            stored.repairs.push(format!("records without others: {:?}", loaded.dropped));
        }
        let snapshot = loaded.snapshot;
        for session in snapshot.sessions.into_iter().filter(|session| !session.record.ended) {
            let subscriptions = session.subscriptions.iter();
            let held = StoredSession {
                subscriptions: subscriptions
                    .map(|(filter, it)| (filter.as_str().to_owned(), it.options.qos))
                    .collect(),
                queue: queue(&mut store, session.key)?,
                received: session.received.iter().map(|id| id.get()).collect(),
            };
            let client_id = session.record.client_id.to_string();
            if stored.sessions.insert(client_id.clone(), held).is_some() {
                stored.doubles.push(client_id);
            }
        }
        for message in snapshot.retained {
            stored.retained.insert(message.topic.as_str().to_owned(), message.payload.to_vec());
        }
        Ok(stored)
    }
}

/// A whole queue, read as the gateway reads it, in parts.
fn queue(store: &mut DiskStore, session: SessionKey) -> Result<Vec<Entry>, String> {
    let mut queue = Vec::new();
    let mut from = Some(0);
    while let Some(first) = from {
        let (max_entries, max_bytes) = (1000, 1 << 20);
        let read = Read { session, from: first, max_entries, max_bytes, wanted: Wanted::All };
        let page = store.read(&read).map_err(|error| error.to_string())?;
        queue.extend(page.entries.into_iter().map(|found| Entry {
            packet_id: u16::try_from(found.sequence % IDENTIFIERS).unwrap_or_default() + 1,
            qos: found.delivery.qos,
            released: found.delivery.released,
            key: found.body.and_then(|body| Key::of(&body.payload)),
        }));
        from = page.next;
    }
    Ok(queue)
}

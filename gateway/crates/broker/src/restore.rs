use std::sync::Arc;

use auth::Identity;
use session::{Inbound, Outbound, Rest, Timestamp};

use crate::Broker;
use crate::client::{Client, Offline, Will};
use crate::durable::{Lsn, Snapshot, StoredSession};
use crate::estate::Estate;
use crate::queue::Values;
use crate::quota::Excesses;
use crate::read_ahead::Sweep;

impl Broker {
    /// Goes on from what was durable when the gateway stopped. A session that was connected
    /// then counts as disconnected now. Queues stay on disk until somebody comes for them.
    pub(crate) fn restore(&mut self, now: Timestamp, snapshot: Snapshot) {
        for message in snapshot.retained {
            self.retained.insert(message);
        }
        for stored in snapshot.sessions {
            self.restore_session(now, stored);
        }
    }

    fn restore_session(&mut self, now: Timestamp, stored: StoredSession) {
        let StoredSession { key, record, subscriptions, queue, received } = stored;
        let uid = self.new_uid();
        // What was sent until the moment of a crash, nobody knows.
        let sent_below =
            if record.disconnected_at.is_some() { record.sent_below } else { queue.next };
        if record.ended {
            let filters = subscriptions.iter().map(|(filter, _)| filter);
            self.open_estate(uid, Estate::new(key, filters, sent_below), queue.first);
            return;
        }
        let rest = Rest {
            first: queue.first,
            count: queue.count,
            weight: queue.weight,
            shared: queue.shared,
        };
        self.queued_bytes += rest.weight;
        let mut inbound = Inbound::default();
        received.into_iter().for_each(|packet_id| inbound.receive(packet_id));
        let expiry = record.expiry_seconds;
        let since = record.disconnected_at.unwrap_or(now);
        let until = (expiry != u32::MAX).then(|| since.after_seconds(expiry));
        let will = record.will.map(|will| Will::from_record(*will));
        let will_due = will.as_ref().map(|will| since.after_seconds(will.delay.min(expiry)));
        let mut sweep = Sweep::default();
        sweep.note_expiry(queue.first_expiry);
        let client_id = Arc::clone(&record.client_id);
        let client = Client {
            uid,
            identity: Identity {
                client_id: record.client_id,
                principal: record.principal,
                attributes: Vec::new(),
            },
            permissions: None,
            key: Some(key),
            terms: Lsn::default(),
            alarm: None,
            version: record.version,
            expiry_seconds: expiry,
            subscriptions: subscriptions.into_iter().collect(),
            outbound: Outbound::restored(
                rest,
                queue.classes,
                queue.next.max(sent_below),
                sent_below,
            ),
            arrangement: None,
            reading: None,
            behind: Lsn::default(),
            waits: false,
            trims: false,
            sweep,
            values: Values::default(),
            excesses: Excesses::default(),
            inbound,
            will,
            online: None,
            offline: Some(Offline { since, until, will_due }),
        };
        let session = u32::try_from(self.clients.insert(client)).unwrap_or(u32::MAX);
        self.by_client_id.insert(client_id, session);
        self.set_alarm(session);
        let Some(client) = self.clients.get(session as usize) else { return };
        for (filter, subscription) in &client.subscriptions {
            self.subscriptions.insert(filter.as_filter(), session, *subscription);
        }
    }
}

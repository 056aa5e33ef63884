use std::collections::BTreeMap;
use std::sync::Arc;

use auth::Identity;
use session::{Inbound, Message, Outbound, Timestamp};

use crate::Broker;
use crate::client::{Client, Offline, Tag};
use crate::durable::{Lsn, MessageKey, Op, Snapshot, StoredSession};

impl Broker {
    /// Goes on from what was durable when the gateway stopped. A session that was connected
    /// then counts as disconnected now.
    pub(crate) fn restore(&mut self, now: Timestamp, snapshot: Snapshot) {
        for message in snapshot.retained {
            self.retained.insert(message);
        }
        let messages: BTreeMap<MessageKey, Arc<Message>> = snapshot.messages.into_iter().collect();
        for stored in snapshot.sessions {
            self.restore_session(now, stored, &messages);
        }
        // What no queue names would stay on disk for ever.
        for message in messages.into_keys() {
            self.journal.remove_unless_referenced(message);
        }
    }

    fn restore_session(
        &mut self,
        now: Timestamp,
        stored: StoredSession,
        messages: &BTreeMap<MessageKey, Arc<Message>>,
    ) {
        let StoredSession { key, record, subscriptions, deliveries, received } = stored;
        let uid = self.new_uid();
        let mut outbound = Outbound::new(0);
        for (sequence, delivery) in deliveries {
            // The store reports entries whose message is gone; here they are nothing.
            let Some(body) = messages.get(&delivery.message) else {
                self.journal.append(Op::RemoveDelivery { session: key, sequence });
                continue;
            };
            self.journal.restore_reference(delivery.message);
            let tag = Tag { promise: None, message: Some(delivery.message), stored: Some(Lsn(0)) };
            let body = Arc::clone(body);
            outbound.restore(sequence, body, delivery.qos, delivery.retain, delivery.released, tag);
        }
        self.queued_bytes += outbound.weight();
        let mut inbound = Inbound::default();
        received.into_iter().for_each(|packet_id| inbound.receive(packet_id));
        let since = record.disconnected_at.unwrap_or(now);
        let until =
            (record.expiry_seconds != u32::MAX).then(|| since.after_seconds(record.expiry_seconds));
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
            expiry_seconds: record.expiry_seconds,
            subscriptions: subscriptions.into_iter().collect(),
            outbound,
            inbound,
            will: None,
            online: None,
            offline: Some(Offline { since, until, will_due: None }),
        };
        let session = u32::try_from(self.clients.insert(client)).unwrap_or(u32::MAX);
        self.by_client_id.insert(client_id, session);
        self.set_alarm(session);
        let Some(client) = self.clients.get(session as usize) else { return };
        for (filter, options) in &client.subscriptions {
            self.subscriptions.insert(filter.as_filter(), session, *options);
        }
    }
}

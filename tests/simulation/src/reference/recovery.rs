use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Timestamp;
use mqtt::QoS;

use super::state::{Received, Subscription, Will};
use super::{Due, Kept, Message, Reference, Session};
use crate::disk::{Disk, Entry, Stored};

/// A power failure: what was promised is on disk, and what is on disk goes on.
impl Reference {
    pub(crate) fn crash(&mut self, disk: &Disk, at: Timestamp) {
        self.check_retained(disk);
        let mut before = std::mem::take(&mut self.sessions);
        self.connections.clear();
        for (key, stored) in disk.sessions() {
            let client = Arc::clone(&stored.record.client_id);
            let old = before.remove(&client).filter(|s| s.key.is_none_or(|known| known == key));
            let mut session = self.recover(old, stored, at);
            session.key = Some(key);
            session.version = stored.record.version;
            session.expiry = stored.record.expiry_seconds;
            let since = stored.record.disconnected_at.unwrap_or(at);
            session.ends_at =
                (session.expiry != u32::MAX).then(|| since.after_seconds(session.expiry));
            let delay = session.will.as_ref().map(|will| will.delay.min(session.expiry));
            session.will_at = delay.map(|delay| since.after_seconds(delay));
            self.sessions.insert(client, session);
        }
        for (client, session) in before {
            let promised = session.durable && session.expiry > 0 && session.key.is_some();
            assert!(!promised, "the session of {client} was promised and is lost");
        }
        self.ended.clear();
        self.recover_shares(disk, at);
    }

    /// After an orderly stop everything that waits is on disk.
    pub(crate) fn check_stored(&self, disk: &Disk, at: Timestamp) {
        for (client, session) in self.sessions.iter().filter(|(_, s)| s.durable) {
            let mut waits = session.row.iter().filter(|due| !session.may_be_skipped(due, at));
            let lost = waits.find(|due| !disk.holds(client, due));
            assert!(lost.is_none(), "a stop loses {lost:?} of {client}");
        }
        self.check_shares_stored(disk, at);
    }

    fn recover(&mut self, old: Option<Session>, stored: &Stored, at: Timestamp) -> Session {
        let client = &stored.record.client_id;
        self.epoch += 1;
        // One that was to be replaced and is back: of its queue nothing is known any more.
        let returned = old.as_ref().is_none_or(|old| old.key.is_none());
        let mut old = old.unwrap_or_else(|| Session::new(self.epoch, 0));
        let mut session = Session::new(old.epoch, 0);
        session.durable = true;
        for (sequence, Entry { record, body: message }) in &stored.deliveries {
            if record.shared {
                continue;
            }
            let is = |due: &Due| {
                due.qos == record.qos
                    && due.message.payload == *message.payload
                    && due.message.topic == message.topic.as_str()
            };
            let id = crate::disk::identifier(*sequence);
            let exact = old.row.iter().position(|due| is(due) && due.packet_id == Some(id));
            // Above the identifiers is the class of a rule.
            let ids = record.ids.iter().copied().filter(|id| *id < 1 << 28);
            let mut ids: Vec<u32> = ids.collect();
            ids.sort_unstable();
            // A publisher may have sent it twice, to a session that subscribed in between.
            let waiting = |due: &Due| is(due) && due.packet_id.is_none() && due.ids == ids;
            let same = |due: &Due| waiting(due) && due.message.expires == message.expires;
            // Of two that look the same the missing one may be the other.
            let there = |due: &Due| same(due) && !due.may_be_missing;
            let index = exact
                .or_else(|| old.row.iter().position(there))
                .or_else(|| old.row.iter().position(same))
                .or_else(|| old.row.iter().position(waiting));
            let mut due = match index {
                Some(index) => old.row.remove(index),
                None => {
                    let dropped = old.dropped.iter().any(|m| m.payload == *message.payload);
                    let known =
                        returned || record.released || record.qos == QoS::AtLeastOnce || dropped;
                    assert!(known, "{client} would get {message:?} again, QoS 2");
                    self.new_due(&std::rc::Rc::new(Message::stored(message)))
                }
            };
            assert!(
                record.released || !due.released_aloud,
                "{client} was sent PUBREL and would get {due:?} again"
            );
            assert!(
                index.is_none() || due.ids == ids,
                "{client}: {due:?} is on disk with the identifiers {ids:?}"
            );
            due.ids = ids;
            let expiry = due.message.expiry;
            due.message = std::rc::Rc::new(Message { expiry, ..Message::stored(message) });
            due.serial = self.serial;
            self.serial += 1;
            (due.qos, due.retain, due.released) = (record.qos, record.retain, record.released);
            (due.packet_id, due.sent_on) = (Some(id), None);
            session.row.push(due);
        }
        let lost = old.row.iter().find(|due| due.promised && !old.may_be_skipped(due, at));
        assert!(lost.is_none(), "an acknowledged message for {client} is lost: {lost:?}");
        session.will = recover_will(&old, stored);
        recover_subscriptions(&old, &mut session, stored);
        for id in &stored.received {
            let received = old.received.remove(id);
            let received = received.unwrap_or(Received { range: (0, 0), confirmed: true });
            session.received.insert(*id, Received { range: (0, 0), ..received });
        }
        let lost = old.received.iter().find(|(_, received)| received.confirmed);
        assert!(lost.is_none(), "{client} got PUBREC and the identifier is lost: {lost:?}");
        session
    }

    fn check_retained(&mut self, disk: &Disk) {
        let mut before = std::mem::take(&mut self.retained);
        for (topic, message) in &disk.retained {
            let kept = before.remove(topic.as_str());
            let kept = kept.filter(|kept| *kept.message.payload == *message.payload);
            let kept = kept.unwrap_or_else(|| Kept {
                message: std::rc::Rc::new(Message::stored(message)),
                promised: false,
            });
            self.retained.insert(topic.as_str().to_owned(), kept);
        }
        for (topic, kept) in &before {
            assert!(!kept.promised, "what {topic} retained was promised and is lost: {kept:?}");
        }
    }
}

/// A will that CONNACK has promised is there, and goes on.
fn recover_will(old: &Session, stored: &Stored) -> Option<Will> {
    let there = stored.record.will.as_ref();
    if old.will_promised && old.will.is_some() {
        assert!(
            there.is_some(),
            "the will of {} was promised and is lost",
            stored.record.client_id
        );
    }
    there.map(|will| {
        let message = Message::stored(&will.message);
        let expiry = will.expiry_seconds;
        Will { message: Message { expiry, ..message }, delay: will.delay_seconds }
    })
}

fn recover_subscriptions(old: &Session, session: &mut Session, stored: &Stored) {
    let client = &stored.record.client_id;
    let mut found = BTreeMap::new();
    for (filter, there) in &stored.subscriptions {
        assert!(!old.removed.contains(filter.as_str()), "{client}: {filter:?} is back");
        found.insert(filter.as_str().to_owned(), Subscription::stored(there));
    }
    for (filter, known) in old.subscriptions.iter().filter(|(_, known)| known.confirmed) {
        let same =
            found.get(filter).is_some_and(|f| f.options == known.options && f.id == known.id);
        assert!(same, "{client}: the subscription to {filter} was confirmed and is lost");
    }
    session.subscriptions = found;
    session.removed = old.removed.clone();
}

impl Message {
    pub(super) fn stored(message: &broker::Message) -> Self {
        Self {
            topic: message.topic.as_str().to_owned(),
            payload: message.payload.to_vec(),
            qos: message.qos,
            retain: message.retain,
            properties: message.properties.to_vec(),
            expiry: message.expires.map(|_| u32::MAX),
            expires: message.expires,
        }
    }
}

use std::rc::Rc;
use std::sync::Arc;

use broker::Timestamp;
use mqtt::{PacketKind, QoS, ReasonCode, TopicFilter, TopicName};

use super::state::Subscription;
use super::{Due, Kept, Message, Reference};

/// Who shares a subscription.
type Members = Vec<(Arc<str>, Subscription)>;

/// Who gets a message.
impl Reference {
    /// Gives `message` to everybody who subscribed; false if nobody did.
    pub(super) fn route(&mut self, from: Option<&str>, message: &Rc<Message>) -> bool {
        let topic = TopicName::new(&message.topic).expect("a topic");
        let mut matched = false;
        let mut groups: Vec<(String, Members)> = Vec::new();
        let clients: Vec<Arc<str>> = self.sessions.keys().cloned().collect();
        for client in clients {
            let own = from == Some(&*client);
            let mut plain: Vec<Subscription> = Vec::new();
            for (filter, subscription) in &self.sessions[&client].subscriptions {
                let name = TopicFilter::new(filter).expect("a filter");
                if !name.matches(topic) {
                    continue;
                }
                matched = true;
                if name.share_group().is_some() {
                    let group = groups.iter_mut().find(|(known, _)| known == filter);
                    let member = (Arc::clone(&client), *subscription);
                    match group {
                        Some((_, members)) => members.push(member),
                        None => groups.push((filter.clone(), vec![member])),
                    }
                } else if !(own && subscription.options.no_local) {
                    plain.push(*subscription);
                }
            }
            if !plain.is_empty() {
                let mut due = self.new_due(message);
                due.fit(&plain);
                self.give(&client, due);
            }
        }
        for (filter, members) in groups {
            self.share(filter, &members, message);
        }
        matched
    }

    /// Puts a delivery where it waits for the broker to send it.
    pub(super) fn give(&mut self, client: &Arc<str>, mut due: Due) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if due.qos > QoS::AtMostOnce {
            session.row.push(due);
        } else if let Some(connection) =
            session.online.and_then(|link| self.connections.get_mut(&link))
        {
            due.may_be_missing |= self.lossy;
            connection.loose.push_back(due);
        }
    }

    /// Keeps or clears a retained message; false when there is no room for it.
    pub(super) fn keep(&mut self, message: &Rc<Message>, at: Timestamp) -> bool {
        if message.payload.is_empty() {
            self.retained.remove(&message.topic);
            self.cleared.insert(message.topic.clone(), Rc::clone(message));
            return true;
        }
        if !self.has_room(message) {
            self.retained.retain(|_, kept| !kept.message.is_expired(at));
            if !self.has_room(message) {
                return false;
            }
        }
        let kept = Kept { message: Rc::clone(message), promised: false };
        self.retained.insert(message.topic.clone(), kept);
        true
    }

    fn has_room(&self, message: &Message) -> bool {
        let others = self.retained.iter().filter(|(topic, _)| **topic != message.topic);
        let (count, weight) =
            others.fold((1, message.weight()), |(c, w), (_, k)| (c + 1, w + k.message.weight()));
        count <= self.settings.max_retained_messages && weight <= self.settings.max_retained_bytes
    }

    /// Gives the retained messages to a new subscription.
    pub(super) fn give_retained(
        &mut self,
        client: &Arc<str>,
        filter: &str,
        subscription: Subscription,
        at: Timestamp,
    ) {
        let name = TopicFilter::new(filter).expect("a filter");
        let found: Vec<Rc<Message>> = self
            .retained
            .values()
            .filter(|k| name.matches(TopicName::new(&k.message.topic).expect("a topic")))
            .filter(|k| !k.message.is_expired(at))
            .map(|k| Rc::clone(&k.message))
            .collect();
        for message in found {
            let mut due = self.new_due(&message);
            due.fit(&[subscription]);
            // What a new subscription finds is marked (MQTT-3.3.1-8).
            due.retain = true;
            self.give(client, due);
        }
    }

    /// A QoS 2 message that one session has no room for goes to nobody: it will come again.
    fn take_back(&mut self) {
        let step = self.step;
        self.taken_back = step;
        for session in self.sessions.values_mut() {
            session.row.retain(|due| due.serial < step);
        }
        for connection in self.connections.values_mut() {
            connection.loose.retain(|due| due.serial < step);
        }
        self.shares.retain(|share| share.serial < step);
    }

    /// The broker refused the publish that is being looked at.
    pub(super) fn refuse_publish(&mut self) {
        let Some(link) = self.publishing else { return };
        let connection = self.connections.get_mut(&link).expect("a connection");
        let Some(owed) = connection.owed.back_mut() else { return };
        if connection.version.is_v5() {
            owed.codes = vec![ReasonCode::QuotaExceeded];
            if owed.kind == PacketKind::PubRec {
                if let Some(session) = self.sessions.get_mut(&connection.client) {
                    session.received.remove(&owed.packet_id);
                }
                self.take_back();
            }
        }
    }
}

impl Due {
    /// Takes QoS, RETAIN and identifiers from the subscriptions that match (MQTT-3.3.4-2, -3).
    pub(super) fn fit(&mut self, subscriptions: &[Subscription]) {
        let granted = subscriptions.iter().map(|s| s.options.qos).max();
        self.qos = self.message.qos.min(granted.unwrap_or(QoS::AtMostOnce));
        let as_published = subscriptions.iter().any(|s| s.options.retain_as_published);
        self.retain = self.message.retain && as_published;
        self.ids = subscriptions.iter().filter_map(|s| s.id).collect();
        self.ids.sort_unstable();
    }
}

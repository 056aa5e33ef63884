use std::sync::Arc;

use mqtt::{Publish, QoS, TopicFilterBuf, TopicName};
use session::{Delivery, Message, Timestamp};

use crate::Broker;
use crate::client::Tag;
use crate::deliver::Publication;
use crate::routes::{Route, Share, Target};

/// How well a member of a group can take a message now; the best comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Readiness {
    /// Its queue is full, or it takes no packets that large.
    Unable,
    /// It is away, and the message would wait.
    Away,
    /// It is there, and the message would wait for others before it.
    Busy,
    /// It gets the message at once.
    Ready,
}

/// Which member of a group gets what (MQTT 5, 4.8.2).
impl Broker {
    /// The member whose turn it is, among those that can take the message best.
    pub(crate) fn choose<'r>(
        &mut self,
        share: &'r Share,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
    ) -> Option<&'r Target> {
        let members = self.in_turn(share);
        self.readiest(members, packet_len(publish, topic)).map(|(_, target)| target)
    }

    /// The members of a group, beginning with another one each time.
    fn in_turn<'r>(&mut self, share: &'r Share) -> impl Iterator<Item = &'r Target> + use<'r> {
        let turn = self.subscriptions.groups.next_turn(share.group);
        let (before, from) = share.members.split_at(turn % share.members.len().max(1));
        from.iter().chain(before)
    }

    /// The first of those that can take a message best.
    fn readiest<'r>(
        &self,
        members: impl Iterator<Item = &'r Target>,
        packet_len: usize,
    ) -> Option<(Readiness, &'r Target)> {
        let mut best: Option<(Readiness, &Target)> = None;
        for target in members {
            let readiness = self.readiness(target.session, packet_len);
            if best.is_none_or(|(known, _)| readiness > known) {
                best = Some((readiness, target));
            }
            if readiness == Readiness::Ready {
                break;
            }
        }
        best
    }

    fn readiness(&self, session: u32, packet_len: usize) -> Readiness {
        let settings = &self.settings;
        let Some(client) = self.clients.get(session as usize) else { return Readiness::Unable };
        let full = client.outbound.len() >= settings.max_queued_messages
            || client.outbound.weight() >= settings.max_queued_bytes;
        match &client.online {
            _ if full => Readiness::Unable,
            Some(online) if packet_len > online.max_packet_size => Readiness::Unable,
            None => Readiness::Away,
            Some(online) => {
                let room = online.outbox.len() < settings.max_outbox_bytes;
                if room && client.outbound.has_room() { Readiness::Ready } else { Readiness::Busy }
            }
        }
    }

    /// A session has lost its connection: what it was to get as a member of a group goes to
    /// others that are there (MQTT 5, 4.8.2). What is on disk goes only to a session that can
    /// keep it there, for it has been acknowledged.
    pub(crate) fn hand_over(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let sequences: Vec<u64> =
            client.outbound.iter_mut().filter(|d| may_move(d, now)).map(|d| d.sequence).collect();
        for sequence in sequences {
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            let Some(delivery) = client.outbound.get_mut(sequence) else { continue };
            let stored = delivery.tag.stored.is_some();
            let Some((message, group)) = moving(delivery) else { continue };
            let (route, share) = self.share(&message, &group);
            let Some(share) = share.and_then(|at| route.shares.get(at)) else { continue };
            let publish = crate::frames::as_publish(&message, now);
            let len = packet_len(&publish, message.topic.as_topic());
            let others = self.in_turn(share).filter(|target| {
                let other = self.clients.get(target.session as usize);
                target.session != session && (!stored || other.is_some_and(|c| c.is_durable()))
            });
            let Some((Readiness::Ready | Readiness::Busy, target)) = self.readiest(others, len)
            else {
                continue;
            };
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            let (key, before) = (client.key, client.outbound.weight());
            let settled = client.outbound.discard(sequence);
            self.queued_bytes -= before - client.outbound.weight();
            let Some(settled) = settled else { continue };
            self.give(now, target, &message, &settled.tag);
            if let (Some(key), Some(number), true) = (key, settled.tag.message, stored) {
                self.journal.remove_delivery(key, sequence, number);
            }
        }
    }

    /// A session is over: what it was to get as a member of a group goes to another member,
    /// there or not. What nobody else may get is over too.
    pub(crate) fn bequeath(&mut self, now: Timestamp, delivery: &Delivery<Tag>) {
        if let Some((message, group)) = Some(delivery).filter(|d| may_move(d, now)).and_then(moving)
        {
            let (route, share) = self.share(&message, &group);
            let share = share.and_then(|at| route.shares.get(at));
            let publish = crate::frames::as_publish(&message, now);
            let topic = message.topic.as_topic();
            if let Some(target) = share.and_then(|share| self.choose(share, &publish, topic)) {
                self.give(now, target, &message, &delivery.tag);
                return;
            }
        }
        if let Some(promise) = delivery.tag.promise {
            self.keep_promise(promise);
        }
    }

    /// The route of a message, and where in it the group of `filter` is.
    fn share(&mut self, message: &Message, filter: &TopicFilterBuf) -> (Arc<Route>, Option<usize>) {
        let route = self.route(message.topic.as_str());
        let number = self.subscriptions.groups.number(filter);
        let at = number.and_then(|n| route.shares.iter().position(|share| share.group == n));
        (route, at)
    }

    /// Gives a message, and what was promised on it, to another session than before.
    fn give(&mut self, now: Timestamp, target: &Target, message: &Arc<Message>, before: &Tag) {
        let publish = crate::frames::as_publish(message, now);
        let mut publication = Publication::again(&publish, message, before.message, now);
        publication.promise = before.promise;
        publication.stored_before = before.stored.is_some();
        self.frames.clear();
        self.deliver(now, target, &mut publication);
        if let Some(promise) = before.promise.filter(|_| publication.waits == 0) {
            self.keep_promise(promise);
        }
    }
}

/// Bytes that a message takes as a packet at most, subscription identifier and alias included.
fn packet_len(publish: &Publish<'_>, topic: TopicName<'_>) -> usize {
    const HEADS: usize = 32;
    HEADS + topic.len() + publish.properties.wire_len() + publish.payload.len()
}

/// Whether a delivery may go to another member of its group. QoS 2 that was sent may not: the
/// first may have it (MQTT-4.8.2-5). Nor may what has expired.
fn may_move(delivery: &Delivery<Tag>, now: Timestamp) -> bool {
    delivery.tag.is_shared()
        && (delivery.qos == QoS::AtLeastOnce || !delivery.was_sent())
        && delivery.message.as_ref().is_some_and(|message| !message.expired(now))
}

/// The message of a delivery and the filter of its group.
fn moving(delivery: &Delivery<Tag>) -> Option<(Arc<Message>, TopicFilterBuf)> {
    let group = delivery.tag.origin.as_ref().and_then(|origin| origin.group.clone());
    delivery.message.clone().zip(group)
}

use std::sync::Arc;

use mqtt::{QoS, TopicFilterBuf};
use session::{Delivery, Message, Timestamp};

use crate::Broker;
use crate::client::Tag;
use crate::deliver::Publication;
use crate::durable::Op;
use crate::queue::Way;
use crate::quota::Quota;
use crate::routes::{Route, Share, Target};

/// How well a member of a group can take a message now; the best comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Readiness {
    /// It would get nothing: it takes no packets that large, or takes messages at QoS 0 and is away.
    Unable,
    /// Its queue is full.
    Full,
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
        publication: &Publication<'_>,
    ) -> Option<&'r Target> {
        let members = self.in_turn(share);
        self.readiest(members, publication).map(|(_, target)| target)
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
        publication: &Publication<'_>,
    ) -> Option<(Readiness, &'r Target)> {
        let mut best: Option<(Readiness, &Target)> = None;
        for target in members {
            let readiness = self.readiness(target, publication);
            if best.is_none_or(|(known, _)| readiness > known) {
                best = Some((readiness, target));
            }
            if readiness == Readiness::Ready {
                break;
            }
        }
        best
    }

    fn readiness(&self, target: &Target, publication: &Publication<'_>) -> Readiness {
        let client = self.clients.get(target.session as usize);
        let Some(client) = client else { return Readiness::Unable };
        let online = client.online.as_ref();
        if online.is_some_and(|online| packet_len(publication) > online.max_packet_size) {
            return Readiness::Unable;
        }
        let room = online.is_some_and(|online| {
            let lane = online.lane_for(publication.topic, target.grant.origin.as_ref());
            online.unsent_bytes(lane) < self.settings.max_outbox_bytes
        });
        let qos = publication.publish.qos.min(target.grant.qos);
        if qos == QoS::AtMostOnce {
            return if room { Readiness::Ready } else { Readiness::Unable };
        }
        match self.way(client, &target.grant, publication, qos) {
            Way::Send => Readiness::Ready,
            Way::Full(_) => Readiness::Full,
            Way::Queue if room && client.outbound.has_room() => Readiness::Ready,
            Way::Queue | Way::Behind if online.is_some() => Readiness::Busy,
            Way::Queue | Way::Behind => Readiness::Away,
        }
    }

    /// The members of a group that may get a publication at all.
    pub(crate) fn able<'r>(
        &self,
        share: &'r Share,
        publication: &Publication<'_>,
    ) -> impl Iterator<Item = &'r Target> {
        let able = |target: &&Target| self.readiness(target, publication) > Readiness::Unable;
        share.members.iter().filter(able)
    }

    /// Whether a member has what it gets on disk.
    fn keeps(&self, target: &Target) -> bool {
        let client = self.clients.get(target.session as usize);
        target.grant.qos > QoS::AtMostOnce && client.is_some_and(|client| client.is_durable())
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
            let mut publication = Publication::again(&publish, &message, None, now);
            publication.quota = route.treatment.quota;
            let members = self.in_turn(share).filter(|target| target.session != session);
            let others = members.filter(|target| !stored || self.keeps(target));
            let Some((Readiness::Ready | Readiness::Busy, target)) =
                self.readiest(others, &publication)
            else {
                continue;
            };
            let key = self.clients.get(session as usize).and_then(|client| client.key);
            let settled = self.with_queue(session, |queue| queue.discard(sequence));
            let Some(settled) = settled.flatten() else { continue };
            if let Some(client) = self.clients.get_mut(session as usize) {
                client.values.forget(sequence);
            }
            self.give(now, target, &message, &settled.tag, publication.quota);
            if let Some(key) = key.filter(|_| stored) {
                self.journal.append(Op::RemoveDelivery { session: key, sequence });
            }
        }
    }

    /// A session is over: what it was to get as a member of a group goes to another member,
    /// there or not. What nobody else may get is over too.
    pub(crate) fn bequeath(&mut self, now: Timestamp, delivery: &Delivery<Tag>) {
        let moving = Some(delivery).filter(|d| may_move(d, now)).and_then(moving);
        if moving.is_some_and(|(message, group)| self.pass_on(now, &message, &group, &delivery.tag))
        {
            return;
        }
        if let Some(promise) = delivery.tag.promise {
            self.keep_promise(promise);
        }
    }

    /// Gives a message of a group to one of its members, there or not; false when it has none.
    /// What is on disk goes to one that keeps it there, if any has room.
    pub(crate) fn pass_on(
        &mut self,
        now: Timestamp,
        message: &Arc<Message>,
        group: &TopicFilterBuf,
        before: &Tag,
    ) -> bool {
        let (route, share) = self.share(message, group);
        let share = share.and_then(|at| route.shares.get(at));
        let publish = crate::frames::as_publish(message, now);
        let mut publication = Publication::again(&publish, message, None, now);
        publication.quota = route.treatment.quota;
        let members: Vec<&Target> = share.into_iter().flat_map(|s| self.in_turn(s)).collect();
        let keepers = members.iter().copied();
        let keepers = keepers.filter(|target| before.stored.is_some() && self.keeps(target));
        let target = self
            .readiest(keepers, &publication)
            .filter(|(readiness, _)| *readiness > Readiness::Full)
            .or_else(|| self.readiest(members.into_iter(), &publication))
            .map(|(_, target)| target);
        if let Some(target) = target {
            self.give(now, target, message, before, publication.quota);
        }
        target.is_some()
    }

    /// The route of a message, and where in it the group of `filter` is.
    fn share(&mut self, message: &Message, filter: &TopicFilterBuf) -> (Arc<Route>, Option<usize>) {
        let route = self.route(message.topic.as_str());
        let number = self.subscriptions.groups.number(filter);
        let at = number.and_then(|n| route.shares.iter().position(|share| share.group == n));
        (route, at)
    }

    /// Gives a message, and what was promised on it, to another session than before.
    fn give(
        &mut self,
        now: Timestamp,
        target: &Target,
        message: &Arc<Message>,
        before: &Tag,
        quota: Option<Quota>,
    ) {
        let publish = crate::frames::as_publish(message, now);
        let mut publication = Publication::again(&publish, message, before.message, now);
        publication.promise = before.promise;
        publication.quota = quota;
        publication.stored_before = before.stored.is_some();
        self.frames.clear();
        self.deliver(now, target, &mut publication);
        if let Some(promise) = before.promise.filter(|_| publication.waits == 0) {
            self.keep_promise(promise);
        }
    }
}

/// Bytes that a message takes as a packet at most, subscription identifier and alias included.
fn packet_len(publication: &Publication<'_>) -> usize {
    const HEADS: usize = 32;
    let publish = publication.publish;
    HEADS + publication.topic.len() + publish.properties.wire_len() + publish.payload.len()
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

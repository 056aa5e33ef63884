use std::sync::Arc;

use mqtt::{Publish, QoS, ReasonCode, TopicName};
use session::{AckKind, Acknowledgement, Message, Timestamp};

use crate::broker::Waiter;
use crate::client::Promise;
use crate::deliver::Publication;
use crate::durable::Op;
use crate::routes::{Route, Target};
use crate::{Broker, Closing, Durability, Flow, Limit, Overflow};

/// Publishes that are allowed: what they are passed on as, and what their acknowledgements wait for.
impl Broker {
    /// Goes on with a publish that is allowed, and that no interceptor wants to see or has changed.
    #[inline]
    pub(crate) fn go_on(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        route: &Route,
    ) -> Result<Flow, Closing> {
        if self.disk_is_full && self.takes_disk(session, publish, route) {
            return self.refuse_for_disk(session, publish);
        }
        self.stats.count_publish(publish);
        let mut publication = self.publication(now, session, publish.qos, publish, topic, route);
        let mut outcome = Outcome::default();
        if publish.retain && !self.retain(&mut publication) {
            outcome.refused = true;
        } else if !self.refuse_whole(session, &mut publication, route) {
            self.fan_out(now, &mut publication, route);
        }
        outcome.add(&publication, route);
        self.acknowledge(session, publish, outcome);
        Ok(Flow::Continue)
    }

    /// What is given to the targets of `route` for a publish of QoS `sent` of this client: that itself, or what came of it.
    #[inline]
    pub(crate) fn publication<'p>(
        &self,
        now: Timestamp,
        session: u32,
        sent: QoS,
        publish: &'p Publish<'p>,
        topic: TopicName<'p>,
        route: &Route,
    ) -> Publication<'p> {
        let mut publication = Publication::new(publish, topic, now);
        publication.from = Some(session);
        publication.exactly_once |= sent == QoS::ExactlyOnce;
        self.treat(session, sent, &mut publication, route);
        publication
    }

    /// Retains a publication if it is to be, and gives it to those whom it is for.
    pub(crate) fn distribute(
        &mut self,
        now: Timestamp,
        publication: &mut Publication<'_>,
        route: &Route,
        outcome: &mut Outcome,
    ) {
        if publication.publish.retain && !self.retain(publication) {
            outcome.refused = true;
        } else {
            self.fan_out(now, publication, route);
        }
        outcome.add(publication, route);
    }

    /// Begins the acknowledgement of a publish of which `outcome` came.
    #[inline]
    pub(crate) fn acknowledge(&mut self, session: u32, publish: &Publish<'_>, outcome: Outcome) {
        let Some(packet_id) = publish.packet_id else { return };
        let kind = match publish.qos {
            QoS::ExactlyOnce => AckKind::PubRec,
            QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::PubAck,
        };
        let code = match (outcome.refused, outcome.reached) {
            (true, _) => ReasonCode::QuotaExceeded,
            (false, false) => ReasonCode::NoMatchingSubscribers,
            (false, true) => ReasonCode::Success,
        };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        // 3.1.1 has no way to hear of an error, so there the exchange goes on as if it were none.
        let goes_on = !code.is_error() || !client.version.is_v5();
        let mut waits = outcome.waits;
        if kind == AckKind::PubRec && goes_on {
            client.take_identifier(packet_id);
            if let (Some(key), Some(promise)) = (client.key, outcome.promise) {
                let lsn = self.journal.append(Op::PutReceived { session: key, packet_id });
                self.journal.wait(lsn, Waiter::Promise(promise));
                waits += 1;
            }
        }
        let lane = client.answers();
        client.inbound.begin(Acknowledgement { kind, packet_id, code, lane }, waits);
        if waits == 0 {
            self.send_acknowledgements(session);
        }
    }

    /// Decides what the acknowledgement of a publication waits for, and what is dropped for it.
    #[inline]
    fn treat(&self, session: u32, sent: QoS, publication: &mut Publication<'_>, route: &Route) {
        let Some(client) = self.clients.get(session as usize) else { return };
        publication.household = client.household().cloned();
        publication.overflow = route.treatment.overflow;
        publication.quota = route.treatment.quota;
        let stated = route.treatment.durability;
        if !publication.exactly_once {
            let of_listener = || client.online.as_ref().map(|online| online.durability);
            publication.durability = stated.or_else(of_listener).unwrap_or_default();
        }
        if sent != QoS::AtMostOnce && publication.durability == Durability::Strict {
            let ticket = client.inbound.next_ticket();
            publication.promise = Some(Promise { session, uid: client.uid, ticket });
        }
    }

    /// Whether a QoS 2 publication goes to nobody because one session has no room for it: its
    /// publisher will send it again, and nobody may get it twice. 3.1.1 cannot hear of it, so that
    /// there those who have room get it.
    pub(crate) fn refuse_whole(
        &mut self,
        session: u32,
        publication: &mut Publication<'_>,
        route: &Route,
    ) -> bool {
        let publisher = self.clients.get(session as usize);
        let hears = publisher.is_some_and(|client| client.version.is_v5());
        let special = || route.targets.iter().filter_map(|target| target.treatment);
        let rejects = publication.overflow == Overflow::Reject
            || special().any(|treatment| treatment.overflow == Overflow::Reject);
        if !publication.exactly_once || !hears || !rejects {
            return false;
        }
        let refusals = self.refusals(publication, route);
        let usually = std::mem::replace(&mut publication.overflow, Overflow::Reject);
        for (session, limit) in &refusals {
            self.may_overflow(*session, publication, *limit);
        }
        publication.overflow = usually;
        !refusals.is_empty()
    }

    /// Keeps or clears the retained message; false when there is no room for it.
    pub(crate) fn retain(&mut self, publication: &mut Publication<'_>) -> bool {
        let lsn = if publication.publish.payload.is_empty() {
            match self.retained.get(publication.topic.as_str()).map(|old| old.topic.clone()) {
                Some(topic) => {
                    self.retained.remove(topic.as_str());
                    self.journal.append(Op::RemoveRetained { topic })
                }
                // It may have been cleared a moment ago, and be on disk still.
                None if self.journal.is_durable(self.journal.last()) => return true,
                None => self.journal.last(),
            }
        } else {
            let body = publication.body();
            if self.no_room_to_retain(&body).is_some() {
                for topic in self.retained.take_expired(publication.received_at) {
                    self.journal.append(Op::RemoveRetained { topic });
                }
                if let Some(limit) = self.no_room_to_retain(&body) {
                    self.stats.count_limit(limit);
                    return false;
                }
            }
            self.retained.insert(Arc::clone(&body));
            self.journal.append(Op::PutRetained { body })
        };
        if let Some(promise) = publication.promise {
            self.journal.wait(lsn, Waiter::Promise(promise));
            publication.waits += 1;
        }
        true
    }

    /// The limit that forbids to retain `body`, if one does.
    fn no_room_to_retain(&self, body: &Message) -> Option<Limit> {
        let old = self.retained.get(body.topic.as_str());
        if !self.has_memory_to_retain(body, old.map(|old| &**old)) {
            return Some(Limit::Memory);
        }
        let old = old.map(|old| old.weight());
        let weight = self.retained.weight() - old.unwrap_or(0) + body.weight();
        let count = self.retained.len() + usize::from(old.is_none());
        if count > self.settings.max_retained_messages {
            return Some(Limit::RetainedMessages);
        }
        (weight > self.settings.max_retained_bytes).then_some(Limit::RetainedBytes)
    }

    /// Whether a publish would be written for certain: it is to be retained, is QoS 2 and for a
    /// durable session, or one that it is for is away or slow.
    pub(crate) fn takes_disk(&self, session: u32, publish: &Publish<'_>, route: &Route) -> bool {
        let qos_1 = publish.qos == QoS::AtLeastOnce;
        let written = |target: &Target| {
            let own = target.session == session;
            let grant = if own { target.own.as_ref() } else { Some(&target.grant) };
            let confirmed = grant.is_some_and(|grant| grant.qos.min(publish.qos) > QoS::AtMostOnce);
            let client = self.clients.get(target.session as usize).filter(|c| c.is_durable());
            confirmed
                && client.is_some_and(|client| {
                    !qos_1 || client.online.is_none() || !client.outbound.has_room()
                })
        };
        let retained = publish.retain && !publish.payload.is_empty();
        retained
            || route.targets.iter().any(written)
            || route.shares.iter().any(|share| share.members.iter().all(written))
    }

    /// The disk is full. Nothing may be acknowledged that is not kept, and 3.1.1 cannot refuse.
    pub(crate) fn refuse_for_disk(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
    ) -> Result<Flow, Closing> {
        self.stats.count_limit(Limit::DiskFull);
        let v5 = self.clients.get(session as usize).is_some_and(|client| client.version.is_v5());
        if !v5 && publish.qos != QoS::AtMostOnce {
            let why =
                "the disk is full; free some space, or let absent clients fetch their messages";
            return Err(Closing::new(ReasonCode::QuotaExceeded, why));
        }
        self.answer(session, publish, ReasonCode::QuotaExceeded);
        Ok(Flow::Continue)
    }
}

/// What came of a publish: of one publication, or of all that took its place.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How many things the acknowledgement waits for.
    pub(crate) waits: u32,
    /// A session could not take it although it should have.
    pub(crate) refused: bool,
    /// Somebody gets it.
    reached: bool,
    promise: Option<Promise>,
}

impl Outcome {
    #[inline]
    fn add(&mut self, publication: &Publication<'_>, route: &Route) {
        self.waits += publication.waits;
        self.refused |= publication.refused;
        self.reached |= !route.is_empty();
        self.promise = self.promise.or(publication.promise);
    }
}

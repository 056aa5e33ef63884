use std::sync::Arc;

use mqtt::{PacketId, Publish, QoS, SubscriptionIds, TopicName};
use session::{Delivery, Lane, Message, Settled, Timestamp, Transmission};

use crate::client::{Promise, Tag};
use crate::durable::{MessageKey, Op};
use crate::queue::Way;
use crate::quota::Quota;
use crate::review::Held;
use crate::routes::{Grant, Route, Target};
use crate::timers::Write;
use crate::{Action, Broker, DropCause, Durability, Event, Overflow};

/// One publication on its way to its subscribers. What only some of them need (an owned
/// copy, a number on disk) is made when the first of them needs it.
pub(crate) struct Publication<'p> {
    pub(crate) publish: &'p Publish<'p>,
    pub(crate) topic: TopicName<'p>,
    /// The session that published it, for No Local.
    pub(crate) from: Option<u32>,
    /// The household of that session, if it is of one.
    pub(crate) household: Option<Arc<str>>,
    /// The acknowledgement that waits for durable targets.
    pub(crate) promise: Option<Promise>,
    /// How many things the acknowledgement waits for.
    pub(crate) waits: u32,
    /// Whether a session could not take it although it should have.
    pub(crate) refused: bool,
    pub(crate) received_at: Timestamp,
    /// What the acknowledgement waits for.
    pub(crate) durability: Durability,
    /// What is done where there is no room.
    pub(crate) overflow: Overflow,
    /// What its topic may take in each queue.
    pub(crate) quota: Option<Quota>,
    /// It is a QoS 2 message, or came of one.
    pub(crate) exactly_once: bool,
    /// Somebody else was to get it, and it is on disk: so it must be for whoever gets it now.
    pub(crate) stored_before: bool,
    body: Option<Arc<Message>>,
    pub(crate) key: Option<MessageKey>,
}

impl<'p> Publication<'p> {
    pub(crate) fn new(
        publish: &'p Publish<'p>,
        topic: TopicName<'p>,
        received_at: Timestamp,
    ) -> Self {
        Self {
            publish,
            topic,
            from: None,
            household: None,
            promise: None,
            waits: 0,
            refused: false,
            received_at,
            durability: Durability::Strict,
            overflow: Overflow::Reject,
            quota: None,
            exactly_once: publish.qos == QoS::ExactlyOnce,
            stored_before: false,
            body: None,
            key: None,
        }
    }

    /// A stored message that is given to somebody else.
    pub(crate) fn again(
        publish: &'p Publish<'p>,
        body: &'p Arc<Message>,
        key: Option<MessageKey>,
        now: Timestamp,
    ) -> Self {
        let publication = Self::new(publish, body.topic.as_topic(), now);
        Self { body: Some(Arc::clone(body)), key, ..publication }
    }

    /// Bytes that its message weighs, as [`Message::weight`].
    pub(crate) fn weight(&self) -> usize {
        let publish = self.publish;
        Message::weight_of(self.topic.len(), publish.properties.wire_len(), publish.payload.len())
    }

    /// The promise for one more thing that the acknowledgement waits for.
    pub(crate) fn make_promise(&mut self) -> Option<Promise> {
        self.waits += u32::from(self.promise.is_some());
        self.promise
    }

    /// Whether it must be on disk for each durable session at once. A repeat of a QoS 2 publish is
    /// acknowledged without being routed again, so what it was routed to must not depend on memory.
    pub(crate) fn must_be_stored(&self) -> bool {
        self.exactly_once || self.stored_before
    }

    /// The packet for one session.
    fn to_one<'a>(
        &self,
        qos: QoS,
        retain: bool,
        packet_id: Option<PacketId>,
        subscription_ids: SubscriptionIds<'a>,
    ) -> Publish<'a>
    where
        'p: 'a,
    {
        Publish {
            dup: false,
            qos,
            retain,
            topic: Some(self.topic),
            packet_id,
            topic_alias: None,
            subscription_ids,
            ..*self.publish
        }
    }

    /// An owned copy, made once.
    pub(crate) fn body(&mut self) -> Arc<Message> {
        let (publish, topic, received_at) = (self.publish, self.topic, self.received_at);
        let body = self.body.get_or_insert_with(|| Arc::new(owned(publish, topic, received_at)));
        Arc::clone(body)
    }
}

/// The message that `publish` brought at `received_at`.
fn owned(publish: &Publish<'_>, topic: TopicName<'_>, received_at: Timestamp) -> Message {
    let mut properties = Vec::with_capacity(publish.properties.wire_len());
    publish.properties.write_to(&mut properties);
    Message {
        topic: topic.to_owned(),
        payload: publish.payload.into(),
        qos: publish.qos,
        retain: publish.retain,
        properties: properties.into_boxed_slice(),
        expires: publish.message_expiry.map(|seconds| received_at.after_seconds(seconds)),
    }
}

impl Broker {
    /// Gives a publication to every target of its route, and to one member of each group.
    pub(crate) fn fan_out(
        &mut self,
        now: Timestamp,
        publication: &mut Publication<'_>,
        route: &Route,
    ) {
        self.frames.clear();
        for target in &route.targets {
            self.deliver(now, target, publication);
        }
        for share in &route.shares {
            if let Some(target) = self.choose(share, publication) {
                self.deliver(now, target, publication);
            }
        }
    }

    /// Gives a publication to one session.
    pub(crate) fn deliver(
        &mut self,
        now: Timestamp,
        target: &Target,
        publication: &mut Publication<'_>,
    ) {
        let own = self.is_own(target.session, publication);
        let Some(grant) = (if own { target.own.as_ref() } else { Some(&target.grant) }) else {
            return;
        };
        let retain = publication.publish.retain && grant.retain_as_published;
        match publication.publish.qos.min(grant.qos) {
            QoS::AtMostOnce => self.deliver_unconfirmed(target.session, grant, publication, retain),
            qos => {
                let usually = target.treatment.map(|special| publication.treat_as(special));
                self.deliver_confirmed(now, target.session, grant, publication, qos, retain);
                usually.map(|usually| publication.treat_as(usually));
            }
        }
    }

    fn deliver_unconfirmed(
        &mut self,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        retain: bool,
    ) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        let lane = online.lane_for(publication.topic, grant.origin.as_ref());
        if online.unsent_bytes(lane) >= self.settings.max_outbox_bytes {
            self.stats.dropped_outbox_full += 1;
            return;
        }
        if online.reviews(&self.interests, publication.topic) {
            online.hold(Held::unconfirmed(publication.body(), retain, grant, lane));
            self.wake(session);
            return;
        }
        let version = client.version;
        let fits = if grant.origin.is_none() && online.names_topics(lane) {
            let frame = self.frames.get(publication, version, QoS::AtMostOnce, retain);
            let fits = frame.total_len() <= online.max_packet_size;
            if fits {
                self.frames.append(frame, None, publication, online.outbox_of(lane));
            }
            fits
        } else {
            let publish = publication.to_one(QoS::AtMostOnce, retain, None, grant.ids());
            online.send(lane, publication.topic, publish, version, || publication.body())
        };
        if !fits {
            self.stats.dropped_too_large += 1;
            return;
        }
        self.stats.count_sent(publication.publish.payload);
        self.wake(session);
    }

    fn deliver_confirmed(
        &mut self,
        now: Timestamp,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let Some(client) = self.clients.get(session as usize) else { return };
        match self.way(client, grant, publication, qos) {
            Way::Send => self.send_now(now, session, grant, publication, qos, retain),
            Way::Queue => {
                self.enqueue(now, session, grant, publication, qos, retain);
                self.overtake(now, session);
            }
            Way::Behind => self.enqueue_behind(session, grant, publication, qos, retain),
            Way::Full(limit) => {
                if self.may_overflow(session, publication, limit) {
                    self.enqueue_behind(session, grant, publication, qos, retain);
                    self.trim_topic(session, publication);
                    self.trim(session);
                }
            }
        }
    }

    /// Sends a delivery at once; there is room for it.
    fn send_now(
        &mut self,
        now: Timestamp,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (durable, version) = (client.is_durable(), client.version);
        let Some(online) = client.online.as_mut() else { return };
        let packet_id = client.outbound.next_packet_id();
        let lane = online.lane_for(publication.topic, grant.origin.as_ref());
        let reviewed = online.reviews(&self.interests, publication.topic);
        let fits = if reviewed {
            true
        } else if grant.origin.is_none() && online.names_topics(lane) {
            let frame = self.frames.get(publication, version, qos, retain);
            let fits = frame.total_len() <= online.max_packet_size;
            if fits {
                self.frames.append(frame, Some(packet_id), publication, online.outbox_of(lane));
            }
            fits
        } else {
            let publish = publication.to_one(qos, retain, Some(packet_id), grant.ids());
            online.send(lane, publication.topic, publish, version, || publication.body())
        };
        if !fits {
            self.stats.dropped_too_large += 1;
            return;
        }
        let mut tag = Tag { origin: grant.origin.clone(), lane, ..Tag::default() };
        let mut body = None;
        if durable {
            tag.message =
                Some(*publication.key.get_or_insert_with(|| self.journal.new_message_key()));
            tag.promise = publication.make_promise();
        }
        // A session that ends with its connection sends nothing again, but what a member of a group does not confirm goes
        // to another, and what a stream takes along with it goes again on the first.
        if durable || tag.is_shared() || lane != Lane::CONTROL {
            body = Some(publication.body());
            let weight = body.as_ref().map_or(0, |b| b.weight());
            self.queued_bytes += weight;
            self.waiting_bytes += weight;
        }
        let (sequence, _) = client.outbound.push_sent(body, qos, retain, publication.class(), tag);
        if let Some(online) = client.online.as_mut() {
            online.count_in_flight(lane, publication.weight());
            if reviewed {
                let message = publication.body();
                let origin = grant.origin.clone();
                let sent = Some((sequence, packet_id));
                online.hold(Held { message, sent, dup: false, qos, retain, origin, lane });
            }
        }
        if !reviewed {
            self.stats.count_sent(publication.publish.payload);
        }
        if durable && publication.must_be_stored() {
            self.store_delivery(session, sequence);
        } else if durable && publication.durability != Durability::Off {
            let write = Write { session, uid: client.uid, sequence };
            self.timers.write_at(now.after(self.settings.persist_delay), write);
        }
        self.wake(session);
    }

    /// Sends what waits in a session's queue, as far as window and outbox allow.
    pub(crate) fn pump(&mut self, now: Timestamp, session: u32) {
        while let Some(client) = self.clients.get_mut(session as usize) {
            let Some(online) = client.online.as_mut() else { break };
            let durable = client.key.is_some();
            let journal = &self.journal;
            let ready = |delivery: &Delivery<Tag>| {
                !durable
                    || delivery.qos == QoS::AtLeastOnce
                    || delivery.tag.stored.is_some_and(|lsn| journal.is_durable(lsn))
            };
            let room = online.room(&self.settings);
            let next = match online.lanes.as_mut() {
                None if room.is_full() => None,
                None => client.outbound.next_to_send(ready).map(|next| (Lane::CONTROL, next)),
                Some(lanes) => lanes.next_to_send(&mut client.outbound, ready, room),
            };
            let (lane, packet_id, dup, delivery) = match next {
                None => break,
                Some((lane, Transmission::Release { packet_id })) => {
                    crate::frames::release(packet_id, client.version, online.outbox_of(lane));
                    continue;
                }
                Some((lane, Transmission::Publish { packet_id, dup, delivery })) => {
                    (lane, packet_id, dup, delivery)
                }
            };
            let Some(message) = delivery.message.clone() else { continue };
            let (sequence, qos) = (delivery.sequence, delivery.qos);
            let publish = Publish {
                dup,
                qos,
                retain: delivery.retain,
                packet_id: Some(packet_id),
                subscription_ids: crate::routes::ids(delivery.tag.origin.as_ref()),
                ..crate::frames::as_publish(&message, now)
            };
            // What was sent once does not expire any more (MQTT-4.3.3-7).
            let cause = if !dup && message.expired(now) {
                DropCause::Expired
            } else if !crate::client::may_receive(
                client.permissions.as_deref(),
                &client.identity,
                message.topic.as_str(),
            ) {
                DropCause::Denied
            } else if online.reviews(&self.interests, message.topic.as_topic()) {
                let sent = Some((sequence, packet_id));
                let (retain, origin) = (delivery.retain, delivery.tag.origin.clone());
                online.hold(Held { message, sent, dup, qos, retain, origin, lane });
                continue;
            } else if online.send(lane, message.topic.as_topic(), publish, client.version, || {
                Arc::clone(&message)
            }) {
                self.stats.count_sent(&message.payload);
                continue;
            } else {
                DropCause::TooLarge
            };
            self.report_drop(session, cause, &message);
            // Its place is free at once, so that the loop goes on.
            self.forgo(session, sequence, packet_id, dup && qos == QoS::ExactlyOnce);
        }
        self.note_rest(now, session);
        self.wake(session);
        self.read_ahead(session);
    }

    /// Ends a delivery that is not sent after all. The client may `hold` its identifier: were it just forgotten here, the
    /// next message that gets it would count as a repeat.
    pub(crate) fn forgo(&mut self, session: u32, sequence: u64, packet_id: PacketId, hold: bool) {
        if hold {
            self.release(session, packet_id);
        } else {
            self.give_up(session, sequence);
        }
    }

    /// Counts and tells that a queued delivery is not sent.
    pub(crate) fn report_drop(&mut self, session: u32, cause: DropCause, message: &Message) {
        match cause {
            DropCause::Expired => self.stats.dropped_expired += 1,
            DropCause::TooLarge => self.stats.dropped_too_large += 1,
            DropCause::Denied => {
                let why = "the client may not receive this topic any more";
                self.denied(session, Action::Receive, message.topic.as_str(), None, why);
            }
            DropCause::NotReviewed => self.stats.dropped_not_reviewed += 1,
            DropCause::QueueFull | DropCause::Damaged | DropCause::Replaced => {}
        }
        let Some(client) = self.clients.get(session as usize) else { return };
        let (client_id, principal) = client.whose();
        self.event(Event::Dropped { client_id, principal, cause });
    }

    /// A delivery is over: the disk forgets it, and what was promised on it is kept.
    pub(crate) fn settled(&mut self, session: u32, settled: Settled<Tag>) {
        let Settled { sequence, tag, in_flight, weight } = settled;
        if let Some(promise) = tag.promise {
            self.keep_promise(promise);
        }
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if in_flight && let Some(lanes) = client.online.as_mut().and_then(|o| o.lanes.as_mut()) {
            lanes.settled(tag.lane, weight);
        }
        client.values.forget(sequence);
        if let Some(key) = client.key.filter(|_| tag.message.is_some()) {
            match tag.stored {
                Some(_) => drop(self.journal.append(Op::RemoveDelivery { session: key, sequence })),
                None => self.stats.deliveries_not_stored += 1,
            }
        }
    }

    /// One thing that an acknowledgement waited for is true.
    pub(crate) fn keep_promise(&mut self, promise: Promise) {
        let Some(client) = self.clients.get_mut(promise.session as usize) else { return };
        if client.uid != promise.uid {
            return;
        }
        client.inbound.settle(promise.ticket);
        self.send_acknowledgements(promise.session);
    }

    /// Sends the acknowledgements that nothing holds back any more.
    pub(crate) fn send_acknowledgements(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        let audience = online.audience();
        while let Some(acknowledgement) = client.inbound.next_ready() {
            let outbox = online.outbox_of(acknowledgement.lane);
            crate::frames::acknowledgement(acknowledgement, client.version, audience, outbox);
        }
        self.wake(session);
    }
}

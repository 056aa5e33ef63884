use std::sync::Arc;

use mqtt::{PacketId, Publish, QoS, SubscriptionIds, TopicName};
use session::{Delivery, Message, Settled, Timestamp, Transmission};

use crate::client::{Client, Promise, Tag};
use crate::durable::{DeliveryRecord, IDS_MAX, MessageKey};
use crate::routes::{Grant, Route, Target};
use crate::timers::Write;
use crate::{Action, Broker, DropCause, Event, Limit};

use crate::broker::Waiter;

/// One publication on its way to its subscribers. What only some of them need (an owned
/// copy, a number on disk) is made when the first of them needs it.
pub(crate) struct Publication<'p> {
    pub(crate) publish: &'p Publish<'p>,
    pub(crate) topic: TopicName<'p>,
    /// The session that published it, for No Local.
    pub(crate) from: Option<u32>,
    /// The acknowledgement that waits for durable targets.
    pub(crate) promise: Option<Promise>,
    /// How many things the acknowledgement waits for.
    pub(crate) waits: u32,
    /// Whether a session could not take it although it should have.
    pub(crate) refused: bool,
    pub(crate) received_at: Timestamp,
    /// Somebody else was to get it, and it is on disk: so it must be for whoever gets it now.
    pub(crate) stored_before: bool,
    body: Option<Arc<Message>>,
    key: Option<MessageKey>,
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
            promise: None,
            waits: 0,
            refused: false,
            received_at,
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

    /// Whether it must be on disk for each durable session at once. A repeat of a QoS 2 publish is
    /// acknowledged without being routed again, so what it was routed to must not depend on memory.
    fn must_be_stored(&self) -> bool {
        self.publish.qos == QoS::ExactlyOnce || self.stored_before
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

/// What the disk is to remember of a delivery of `message`.
pub(crate) fn record(
    delivery: &Delivery<Tag>,
    message: MessageKey,
    released: bool,
) -> DeliveryRecord {
    DeliveryRecord {
        message,
        qos: delivery.qos,
        retain: delivery.retain,
        released,
        shared: delivery.tag.is_shared(),
        ids: crate::routes::ids(delivery.tag.origin.as_ref()).iter().take(IDS_MAX).collect(),
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
            if let Some(target) = self.choose(share, publication.publish, publication.topic) {
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
        let own = publication.from == Some(target.session);
        let Some(grant) = (if own { target.own.as_ref() } else { Some(&target.grant) }) else {
            return;
        };
        let retain = publication.publish.retain && grant.retain_as_published;
        match publication.publish.qos.min(grant.qos) {
            QoS::AtMostOnce => self.deliver_unconfirmed(target.session, grant, publication, retain),
            qos => self.deliver_confirmed(now, target.session, grant, publication, qos, retain),
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
        if online.outbox.len() >= self.settings.max_outbox_bytes {
            self.stats.dropped_outbox_full += 1;
            return;
        }
        let version = client.version;
        let fits = if grant.origin.is_none() && online.aliases_out.is_off() {
            let frame = self.frames.get(publication, version, QoS::AtMostOnce, retain);
            let fits = frame.total_len() <= online.max_packet_size;
            if fits {
                self.frames.append(frame, None, publication, &mut online.outbox);
            }
            fits
        } else {
            let publish = publication.to_one(QoS::AtMostOnce, retain, None, grant.ids());
            online.send(publication.topic, publish, version, || publication.body())
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
        let (durable, version) = (client.is_durable(), client.version);
        let sends_now = qos == QoS::AtLeastOnce || !durable;
        // What may have to be sent again is in memory as much as what waits.
        let keeps = durable || grant.origin.as_ref().is_some_and(|origin| origin.group.is_some());
        let room = client.outbound.has_room()
            && sends_now
            && (!keeps || self.byte_limit(client, publication.body().weight()).is_none());
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client
            .online
            .as_mut()
            .filter(|o| room && o.outbox.len() < self.settings.max_outbox_bytes)
        else {
            self.enqueue(now, session, grant, publication, qos, retain);
            return;
        };
        let packet_id = client.outbound.next_packet_id();
        let fits = if grant.origin.is_none() && online.aliases_out.is_off() {
            let frame = self.frames.get(publication, version, qos, retain);
            let fits = frame.total_len() <= online.max_packet_size;
            if fits {
                self.frames.append(frame, Some(packet_id), publication, &mut online.outbox);
            }
            fits
        } else {
            let publish = publication.to_one(qos, retain, Some(packet_id), grant.ids());
            online.send(publication.topic, publish, version, || publication.body())
        };
        if !fits {
            self.stats.dropped_too_large += 1;
            return;
        }
        let mut tag = Tag { origin: grant.origin.clone(), ..Tag::default() };
        let mut body = None;
        if durable {
            tag.message =
                Some(*publication.key.get_or_insert_with(|| self.journal.new_message_key()));
            tag.promise = publication.promise;
            publication.waits += u32::from(publication.promise.is_some());
        }
        // A session that ends with its connection sends nothing again, but what a member of a
        // group does not confirm goes to another.
        if durable || tag.is_shared() {
            body = Some(publication.body());
            self.queued_bytes += body.as_ref().map_or(0, |b| b.weight());
        }
        let (sequence, _) = client.outbound.push_sent(body, qos, retain, tag);
        self.stats.count_sent(publication.publish.payload);
        if durable && publication.must_be_stored() {
            self.store_delivery(session, sequence);
        } else if durable {
            let write = Write { session, uid: client.uid, sequence };
            self.timers.write_at(now.after(self.settings.persist_delay), write);
        }
        self.wake(session);
    }

    /// The limit that forbids a session to keep one more message of that many bytes.
    fn byte_limit(&self, client: &Client, weight: usize) -> Option<Limit> {
        if client.outbound.weight() + weight > self.settings.max_queued_bytes {
            Some(Limit::QueuedBytes)
        } else if self.queued_bytes + weight > self.settings.max_queued_bytes_total {
            Some(Limit::QueuedBytesTotal)
        } else {
            None
        }
    }

    /// Queues a delivery that cannot leave at once: the client is away, its window or its
    /// outbox is full, or it is a QoS 2 delivery that must be on disk before it is sent.
    fn enqueue(
        &mut self,
        now: Timestamp,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let body = publication.body();
        let weight = body.weight();
        let Some(client) = self.clients.get(session as usize) else { return };
        let full = match client.outbound.len() >= self.settings.max_queued_messages {
            true => Some(Limit::QueuedMessages),
            false => self.byte_limit(client, weight),
        };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if let Some(limit) = full {
            publication.refused = true;
            self.stats.count_limit(limit);
            self.stats.dropped_queue_full += 1;
            let client_id = Arc::clone(&client.identity.client_id);
            self.event(Event::Dropped { client_id, cause: DropCause::QueueFull });
            return;
        }
        self.queued_bytes += weight;
        let mut tag = Tag { origin: grant.origin.clone(), ..Tag::default() };
        if client.is_durable() {
            tag.message =
                Some(*publication.key.get_or_insert_with(|| self.journal.new_message_key()));
            tag.promise = publication.promise;
            publication.waits += u32::from(publication.promise.is_some());
        }
        let durable = client.is_durable();
        let sequence = client.outbound.push(body, qos, retain, tag);
        if !durable {
            return;
        }
        // A client that is there and only slow may still spare the disk the write, unless
        // exactly-once forbids to send before the delivery is durable.
        let may_wait = qos == QoS::AtLeastOnce && !publication.must_be_stored();
        if client.online.is_some() && may_wait {
            let write = Write { session, uid: client.uid, sequence };
            self.timers.write_at(now.after(self.settings.persist_delay), write);
        } else {
            self.store_delivery(session, sequence);
        }
    }

    /// Writes a delivery that is in memory only; whoever waits for it waits for the disk.
    pub(crate) fn store_delivery(&mut self, session: u32, sequence: u64) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (Some(key), uid) = (client.key, client.uid) else { return };
        let online = client.online.is_some();
        let Some(delivery) = client.outbound.get_mut(sequence) else { return };
        let (Some(message), Some(body)) = (delivery.tag.message, delivery.message.as_ref()) else {
            return;
        };
        if delivery.tag.stored.is_some() {
            return;
        }
        let record = record(delivery, message, false);
        let lsn = self.journal.put_delivery(key, sequence, record, body);
        delivery.tag.stored = Some(lsn);
        self.stats.deliveries_stored += 1;
        if let Some(promise) = delivery.tag.promise.take() {
            self.journal.wait(lsn, Waiter::Promise(promise));
        }
        if online && delivery.qos == QoS::ExactlyOnce {
            self.journal.wait(lsn, Waiter::Connection { session, uid });
        }
    }

    /// Sends what waits in a session's queue, as far as window and outbox allow.
    pub(crate) fn pump(&mut self, now: Timestamp, session: u32) {
        while let Some(client) = self.clients.get_mut(session as usize) {
            let Some(online) = client.online.as_mut() else { break };
            if online.outbox.len() >= self.settings.max_outbox_bytes {
                break;
            }
            let durable = client.key.is_some();
            let journal = &self.journal;
            let next = client.outbound.next_to_send(|delivery| {
                !durable
                    || delivery.qos == QoS::AtLeastOnce
                    || delivery.tag.stored.is_some_and(|lsn| journal.is_durable(lsn))
            });
            let (packet_id, dup, delivery) = match next {
                None => break,
                Some(Transmission::Release { packet_id }) => {
                    crate::frames::release(packet_id, client.version, &mut online.outbox);
                    continue;
                }
                Some(Transmission::Publish { packet_id, dup, delivery }) => {
                    (packet_id, dup, delivery)
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
            } else if online
                .send(message.topic.as_topic(), publish, client.version, || Arc::clone(&message))
            {
                self.stats.count_sent(&message.payload);
                continue;
            } else {
                DropCause::TooLarge
            };
            self.report_drop(session, cause, &message);
            if dup && qos == QoS::ExactlyOnce {
                // The client may hold the identifier. Were it just forgotten here, the next
                // message that gets it would count as a repeat.
                self.release(session, packet_id);
            } else {
                // Its place is free at once, so that the loop goes on.
                self.give_up(session, sequence);
            }
        }
        self.wake(session);
    }

    /// Drops one queued delivery.
    fn give_up(&mut self, session: u32, sequence: u64) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let before = client.outbound.weight();
        let settled = client.outbound.discard(sequence);
        self.queued_bytes -= before - client.outbound.weight();
        if let Some(settled) = settled {
            self.settled(session, settled);
        }
    }

    /// Counts and tells that a queued delivery is not sent.
    fn report_drop(&mut self, session: u32, cause: DropCause, message: &Message) {
        match cause {
            DropCause::Expired => self.stats.dropped_expired += 1,
            DropCause::TooLarge => self.stats.dropped_too_large += 1,
            DropCause::Denied => {
                let why = "the client may not receive this topic any more".to_owned();
                self.denied(session, Action::Receive, message.topic.as_str(), why);
            }
            DropCause::QueueFull => {}
        }
        let Some(client) = self.clients.get(session as usize) else { return };
        let client_id = Arc::clone(&client.identity.client_id);
        self.event(Event::Dropped { client_id, cause });
    }

    /// A delivery is over: the disk forgets it, and what was promised on it is kept.
    pub(crate) fn settled(&mut self, session: u32, settled: Settled<Tag>) {
        let Settled { sequence, tag } = settled;
        if let Some(promise) = tag.promise {
            self.keep_promise(promise);
        }
        let key = self.clients.get(session as usize).and_then(|c| c.key);
        if let (Some(key), Some(message)) = (key, tag.message) {
            match tag.stored {
                Some(_) => self.journal.remove_delivery(key, sequence, message),
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
        let reader = online.reader();
        while let Some(acknowledgement) = client.inbound.next_ready() {
            let outbox = &mut online.outbox;
            crate::frames::acknowledgement(acknowledgement, client.version, reader, outbox);
        }
        self.wake(session);
    }
}

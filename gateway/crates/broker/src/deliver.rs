use std::sync::Arc;

use mqtt::{Publish, QoS, TopicName};
use session::{Message, Settled, Timestamp, Transmission};

use crate::client::{Promise, Tag};
use crate::durable::{DeliveryRecord, MessageKey};
use crate::routes::{Route, Target};
use crate::timers::Write;
use crate::{Action, Broker, DropCause, Event};

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
            body: None,
            key: None,
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
    /// Gives a publication to every target of its route.
    pub(crate) fn fan_out(
        &mut self,
        now: Timestamp,
        publication: &mut Publication<'_>,
        route: &Route,
    ) {
        self.frames.clear();
        for target in &route.targets {
            let own = publication.from == Some(target.session);
            let Some(subscribed) = (if own { target.own_qos } else { Some(target.qos) }) else {
                continue;
            };
            let retain = publication.publish.retain && target.retain_as_published;
            match publication.publish.qos.min(subscribed) {
                QoS::AtMostOnce => self.deliver_unconfirmed(target, publication, retain),
                qos => self.deliver_confirmed(now, target, publication, qos, retain),
            }
        }
    }

    fn deliver_unconfirmed(
        &mut self,
        target: &Target,
        publication: &mut Publication<'_>,
        retain: bool,
    ) {
        let Some(client) = self.clients.get_mut(target.session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        if online.outbox.len() >= self.settings.max_outbox_bytes {
            self.stats.dropped_outbox_full += 1;
            return;
        }
        let frame = self.frames.get(publication, client.version, QoS::AtMostOnce, retain);
        if frame.total_len() > online.max_packet_size {
            self.stats.dropped_too_large += 1;
            return;
        }
        self.frames.append(frame, None, publication, &mut online.outbox);
        self.stats.count_sent(publication.publish.payload);
        self.wake(target.session);
    }

    fn deliver_confirmed(
        &mut self,
        now: Timestamp,
        target: &Target,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let Some(client) = self.clients.get_mut(target.session as usize) else { return };
        let durable = client.is_durable();
        let sends_now = qos == QoS::AtLeastOnce || !durable;
        let room = client.outbound.has_room() && sends_now;
        let Some(online) = client
            .online
            .as_mut()
            .filter(|o| room && o.outbox.len() < self.settings.max_outbox_bytes)
        else {
            self.enqueue(now, target.session, publication, qos, retain);
            return;
        };
        let frame = self.frames.get(publication, client.version, qos, retain);
        if frame.total_len() > online.max_packet_size {
            self.stats.dropped_too_large += 1;
            return;
        }
        let mut tag = Tag::default();
        let mut body = None;
        if durable {
            tag.message =
                Some(*publication.key.get_or_insert_with(|| self.journal.new_message_key()));
            tag.promise = publication.promise;
            publication.waits += u32::from(publication.promise.is_some());
            body = Some(publication.body());
            self.queued_bytes += body.as_ref().map_or(0, |b| b.weight());
        }
        let (sequence, packet_id) = client.outbound.push_sent(body, qos, retain, tag);
        self.frames.append(frame, Some(packet_id), publication, &mut online.outbox);
        self.stats.count_sent(publication.publish.payload);
        if durable && publication.publish.qos == QoS::ExactlyOnce {
            // A repeat of this publish is acknowledged without being routed again, so what
            // it was routed to must not depend on memory.
            self.store_delivery(target.session, sequence);
        } else if durable {
            let write = Write { session: target.session, uid: client.uid, sequence };
            self.timers.write_at(now.after(self.settings.persist_delay), write);
        }
        self.wake(target.session);
    }

    /// Queues a delivery that cannot leave at once: the client is away, its window or its
    /// outbox is full, or it is a QoS 2 delivery that must be on disk before it is sent.
    fn enqueue(
        &mut self,
        now: Timestamp,
        session: u32,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let body = publication.body();
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let weight = body.weight();
        if client.outbound.len() >= self.settings.max_queued_messages
            || client.outbound.weight() + weight > self.settings.max_queued_bytes
            || self.queued_bytes + weight > self.settings.max_queued_bytes_total
        {
            publication.refused = true;
            self.stats.dropped_queue_full += 1;
            let client_id = Arc::clone(&client.identity.client_id);
            self.event(Event::Dropped { client_id, cause: DropCause::QueueFull });
            return;
        }
        self.queued_bytes += weight;
        let mut tag = Tag::default();
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
        let both_qos_1 = qos == QoS::AtLeastOnce && publication.publish.qos == QoS::AtLeastOnce;
        if client.online.is_some() && both_qos_1 {
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
        let record =
            DeliveryRecord { message, qos: delivery.qos, retain: delivery.retain, released: false };
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
            let flags = crate::frames::Flags { dup, qos, retain: delivery.retain };
            let cause = if message.expired(now) {
                DropCause::Expired
            } else if !crate::client::may_receive(
                client.permissions.as_deref(),
                &client.identity,
                message.topic.as_str(),
            ) {
                DropCause::Denied
            } else if crate::frames::message(
                &message,
                now,
                client.version,
                flags,
                packet_id,
                online.max_packet_size,
                &mut online.outbox,
            ) {
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
        while let Some(acknowledgement) = client.inbound.next_ready() {
            crate::frames::acknowledgement(acknowledgement, client.version, &mut online.outbox);
        }
        self.wake(session);
    }
}

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::{PacketId, Publish, QoS, TopicName};
use session::{Lane, Message, Timestamp};

use crate::client::Online;
use crate::interception::wants;
use crate::routes::{Grant, Origin};
use crate::{Broker, Conversation, Draft, DropCause, Interests};

/// Deliveries of one client that are shown to interceptors together at most.
pub const DELIVERIES_MAX: usize = 64;

/// A message that a client is about to be sent, for interceptors to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The QoS with which it will be sent.
    pub qos: QoS,
    /// The retain flag with which it will be.
    pub retain: bool,
    /// Seconds that are left of its expiry interval.
    pub expiry_seconds: Option<u32>,
}

/// What interceptors made of a [`Delivery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reviewed {
    /// It is sent as it is.
    Pass,
    /// It is not sent, and counts as delivered.
    Discard,
    /// This is sent in its place, with the QoS and the retain flag that it had.
    Replace(Draft),
    /// An interceptor failed: it is not sent, and counts as dropped.
    Failed,
}

/// Deliveries of a connection that interceptors are to see before they leave. As far as the session goes they have been
/// sent: they have their packet identifiers and their places in the window, and a connection that is lost meanwhile has
/// lost them on the way.
#[derive(Debug, Default)]
pub(crate) struct Review {
    waiting: VecDeque<Held>,
    bytes: usize,
    /// How many of them are being looked at.
    shown: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message: Arc<Message>,
    /// Its number in the session and on the wire; none of QoS 0.
    pub(crate) sent: Option<(u64, PacketId)>,
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) origin: Option<Arc<Origin>>,
    /// The stream that it was for.
    pub(crate) lane: Lane,
}

impl Held {
    /// One of QoS 0.
    pub(crate) fn unconfirmed(
        message: Arc<Message>,
        retain: bool,
        grant: &Grant,
        lane: Lane,
    ) -> Self {
        let origin = grant.origin.clone();
        Self { message, sent: None, dup: false, qos: QoS::AtMostOnce, retain, origin, lane }
    }
}

impl Online {
    /// Whether what is sent on `topic` goes by way of the interceptors: one wants to see it, or something waits for them,
    /// which it must not overtake.
    #[inline]
    pub(crate) fn reviews(&self, interests: &[Interests], topic: TopicName<'_>) -> bool {
        self.review
            .as_ref()
            .is_some_and(|review| !review.waiting.is_empty() || self.wants_review(interests, topic))
    }

    fn wants_review(&self, interests: &[Interests], topic: TopicName<'_>) -> bool {
        crate::interception::interests(interests, self.listener)
            .is_some_and(|interests| wants(&interests.delivery, topic))
    }

    /// Keeps a delivery until interceptors have seen it.
    pub(crate) fn hold(&mut self, held: Held) {
        let review = self.review.get_or_insert_default();
        review.bytes += held.message.weight();
        review.waiting.push_back(held);
    }

    /// Whether there are deliveries to be shown to interceptors.
    pub(crate) fn has_deliveries(&self) -> bool {
        self.review.as_ref().is_some_and(|review| review.shown == 0 && !review.waiting.is_empty())
    }

    /// Bytes that have not left on a stream, because the client does not read it or interceptors have not seen them.
    pub(crate) fn unsent_bytes(&self, lane: Lane) -> usize {
        let bytes = match (&self.lanes, lane) {
            (None, _) | (_, Lane::CONTROL) => self.outbox.len(),
            (Some(lanes), side) => lanes.waiting_bytes(side),
        };
        bytes + self.held_bytes()
    }

    /// Bytes that have not left on any stream.
    pub(crate) fn all_unsent_bytes(&self) -> usize {
        let sides = self.lanes.as_ref().map_or(0, |lanes| lanes.all_waiting_bytes());
        self.unsent_bytes(Lane::CONTROL) + sides
    }

    /// Bytes that interceptors have not seen.
    pub(crate) fn held_bytes(&self) -> usize {
        self.review.as_ref().map_or(0, |review| review.bytes)
    }
}

/// What clients are sent, before it leaves.
impl Broker {
    /// The deliveries of this connection that interceptors are to see next, with those that must not overtake them, at most
    /// [`DELIVERIES_MAX`]. What is made of them goes to [`reviewed`](Self::reviewed), and until then there are no more.
    pub fn take_deliveries(&mut self, now: Timestamp, of: Conversation) -> Vec<Delivery> {
        let client = self.clients.get_mut(of.session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        let Some(online) = online.filter(|online| online.link == of.link) else {
            return Vec::new();
        };
        let Some(review) = online.review.as_mut() else { return Vec::new() };
        // Who comes for these may not be able to take what waits on the first stream.
        online.woken = false;
        if review.shown > 0 {
            return Vec::new();
        }
        let shown = review.waiting.iter().take(DELIVERIES_MAX).map(|held| Delivery {
            message: Arc::clone(&held.message),
            qos: held.qos,
            retain: held.retain,
            expiry_seconds: held.message.remaining_seconds(now),
        });
        let shown: Vec<_> = shown.collect();
        review.shown = shown.len();
        shown
    }

    /// Sends what interceptors made of the deliveries that were taken last, in their order. One for which nothing is said
    /// is dropped.
    pub fn reviewed(&mut self, now: Timestamp, of: Conversation, made: Vec<Reviewed>) {
        let mut made = made.into_iter();
        for held in self.take_shown(of) {
            let made = made.next().unwrap_or(Reviewed::Failed);
            self.send_reviewed(now, of.session, held, made);
        }
        self.pump(now, of.session);
        self.wake(of.session);
    }

    fn take_shown(&mut self, of: Conversation) -> Vec<Held> {
        let client = self.clients.get_mut(of.session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        let online = online.filter(|online| online.link == of.link);
        let Some(review) = online.and_then(|online| online.review.as_mut()) else {
            return Vec::new();
        };
        let shown = std::mem::take(&mut review.shown).min(review.waiting.len());
        let shown: Vec<_> = review.waiting.drain(..shown).collect();
        let bytes: usize = shown.iter().map(|held| held.message.weight()).sum();
        review.bytes -= bytes;
        shown
    }

    fn send_reviewed(&mut self, now: Timestamp, session: u32, held: Held, made: Reviewed) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let known = |(sequence, _)| client.outbound.get_mut(sequence).is_some();
        if !held.sent.is_none_or(known) {
            // The client has confirmed what it cannot have, or it was taken back.
            return;
        }
        let message = match made {
            Reviewed::Pass => Arc::clone(&held.message),
            Reviewed::Discard => {
                self.stats.deliveries_discarded += 1;
                return self.end_held(session, &held);
            }
            Reviewed::Replace(draft) => {
                self.stats.deliveries_replaced += 1;
                Arc::new(draft.into_message(now))
            }
            Reviewed::Failed => {
                self.report_drop(session, DropCause::NotReviewed, &held.message);
                return self.end_held(session, &held);
            }
        };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        let (permissions, topic) = (client.permissions.as_deref(), held.message.topic.as_str());
        let publish = Publish {
            dup: held.dup,
            qos: held.qos,
            retain: held.retain,
            packet_id: held.sent.map(|(_, packet_id)| packet_id),
            subscription_ids: crate::routes::ids(held.origin.as_ref()),
            ..crate::frames::as_publish(&message, now)
        };
        // Meanwhile it may have expired (unless it was sent before, MQTT-4.3.3-7), and a right may have gone.
        let cause = if !held.dup && message.expired(now) {
            DropCause::Expired
        } else if !crate::client::may_receive(permissions, &client.identity, topic) {
            DropCause::Denied
        } else {
            let topic = message.topic.as_topic();
            let lane = online.lanes.as_ref().map_or(Lane::CONTROL, |it| it.resolve(held.lane));
            if online.send(lane, topic, publish, client.version, || Arc::clone(&message)) {
                self.stats.count_sent(&message.payload);
                return;
            }
            DropCause::TooLarge
        };
        self.report_drop(session, cause, &held.message);
        self.end_held(session, &held);
    }

    /// Ends a delivery that is not sent after all.
    fn end_held(&mut self, session: u32, held: &Held) {
        if let Some((sequence, packet_id)) = held.sent {
            let hold = held.dup && held.qos == QoS::ExactlyOnce;
            self.forgo(session, sequence, packet_id, hold);
        }
    }
}

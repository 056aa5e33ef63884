use std::collections::BTreeMap;
use std::sync::Arc;

use auth::{Identity, Limits, PermissionSet};
use mqtt::{PacketId, Publish, QoS, TopicFilterBuf, TopicName, Version};
use session::{Inbound, KeepAlive, Lane, Message, Outbound, Ticket, Timestamp};

use crate::aliases::{InboundAliases, Naming, OutboundAliases};
use crate::durable::{Lsn, MessageKey, SessionKey, SessionRecord, Subscription, WillRecord};
use crate::frames::Audience;
use crate::lanes::{Lanes, Room};
use crate::pace::Pace;
use crate::queue::Values;
use crate::quota::Excesses;
use crate::read_ahead::{Reading, Sweep};
use crate::reauthenticate::Method;
use crate::review::Review;
use crate::routes::{Origin, Route};
use crate::{Arrangement, Durability, LinkId, Outbox, Settings};

/// One session, and its connection while there is one.
#[derive(Debug)]
pub(crate) struct Client {
    /// Never reused, unlike the index at which the session stands.
    pub(crate) uid: u64,
    pub(crate) identity: Identity,
    /// `None` after a restart until the client has authenticated again.
    pub(crate) permissions: Option<Arc<PermissionSet>>,
    /// The session's number on disk; `None` for one that ends with its connection.
    pub(crate) key: Option<SessionKey>,
    /// Where what CONNACK promises was written: the terms of the session, and the end of the
    /// one before it.
    pub(crate) terms: Lsn,
    /// When the session's alarm rings, if it is set.
    pub(crate) alarm: Option<Timestamp>,
    pub(crate) version: Version,
    /// Session Expiry Interval in seconds.
    pub(crate) expiry_seconds: u32,
    pub(crate) subscriptions: BTreeMap<TopicFilterBuf, Subscription>,
    pub(crate) outbound: Outbound<Tag>,
    /// What is arranged for it, if it is one of the gateway's own and has connected since the start.
    pub(crate) arrangement: Option<Arc<Arrangement>>,
    /// A read of the queue on disk that is under way.
    pub(crate) reading: Option<Reading>,
    /// Where it is written what must be durable before the queue is read.
    pub(crate) behind: Lsn,
    /// Something waits for the disk on behalf of the queue already.
    pub(crate) waits: bool,
    /// The queue is too long, and its oldest messages are on disk.
    pub(crate) trims: bool,
    pub(crate) sweep: Sweep,
    pub(crate) values: Values,
    pub(crate) excesses: Excesses,
    pub(crate) inbound: Inbound,
    pub(crate) will: Option<Will>,
    pub(crate) online: Option<Online>,
    /// While offline: since when, and when the session ends.
    pub(crate) offline: Option<Offline>,
}

/// What exists only while a client is connected.
#[derive(Debug)]
pub(crate) struct Online {
    pub(crate) link: LinkId,
    /// What waits for the first stream, or the only one.
    pub(crate) outbox: Outbox,
    /// The streams beside it, if the client has ever opened one.
    pub(crate) lanes: Option<Box<Lanes>>,
    /// The link has been told that bytes wait and has not come for them yet.
    pub(crate) woken: bool,
    /// The outbox begins with a CONNACK, or holds a SUBACK, that must not leave before this is
    /// durable; so nothing does.
    pub(crate) held: Option<Lsn>,
    /// CONNACK has left.
    pub(crate) greeted: bool,
    pub(crate) keep_alive: KeepAlive,
    /// What was set for it, to be shown.
    pub(crate) limits: Limits,
    /// How much it may send in a time, if that is limited.
    pub(crate) pace: Option<Box<Pace>>,
    /// A publish waits for memory, until then at most.
    pub(crate) lacks_memory_until: Option<Timestamp>,
    /// Largest packet that the client accepts, in bytes.
    pub(crate) max_packet_size: usize,
    /// What the acknowledgements of its publishes wait for, where topics say nothing else.
    pub(crate) durability: Durability,
    /// Subscriptions that this client may have.
    pub(crate) max_subscriptions: usize,
    /// The authentication method of its CONNECT, if that named one.
    pub(crate) method: Option<Box<Method>>,
    /// When its authorization runs out.
    pub(crate) authorized_until: Option<Timestamp>,
    pub(crate) last_publish: Option<LastPublish>,
    /// The number of the listener whose interceptors see its messages, if any do.
    pub(crate) listener: Option<u16>,
    /// Where deliveries wait to be shown to interceptors, if the listener has any.
    pub(crate) review: Option<Box<Review>>,
    /// Topics for which the client has set an alias on the first stream.
    pub(crate) aliases_in: InboundAliases,
    /// Topics for which the client was told one there; on other streams topics go by their names.
    pub(crate) aliases_out: OutboundAliases,
    /// Whether the client wants to read why something was refused (MQTT 5, 3.1.2.11.7).
    pub(crate) wants_reasons: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Offline {
    pub(crate) since: Timestamp,
    /// `None` when the session never expires.
    pub(crate) until: Option<Timestamp>,
    /// When the will is due, if it is still to be sent.
    pub(crate) will_due: Option<Timestamp>,
}

/// What a client published last and was allowed to: devices repeat themselves.
#[derive(Debug)]
pub(crate) struct LastPublish {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) route: Arc<Route>,
    pub(crate) right: Standing,
    /// Whether an interceptor wants to see those like it.
    pub(crate) intercepted: bool,
}

/// How long a right to publish lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As long as the permissions: they give it.
    Given,
    /// Until then: an extension was asked.
    Until(Timestamp),
    /// For that publish alone: an extension is asked about each.
    Once,
}

impl LastPublish {
    /// Whether `publish`, on the same topic, is one like it, and may be made without another look.
    pub(crate) fn covers(&self, publish: &Publish<'_>, now: Timestamp) -> bool {
        self.lasts(now) && self.qos == publish.qos && self.retain == publish.retain
    }

    /// Whether the right to it is one to others, too.
    pub(crate) fn lasts(&self, now: Timestamp) -> bool {
        match self.right {
            Standing::Given => true,
            Standing::Until(end) => now < end,
            Standing::Once => false,
        }
    }
}

/// A message that the client left to be sent when it vanishes.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    /// Will Delay Interval in seconds.
    pub(crate) delay: u32,
    /// Message Expiry Interval in seconds; it begins when the will is published.
    pub(crate) expiry: Option<u32>,
}

/// What the broker remembers of a delivery.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The acknowledgement that waits for this delivery to be durable or confirmed.
    pub(crate) promise: Option<Promise>,
    /// The message's number, for deliveries of durable sessions.
    pub(crate) message: Option<MessageKey>,
    /// Where the delivery was written, if it was.
    pub(crate) stored: Option<Lsn>,
    /// The subscriptions that it came of, where that matters later.
    pub(crate) origin: Option<Arc<Origin>>,
    /// The stream on which it goes.
    pub(crate) lane: Lane,
}

impl Tag {
    /// Whether another member of a group may get the delivery in the end.
    pub(crate) fn is_shared(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.group.is_some())
    }
}

impl Will {
    /// What the disk is to remember of it.
    fn record(&self) -> WillRecord {
        let Self { message, delay, expiry } = self.clone();
        WillRecord { message, delay_seconds: delay, expiry_seconds: expiry }
    }

    /// The will that the disk remembers.
    pub(crate) fn from_record(record: WillRecord) -> Self {
        let WillRecord { message, delay_seconds: delay, expiry_seconds: expiry } = record;
        Self { message, delay, expiry }
    }
}

impl Online {
    /// Until when nothing of the client is handled, because it has sent too much or there is no memory for it.
    pub(crate) fn waits_until(&self) -> Option<Timestamp> {
        self.lacks_memory_until.or_else(|| self.pace.as_ref()?.until)
    }

    /// Where an answer to the packet goes that is being handled.
    #[inline]
    pub(crate) fn answers(&self) -> Lane {
        self.lanes.as_ref().map_or(Lane::CONTROL, |lanes| lanes.answers())
    }

    /// Where a message on `topic` goes, which came of `origin`.
    #[inline]
    pub(crate) fn lane_for(&self, topic: TopicName<'_>, origin: Option<&Arc<Origin>>) -> Lane {
        let Some(lanes) = &self.lanes else { return Lane::CONTROL };
        lanes.lane_for(topic, origin.and_then(|origin| origin.group.as_ref()))
    }

    /// What waits for a stream; what is meant for one that has gone goes on the first.
    #[inline]
    pub(crate) fn outbox_of(&mut self, lane: Lane) -> &mut Outbox {
        let side = self.lanes.as_mut().and_then(|lanes| lanes.outbox_mut(lane));
        side.unwrap_or(&mut self.outbox)
    }

    /// Whether there are no topic aliases towards the client on a stream.
    #[inline]
    pub(crate) fn names_topics(&self, lane: Lane) -> bool {
        lane != Lane::CONTROL || self.aliases_out.is_off()
    }

    /// The aliases that the client has set on the stream of the packet that is being handled.
    pub(crate) fn aliases_in(&mut self) -> &mut InboundAliases {
        let side = self.lanes.as_mut().and_then(|lanes| lanes.aliases_mut());
        side.unwrap_or(&mut self.aliases_in)
    }

    /// Whether bytes wait on any stream.
    #[inline]
    pub(crate) fn has_bytes(&self) -> bool {
        !self.outbox.is_empty() || self.lanes.as_ref().is_some_and(|lanes| lanes.has_output())
    }

    /// A delivery was sent on a stream, whose message has so many bytes.
    pub(crate) fn count_in_flight(&mut self, lane: Lane, weight: usize) {
        if let Some(lanes) = self.lanes.as_mut() {
            lanes.moved(lane, weight);
        }
    }

    /// The message of a delivery in flight on a stream need not be kept any more.
    pub(crate) fn lighten(&mut self, lane: Lane, weight: usize) {
        if let Some(lanes) = self.lanes.as_mut() {
            lanes.lighten(lane, weight);
        }
    }

    /// A packet for a stream waits for the disk.
    pub(crate) fn await_disk(&mut self, lane: Lane) {
        if let Some(lanes) = self.lanes.as_mut() {
            lanes.await_disk(lane);
        }
    }

    /// What the connection has room for, within these limits.
    pub(crate) fn room(&self, settings: &Settings) -> Room {
        Room {
            first: self.outbox.len(),
            held: self.held_bytes(),
            bytes_max: settings.max_outbox_bytes,
            waiting_max: settings.max_waiting_messages,
            waiting_bytes_max: settings.max_waiting_bytes,
        }
    }

    /// Whether a delivery can be sent on a stream at once, as far as the stream goes.
    #[inline]
    pub(crate) fn takes(&self, lane: Lane, outbound: &Outbound<Tag>, settings: &Settings) -> bool {
        match &self.lanes {
            None => self.unsent_bytes(lane) < settings.max_outbox_bytes,
            Some(lanes) => lanes.takes(lane, outbound, self.room(settings)),
        }
    }

    /// What reasons the client is told.
    pub(crate) fn audience(&self) -> Audience {
        let Self { wants_reasons, max_packet_size, .. } = *self;
        Audience { wants_reasons, max_packet_size }
    }

    /// Appends a PUBLISH that nobody else gets in this form, with a topic alias where there is
    /// one; false when it is larger than the client accepts.
    pub(crate) fn send(
        &mut self,
        lane: Lane,
        topic: TopicName<'_>,
        publish: Publish<'_>,
        version: Version,
        mut body: impl FnMut() -> Arc<Message>,
    ) -> bool {
        let max = self.max_packet_size;
        if let Some(outbox) = self.lanes.as_mut().and_then(|lanes| lanes.outbox_mut(lane)) {
            return crate::frames::publish(&publish, version, max, body, outbox);
        }
        let outbox = &mut self.outbox;
        match self.aliases_out.naming(&topic) {
            Naming::Name => crate::frames::publish(&publish, version, max, body, outbox),
            Naming::Alias(alias) => {
                let publish = Publish { topic: None, topic_alias: Some(alias), ..publish };
                crate::frames::publish(&publish, version, max, body, outbox)
            }
            Naming::Introduce(alias) => {
                let introduced = Publish { topic_alias: Some(alias), ..publish };
                if crate::frames::publish(&introduced, version, max, &mut body, outbox) {
                    self.aliases_out.remember(&topic, alias);
                    return true;
                }
                // The alias may have been what made it too large.
                crate::frames::publish(&publish, version, max, body, outbox)
            }
        }
    }
}

/// Names an acknowledgement that waits in a publisher's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) session: u32,
    pub(crate) uid: u64,
    pub(crate) ticket: Ticket,
}

impl Client {
    /// Takes a QoS 2 identifier for the packet that is being handled.
    pub(crate) fn take_identifier(&mut self, packet_id: PacketId) {
        self.inbound.receive(packet_id);
        if let Some(lanes) = self.online.as_mut().and_then(|online| online.lanes.as_mut()) {
            lanes.take(packet_id);
        }
    }

    /// Frees a QoS 2 identifier on PUBREL; false if it was not known.
    pub(crate) fn release_identifier(&mut self, packet_id: PacketId) -> bool {
        if let Some(lanes) = self.online.as_mut().and_then(|online| online.lanes.as_mut()) {
            lanes.release(packet_id);
        }
        self.inbound.release(packet_id)
    }

    /// Where an answer to the packet goes that is being handled.
    #[inline]
    pub(crate) fn answers(&self) -> Lane {
        self.online.as_ref().map_or(Lane::CONTROL, Online::answers)
    }

    /// Whether a QoS 2 identifier that is in use was taken by another stream than that of the packet that is being handled.
    pub(crate) fn is_taken_elsewhere(&self, packet_id: PacketId) -> bool {
        let lanes = self.online.as_ref().and_then(|online| online.lanes.as_ref());
        lanes.is_some_and(|lanes| lanes.is_taken_elsewhere(packet_id))
    }

    /// Whether the session outlives its connection.
    pub(crate) fn is_durable(&self) -> bool {
        self.key.is_some()
    }

    /// Whose session it is, for an event: client identifier and principal.
    pub(crate) fn whose(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.identity.client_id), Arc::clone(&self.identity.principal))
    }

    /// When something about the session falls due.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let online = self.online.as_ref().map(|online| {
            let stuck = online.lanes.as_ref().and_then(|lanes| lanes.deadline());
            [online.keep_alive.deadline(), online.authorized_until, stuck, online.waits_until()]
        });
        let offline = self.offline.as_ref().map(|o| [o.until, o.will_due, None, None]);
        online.or(offline).into_iter().flatten().flatten().chain(self.sweep.due).min()
    }

    /// What the disk is to remember of the session.
    pub(crate) fn record(&self) -> SessionRecord {
        SessionRecord {
            client_id: Arc::clone(&self.identity.client_id),
            principal: Arc::clone(&self.identity.principal),
            version: self.version,
            expiry_seconds: self.expiry_seconds,
            disconnected_at: self.offline.map(|offline| offline.since),
            sent_below: self.outbound.sent_below(),
            ended: false,
            will: self.will.as_ref().map(|will| Box::new(will.record())),
        }
    }

    /// Whether the client may be given a message on `topic`.
    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        may_receive(self.permissions.as_deref(), &self.identity, topic)
    }
}

/// Whether a client may be given a message on `topic`. A session whose client has not
/// authenticated since the last start is asked again when it does.
pub(crate) fn may_receive(
    permissions: Option<&PermissionSet>,
    who: &Identity,
    topic: &str,
) -> bool {
    permissions.is_none_or(|set| !matches!(set.check_delivery(who, topic), auth::Decision::Deny(_)))
}

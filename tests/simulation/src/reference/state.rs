use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use broker::durable::{self, SessionKey};
use broker::{Draft, LinkId, Timestamp};
use mqtt::{
    MessageProperties, PacketId, PacketKind, Publish, QoS, ReasonCode, SubscribeOptions,
    SubscriptionIdsBuf, TopicName, Version,
};

use super::rulings::Rulings;

/// One application message.
#[derive(PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Those that are forwarded unaltered, as on the wire.
    pub(crate) properties: Vec<u8>,
    pub(crate) expiry: Option<u32>,
    pub(crate) expires: Option<Timestamp>,
}

/// One delivery that is due to one session.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) serial: u64,
    pub(crate) message: Rc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Subscription identifiers, ascending.
    pub(crate) ids: Vec<u32>,
    /// The identifier under which it was sent.
    pub(crate) packet_id: Option<PacketId>,
    /// It was sent, before a crash or since.
    pub(crate) sent: bool,
    /// The last connection on which it was sent.
    pub(crate) sent_on: Option<LinkId>,
    /// PUBREC has come.
    pub(crate) released: bool,
    /// PUBREL has left.
    pub(crate) released_aloud: bool,
    /// The publisher was told that it is safe.
    pub(crate) promised: bool,
    /// The broker said that it did not queue one of several, of which this is one.
    pub(crate) may_be_missing: bool,
}

/// A subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) options: SubscribeOptions,
    pub(crate) id: Option<u32>,
    /// When it was made or changed last, counted.
    pub(crate) made: u64,
    /// SUBACK has left since it was made or changed.
    pub(crate) confirmed: bool,
}

/// A QoS 2 publish that is not released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// The deliveries that it led to.
    pub(crate) range: (u64, u64),
    /// PUBREC has left.
    pub(crate) confirmed: bool,
}

#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) delay: u32,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) epoch: u64,
    /// The number of the first delivery that it could get.
    pub(crate) began: u64,
    pub(crate) durable: bool,
    pub(crate) expiry: u32,
    /// Its number on disk, once CONNACK has left.
    pub(crate) key: Option<SessionKey>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// Filters whose removal UNSUBACK has confirmed.
    pub(crate) removed: BTreeSet<String>,
    pub(crate) row: Vec<Due>,
    /// Messages that were dropped from the row; the disk may not have heard of it.
    pub(crate) dropped: Vec<Rc<Message>>,
    pub(crate) received: BTreeMap<PacketId, Received>,
    pub(crate) will: Option<Will>,
    /// CONNACK has left since the client left its will.
    pub(crate) will_promised: bool,
    pub(crate) online: Option<LinkId>,
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) will_at: Option<Timestamp>,
    pub(crate) max_packet: usize,
    pub(crate) version: Version,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) version: Version,
    pub(crate) max_packet: usize,
    /// A session went on.
    pub(crate) present: bool,
    /// CONNACK has left.
    pub(crate) greeted: bool,
    /// Deliveries before this were sent or skipped.
    pub(crate) cursor: u64,
    /// QoS 0 deliveries.
    pub(crate) loose: VecDeque<Due>,
    pub(crate) aliases_in: BTreeMap<u16, String>,
    pub(crate) aliases_out: BTreeMap<u16, String>,
    pub(crate) alias_max: u16,
    pub(crate) rulings: Rulings,
    pub(crate) owed: VecDeque<Owed>,
    pub(crate) answers: VecDeque<Answered>,
    /// PUBRECs for nothing that is known, which are answered all the same.
    pub(crate) unknown: Vec<PacketId>,
    pub(crate) pings: usize,
}

/// An acknowledgement of PUBLISH or PUBREL.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) kind: PacketKind,
    pub(crate) packet_id: PacketId,
    pub(crate) codes: Vec<ReasonCode>,
    /// The deliveries that it is about.
    pub(crate) range: (u64, u64),
    /// It was retained, or cleared what was.
    pub(crate) kept: Option<Rc<Message>>,
}

/// SUBACK or UNSUBACK.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) kind: PacketKind,
    pub(crate) packet_id: PacketId,
    pub(crate) codes: Vec<ReasonCode>,
    pub(crate) filters: Vec<(String, Option<Subscription>)>,
}

/// A retained message.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) message: Rc<Message>,
    /// Its publisher was told that it is safe.
    pub(crate) promised: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.payload);
        let (number, rest) = text.split_once(':').unwrap_or(("", &text));
        let (topic, retain) = (&self.topic, self.retain);
        write!(f, "{number} on {topic} ({} bytes, retain {retain}", rest.len())?;
        match self.expires {
            Some(at) => write!(f, ", expires {})", at.as_unix_ms()),
            None => write!(f, ")"),
        }
    }
}

impl Message {
    pub(crate) fn of(publish: &Publish<'_>, topic: &str, at: Timestamp) -> Self {
        let mut properties = Vec::new();
        publish.properties.write_to(&mut properties);
        Self {
            topic: topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            properties,
            expiry: publish.message_expiry,
            expires: publish.message_expiry.map(|seconds| at.after_seconds(seconds)),
        }
    }

    /// What interceptors made of one.
    pub(crate) fn made(draft: &Draft, at: Timestamp) -> Self {
        Self {
            topic: draft.topic.as_str().to_owned(),
            payload: draft.payload.to_vec(),
            qos: draft.qos,
            retain: draft.retain,
            properties: draft.properties.to_vec(),
            expiry: draft.expiry_seconds,
            expires: draft.expiry_seconds.map(|seconds| at.after_seconds(seconds)),
        }
    }

    pub(crate) fn is_expired(&self, at: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// Seconds that are left, begun ones included.
    pub(crate) fn left(&self, at: Timestamp) -> Option<u32> {
        let left = self.expires?.since(at).as_millis().div_ceil(1000);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// What the limits of queues count.
    pub(crate) fn weight(&self) -> usize {
        96 + self.topic.len() + self.payload.len() + self.properties.len()
    }
}

impl Due {
    pub(crate) fn new(serial: u64, message: &Rc<Message>) -> Self {
        Self {
            serial,
            message: Rc::clone(message),
            qos: message.qos,
            retain: false,
            ids: Vec::new(),
            packet_id: None,
            sent: false,
            sent_on: None,
            released: false,
            released_aloud: false,
            promised: false,
            may_be_missing: false,
        }
    }

    /// What the limits of queues count: nothing once the client has the message.
    pub(crate) fn weight(&self) -> usize {
        if self.released { 0 } else { self.message.weight() }
    }

    /// Whether `publish`, on `topic`, may be this one.
    pub(crate) fn is(&self, publish: &Publish<'_>, topic: &str) -> bool {
        self.qos == publish.qos
            && self.message.topic == topic
            && self.message.payload == publish.payload
    }

    /// Bytes of the packet that would carry it.
    pub(crate) fn len(&self, version: Version) -> usize {
        let mut ids = SubscriptionIdsBuf::default();
        self.ids.iter().for_each(|id| ids.push(*id).expect("an identifier"));
        let packet_id = (self.qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let publish = Publish {
            qos: self.qos,
            packet_id,
            message_expiry: self.message.expiry,
            subscription_ids: ids.as_ref(),
            properties: MessageProperties::parse(&self.message.properties).expect("properties"),
            ..Publish::new(
                TopicName::new(&self.message.topic).expect("a topic"),
                &self.message.payload,
            )
        };
        publish.encoded_len(version).expect("a packet")
    }
}

impl Subscription {
    pub(crate) fn stored(stored: &durable::Subscription) -> Self {
        let id = stored.id.map(NonZeroU32::get);
        Self { options: stored.options, id, made: 0, confirmed: true }
    }

    /// Whether that is what the disk has.
    pub(crate) fn is(&self, stored: &durable::Subscription) -> bool {
        self.options == stored.options && self.id == stored.id.map(NonZeroU32::get)
    }
}

impl Session {
    pub(crate) fn weight(&self) -> usize {
        self.row.iter().map(Due::weight).sum()
    }

    /// Whether a delivery may be dropped, or may not be there.
    pub(crate) fn may_be_skipped(&self, due: &Due, at: Timestamp) -> bool {
        due.may_be_missing || due.message.is_expired(at) || due.len(self.version) > self.max_packet
    }

    /// A message was sent before those with these numbers: they must have an excuse.
    pub(crate) fn pass_by(
        &mut self,
        skipped: std::ops::Range<u64>,
        max: usize,
        version: Version,
        at: Timestamp,
        publish: &Publish<'_>,
    ) {
        for due in self.row.iter_mut().filter(|d| skipped.contains(&d.serial)) {
            let excused = due.released
                || due.may_be_missing
                || due.message.is_expired(at)
                || due.len(version) > max;
            assert!(excused, "{publish:?} came before {due:?}");
            // One that the client may hold is not dropped but released.
            due.released |= due.packet_id.is_some() && due.qos == QoS::ExactlyOnce;
        }
        self.row.retain(|due| {
            let kept = !skipped.contains(&due.serial) || due.released;
            self.dropped.extend((!kept).then(|| Rc::clone(&due.message)));
            kept
        });
    }
}

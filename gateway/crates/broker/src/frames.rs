//! What the broker puts on the wire.

use std::sync::Arc;

use mqtt::{
    Ack, EncodeError, FrameLayout, Packet, PacketId, PacketKind, Publish, PublishFrame, QoS,
    ReasonCode, Version,
};
use session::{AckKind, Acknowledgement, Message, Timestamp};

use crate::deliver::Publication;
use crate::outbox::{Outbox, SHARED_PAYLOAD_MIN};

/// The forms in which one publication goes to its subscribers, each encoded once: there are
/// two versions, three qualities of service and a RETAIN flag.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// A bit for each form that is known.
    known: u16,
    forms: [Frame; 12],
}

/// One encoded form.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    start: usize,
    end: usize,
    layout: FrameLayout,
    /// The payload is not in the bytes; the message is to be shared behind them.
    shared: bool,
}

impl Frame {
    /// Bytes of the whole packet.
    pub(crate) fn total_len(&self) -> usize {
        self.layout.total_len()
    }
}

impl Frames {
    /// Begins another publication.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.known = 0;
    }

    /// The frame of `publication` in this form.
    pub(crate) fn get(
        &mut self,
        publication: &Publication<'_>,
        version: Version,
        qos: QoS,
        retain: bool,
    ) -> Frame {
        let index =
            usize::from(version.is_v5()) * 6 + usize::from(qos.as_u8()) * 2 + usize::from(retain);
        if let Some(frame) = self.forms.get(index).filter(|_| self.known & (1 << index) != 0) {
            return *frame;
        }
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic: Some(publication.topic),
            packet_id: None,
            topic_alias: None,
            subscription_ids: mqtt::SubscriptionIds::default(),
            ..*publication.publish
        };
        let shared = publish.payload.len() >= SHARED_PAYLOAD_MIN;
        let start = self.bytes.len();
        let layout = if shared {
            PublishFrame::encode_head(&mut self.bytes, version, &publish)
        } else {
            PublishFrame::encode(&mut self.bytes, version, &publish)
        };
        // What was decoded can be encoded, unless the other version's form of it is larger than any
        // packet may be; nobody accepts such a packet.
        let layout = layout.unwrap_or(FrameLayout {
            packet_id_at: None,
            head_len: usize::MAX / 2,
            payload_len: 0,
        });
        let frame = Frame { start, end: self.bytes.len(), layout, shared };
        if let Some(form) = self.forms.get_mut(index) {
            *form = frame;
            self.known |= 1 << index;
        }
        frame
    }

    /// Appends `frame` to an outbox, with its own packet identifier.
    pub(crate) fn append(
        &self,
        frame: Frame,
        packet_id: Option<PacketId>,
        publication: &mut Publication<'_>,
        outbox: &mut Outbox,
    ) {
        let out = outbox.packet_mut();
        let at = out.len();
        out.extend_from_slice(self.bytes.get(frame.start..frame.end).unwrap_or_default());
        if let Some(packet_id) = packet_id {
            frame.layout.set_packet_id(out.get_mut(at..).unwrap_or_default(), packet_id);
        }
        if frame.shared {
            outbox.share(publication.body());
        }
    }
}

/// A stored message as a packet, with what is left of its expiry interval (MQTT-3.3.2-6).
pub(crate) fn as_publish(message: &Message, now: Timestamp) -> Publish<'_> {
    Publish {
        qos: message.qos,
        retain: message.retain,
        message_expiry: message.remaining_seconds(now),
        properties: message.properties(),
        ..Publish::new(message.topic.as_topic(), &message.payload)
    }
}

/// Appends a PUBLISH that nobody else gets in this form; false when it is larger than
/// `max_packet_size` bytes, and nothing is appended then. `body` is what a large payload is shared from.
pub(crate) fn publish(
    publish: &Publish<'_>,
    version: Version,
    max_packet_size: usize,
    body: impl FnOnce() -> Arc<Message>,
    outbox: &mut Outbox,
) -> bool {
    let out = outbox.packet_mut();
    let at = out.len();
    let layout = PublishFrame::encode_head(out, version, publish);
    if !layout.is_ok_and(|layout| layout.total_len() <= max_packet_size) {
        outbox.abandon_packet(at);
        return false;
    }
    if publish.payload.len() >= SHARED_PAYLOAD_MIN {
        outbox.share(body());
    } else {
        out.extend_from_slice(publish.payload);
    }
    true
}

/// Appends an acknowledgement, with the reason of an error where the client wants to read it.
#[inline]
pub(crate) fn acknowledgement(
    acknowledgement: Acknowledgement,
    version: Version,
    audience: Audience,
    outbox: &mut Outbox,
) {
    let Acknowledgement { kind, packet_id, code, .. } = acknowledgement;
    let kind = match kind {
        AckKind::PubAck => PacketKind::PubAck,
        AckKind::PubRec => PacketKind::PubRec,
        AckKind::PubComp => PacketKind::PubComp,
    };
    // By far the most acknowledgements are these four bytes (MQTT 5, 3.4.2.1).
    if !version.is_v5() || code == ReasonCode::Success {
        let [high, low] = packet_id.get().to_be_bytes();
        outbox.packet_mut().extend_from_slice(&[(kind as u8) << 4, 2, high, low]);
        return;
    }
    audience.write(explanation(code), outbox, |reason, out| {
        Ack { reason, ..Ack::new(packet_id, code) }.encode(kind, version, out)
    });
}

/// A client that may want to read reasons (MQTT 5, 3.1.2.11.7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience {
    pub(crate) wants_reasons: bool,
    /// Bytes of the largest packet that it accepts.
    pub(crate) max_packet_size: usize,
}

impl Audience {
    /// Has a packet written with `reason`, or without where the client does not want it or it
    /// makes the packet too large for it (MQTT-3.4.2-2 and its like). False, with nothing
    /// written, when the packet is too large even so (MQTT-3.1.2-24).
    pub(crate) fn write(
        self,
        reason: Option<&str>,
        outbox: &mut Outbox,
        write: impl Fn(Option<&str>, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> bool {
        let out = outbox.packet_mut();
        let at = out.len();
        let reason = reason.filter(|_| self.wants_reasons);
        if reason.is_some() && write(reason, out).is_ok() && out.len() - at <= self.max_packet_size
        {
            return true;
        }
        out.truncate(at);
        let written = write(None, out);
        debug_assert!(written.is_ok(), "the broker composes what can be written: {written:?}");
        let fits = out.len() - at <= self.max_packet_size;
        if !fits {
            outbox.abandon_packet(at);
        }
        fits
    }
}

/// What a client is told about a refused publish or subscription. What the rules of its site are,
/// the operator's log says and nobody else.
pub(crate) fn explanation(code: ReasonCode) -> Option<&'static str> {
    Some(match code {
        ReasonCode::NotAuthorized => "this client has no permission for that",
        ReasonCode::QuotaExceeded => "a limit of the gateway is reached",
        ReasonCode::PayloadFormatInvalid => "the payload says that it is UTF-8 and is not",
        ReasonCode::TopicFilterInvalid => "the filter is longer or deeper than the gateway accepts",
        _ => return None,
    })
}

/// Appends PUBREL.
pub(crate) fn release(packet_id: PacketId, version: Version, outbox: &mut Outbox) {
    packet(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)), version, outbox);
}

/// Appends the PUBREL that answers a PUBREC of an exchange that is not known (MQTT 5, 4.3.3).
pub(crate) fn release_unknown(packet_id: PacketId, version: Version, outbox: &mut Outbox) {
    packet(
        &Packet::PubRel(Ack::new(packet_id, ReasonCode::PacketIdentifierNotFound)),
        version,
        outbox,
    );
}

/// Appends any packet that the broker itself composes.
pub(crate) fn packet(packet: &Packet<'_>, version: Version, outbox: &mut Outbox) {
    let written = packet.encode(version, outbox.packet_mut());
    debug_assert!(written.is_ok(), "the broker composes packets that can be written: {written:?}");
}

//! One PUBLISH for many subscribers: encoded once, then copied and given a packet identifier each time.

use crate::error::EncodeError;
use crate::ident::{PacketId, QoS, Version};
use crate::packet::Publish;
use crate::sink::{Body, Sink, measure};
use crate::topic::TopicName;
use crate::varint;

/// What a frame is made of: a [`Publish`] whose packet identifier is filled in later.
pub type OutgoingPublish<'a> = Publish<'a>;

/// Writes frames.
#[derive(Debug, Clone, Copy)]
pub struct PublishFrame;

/// Where things are in a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameLayout {
    /// Bytes from the start of the frame to its packet identifier, if it has one.
    pub packet_id_at: Option<usize>,
    /// Bytes of the frame without its payload.
    pub head_len: usize,
    /// Bytes of the payload.
    pub payload_len: usize,
}

impl PublishFrame {
    /// Appends everything but the payload, which the remaining length counts nevertheless. Above
    /// QoS 0 there is room for a packet identifier; it is 1 until [`FrameLayout::set_packet_id`].
    ///
    /// # Errors
    /// As [`Publish::encode`]; `out` is then as it was.
    pub fn encode_head(
        out: &mut Vec<u8>,
        version: Version,
        publish: &OutgoingPublish<'_>,
    ) -> Result<FrameLayout, EncodeError> {
        let confirmed = publish.qos != QoS::AtMostOnce;
        let packet_id = confirmed.then_some(publish.packet_id.unwrap_or(PacketId::MIN));
        let head = Publish { packet_id, payload: &[], ..*publish };
        head.check(version)?;
        let start = out.len();
        let topic = head.topic.map_or("", TopicName::as_str);
        let section = match version {
            Version::V5 => measure(|length| head.write_properties(length))? as usize,
            Version::V3_1 | Version::V3_1_1 => 0,
        };
        let fixed = 2 + topic.len() + if confirmed { 2 } else { 0 } + section;
        let remaining = measure(|length| {
            length.add(fixed + publish.payload.len());
            Ok(())
        })?;
        out.reserve(1 + varint::len(remaining) + fixed);
        out.fixed_header(head.first_byte(), remaining);
        let body = 1 + varint::len(remaining);
        head.write(version, out)?;
        debug_assert_eq!(out.len() - start, body + fixed, "the head is as long as was counted");
        Ok(FrameLayout {
            packet_id_at: confirmed.then_some(body + 2 + topic.len()),
            head_len: body + fixed,
            payload_len: publish.payload.len(),
        })
    }

    /// Appends the whole frame.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(
        out: &mut Vec<u8>,
        version: Version,
        publish: &OutgoingPublish<'_>,
    ) -> Result<FrameLayout, EncodeError> {
        let layout = Self::encode_head(out, version, publish)?;
        out.extend_from_slice(publish.payload);
        Ok(layout)
    }
}

impl FrameLayout {
    /// Bytes of the whole frame.
    pub fn total_len(&self) -> usize {
        self.head_len + self.payload_len
    }

    /// Puts a packet identifier into the frame that begins at `frame`; does nothing at QoS 0.
    #[inline]
    pub fn set_packet_id(&self, frame: &mut [u8], packet_id: PacketId) {
        let place = self.packet_id_at.and_then(|at| frame.get_mut(at..at + 2));
        if let Some(place) = place {
            place.copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoded, Decoder};
    use crate::packet::Packet;

    #[test]
    fn a_frame_is_what_publish_encodes() {
        let topic = TopicName::new("a/b").unwrap();
        for version in [Version::V3_1_1, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MAX);
                let publish = Publish { qos, ..Publish::new(topic, &[7; 200]) };
                let mut frame = vec![9; 3];
                let layout = PublishFrame::encode(&mut frame, version, &publish).unwrap();
                layout.set_packet_id(&mut frame[3..], PacketId::MAX);
                assert_eq!(frame.len(), 3 + layout.total_len());
                let mut plain = Vec::new();
                Publish { packet_id, ..publish }.encode(version, &mut plain).unwrap();
                assert_eq!(frame[3..], plain);
                let mut decoder = Decoder::new(1000);
                decoder.set_version(version);
                let found = decoder.decode(&frame[3..]).unwrap();
                let packet = Packet::Publish(Publish { packet_id, ..publish });
                assert_eq!(found, Decoded::Packet { packet, len: layout.total_len() });
            }
        }
    }
}

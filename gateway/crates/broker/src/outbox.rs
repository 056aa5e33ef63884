use std::sync::Arc;

use session::Message;

/// Bytes that wait to be written to one connection.
///
/// Small packets are copied into one buffer so that a single write drains many;
/// a payload of [`SHARED_PAYLOAD_MIN`] bytes or more is not copied but shared with
/// everybody else who gets the message.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Payloads, each with its place: it comes before `bytes[place..]`.
    shared: Vec<(usize, Arc<Message>)>,
    shared_len: usize,
    packets: u64,
}

/// From this size on a payload is shared rather than copied: copying less costs about
/// as much as a further segment in a vectored write.
pub const SHARED_PAYLOAD_MIN: usize = 8 * 1024;

impl Outbox {
    /// Number of bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.shared.is_empty()
    }

    /// Number of packets that wait.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// The buffer, for one more packet to be appended to it.
    pub(crate) fn packet_mut(&mut self) -> &mut Vec<u8> {
        self.packets += 1;
        &mut self.bytes
    }

    /// Takes back the packet that was begun when the buffer had `len` bytes.
    pub(crate) fn abandon_packet(&mut self, len: usize) {
        self.packets -= 1;
        self.bytes.truncate(len);
    }

    /// What was encoded, to be appended to another outbox later. Nothing is shared yet.
    pub(crate) fn into_bytes(self) -> Box<[u8]> {
        debug_assert!(self.shared.is_empty(), "a shared payload would be lost");
        self.bytes.into_boxed_slice()
    }

    /// Adds the payload of `message` behind what is there.
    pub(crate) fn share(&mut self, message: Arc<Message>) {
        self.shared_len += message.payload.len();
        self.shared.push((self.bytes.len(), message));
    }

    /// Empties it and keeps a small buffer for next time.
    pub fn clear(&mut self) {
        const KEEP: usize = 4 * 1024;
        self.shared.clear();
        self.shared_len = 0;
        self.packets = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
    }

    /// The segments to write, in order, without the first `skip` bytes.
    pub fn segments(&self, skip: usize) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let mut skip = skip;
        let between = self.shared.iter().flat_map(move |(place, message)| {
            let before = self.bytes.get(from..*place).unwrap_or_default();
            from = *place;
            [before, &message.payload[..]]
        });
        let tail = self.shared.last().map_or(0, |(place, _)| *place);
        let last = self.bytes.get(tail..).unwrap_or_default();
        between.chain(std::iter::once(last)).filter_map(move |segment| {
            let skipped = skip.min(segment.len());
            skip -= skipped;
            segment.get(skipped..).filter(|rest| !rest.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::{QoS, TopicName};

    #[test]
    fn segments_come_in_order_from_any_offset() {
        let message = Arc::new(Message {
            topic: TopicName::new("t").expect("valid").to_owned(),
            payload: Box::from(*b"PAYLOAD"),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Box::default(),
            expires: None,
        });
        let mut outbox = Outbox::default();
        outbox.packet_mut().extend_from_slice(b"head1");
        outbox.share(Arc::clone(&message));
        outbox.share(message);
        outbox.packet_mut().extend_from_slice(b"tail");
        assert_eq!(outbox.packets(), 2);
        let whole = b"head1PAYLOADPAYLOADtail";
        assert_eq!(outbox.len(), whole.len());
        for skip in 0..=whole.len() {
            let rest: Vec<u8> = outbox.segments(skip).flatten().copied().collect();
            assert_eq!(rest, &whole[skip..], "from {skip}");
        }
        outbox.clear();
        assert!(outbox.is_empty() && outbox.packets() == 0 && outbox.segments(0).next().is_none());
    }
}

use mqtt::{
    Ack, DecodeError, Decoded, Decoder, EncodeError, Packet, PacketId, PacketKind, QoS, ReasonCode,
    Version,
};
use session::Timestamp;

use crate::heartbeat::Heartbeat;

/// One of the two conversations: its bytes, and what its broker accepts.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) version: Version,
    pub(crate) decoder: Decoder,
    /// Bytes that came and were not handled yet.
    pub(crate) input: Vec<u8>,
    /// Bytes that are to be sent.
    pub(crate) output: Vec<u8>,
    pub(crate) heartbeat: Heartbeat,
    /// The highest QoS that it accepts.
    pub(crate) max_qos: QoS,
    /// Whether it retains messages.
    pub(crate) retains: bool,
    /// Bytes of the largest packet that it accepts.
    pub(crate) max_packet: usize,
}

impl Side {
    /// A side of which nothing is known yet, that may send packets of so many bytes.
    pub(crate) fn new(version: Version, largest: u32, now: Timestamp) -> Self {
        let mut decoder = Decoder::new(largest);
        decoder.set_version(version);
        Self {
            version,
            decoder,
            input: Vec::new(),
            output: Vec::new(),
            heartbeat: Heartbeat::new(0, now),
            max_qos: QoS::ExactlyOnce,
            retains: true,
            max_packet: usize::MAX,
        }
    }

    /// Puts a packet into the output.
    pub(crate) fn send(&mut self, now: Timestamp, packet: &Packet<'_>) -> Result<(), EncodeError> {
        self.heartbeat.sent(now);
        packet.encode(self.version, &mut self.output)
    }

    /// Acknowledges. 3.1.1 hears of no errors.
    pub(crate) fn acknowledge(
        &mut self,
        now: Timestamp,
        id: PacketId,
        kind: PacketKind,
        code: ReasonCode,
    ) {
        let code =
            if self.version.is_v5() && kind.allows(code) { code } else { ReasonCode::Success };
        let ack = Ack::new(id, code);
        let packet = match kind {
            PacketKind::PubAck => Packet::PubAck(ack),
            PacketKind::PubRec => Packet::PubRec(ack),
            PacketKind::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        // A code that its packet allows can be written.
        let _ = self.send(now, &packet);
    }

    /// The packet that `input` begins with behind `at`.
    pub(crate) fn next<'i>(
        &mut self,
        input: &'i [u8],
        at: usize,
    ) -> Result<Option<(Packet<'i>, usize)>, DecodeError> {
        match self.decoder.decode(input.get(at..).unwrap_or_default())? {
            Decoded::Packet { packet, len } => Ok(Some((packet, len))),
            Decoded::Incomplete { .. } => Ok(None),
        }
    }
}

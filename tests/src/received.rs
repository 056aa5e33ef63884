use mqtt::{Packet, PacketKind, QoS, ReasonCode};

/// A packet from the gateway, owned, with what tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// CONNACK: the code, and whether there was a session.
    ConnAck(ReasonCode, bool),
    /// PUBLISH.
    Publish(Message),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP with its packet identifier.
    Ack(PacketKind, u16, ReasonCode),
    /// SUBACK.
    SubAck(Vec<ReasonCode>),
    /// PINGRESP.
    Pong,
    /// DISCONNECT.
    Disconnect(ReasonCode),
    /// Anything else.
    Other(PacketKind),
    /// The connection is closed.
    Closed,
}

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// At which QoS it was delivered.
    pub qos: QoS,
    /// Whether it came from the retained messages.
    pub retain: bool,
    /// Whether it may have been delivered before.
    pub dup: bool,
    /// Its packet identifier; 0 at QoS 0.
    pub id: u16,
}

impl From<&Packet<'_>> for Received {
    fn from(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::ConnAck(connack) => Self::ConnAck(connack.code, connack.session_present),
            Packet::Publish(publish) => Self::Publish(Message {
                topic: publish.topic.map(|topic| topic.as_str().to_owned()).unwrap_or_default(),
                payload: publish.payload.to_vec(),
                qos: publish.qos,
                retain: publish.retain,
                dup: publish.dup,
                id: publish.packet_id.map_or(0, |id| id.get()),
            }),
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack) => Self::Ack(packet.kind(), ack.packet_id.get(), ack.code),
            Packet::SubAck(suback) => Self::SubAck(suback.codes.to_vec()),
            Packet::PingResp => Self::Pong,
            Packet::Disconnect(disconnect) => Self::Disconnect(disconnect.code),
            other => Self::Other(other.kind()),
        }
    }
}

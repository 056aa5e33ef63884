//! The packets (chapter 3), one file per type.

use crate::error::EncodeError;
use crate::ident::Version;
use crate::sink::{self, Body};

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod kind;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will};
pub use disconnect::Disconnect;
pub use kind::PacketKind;
pub use publish::Publish;
pub use suback::SubAck;
pub use subscribe::{
    RetainHandling, Subscribe, SubscribeFilters, SubscribeFiltersBuf, SubscribeOptions,
};
pub use unsuback::UnsubAck;
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters, UnsubscribeFiltersBuf};

/// One packet of either version. What it holds is borrowed from the bytes that it was decoded from.
///
/// What is rare and large is boxed, so that the common packets stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A client asks for a conversation.
    Connect(Box<Connect<'a>>),
    /// The server answers CONNECT.
    ConnAck(Box<ConnAck<'a>>),
    /// A message, in either direction.
    Publish(Publish<'a>),
    /// Answers a PUBLISH of QoS 1.
    PubAck(Ack<'a>),
    /// Answers a PUBLISH of QoS 2.
    PubRec(Ack<'a>),
    /// Answers PUBREC.
    PubRel(Ack<'a>),
    /// Answers PUBREL.
    PubComp(Ack<'a>),
    /// A client asks for messages.
    Subscribe(Subscribe<'a>),
    /// Answers SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// A client asks for no more messages.
    Unsubscribe(Unsubscribe<'a>),
    /// Answers UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// The client is there.
    PingReq,
    /// So is the server.
    PingResp,
    /// The last packet of a conversation.
    Disconnect(Disconnect<'a>),
    /// A step of enhanced authentication.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The type of the packet.
    pub fn kind(&self) -> PacketKind {
        match self {
            Self::Connect(_) => PacketKind::Connect,
            Self::ConnAck(_) => PacketKind::ConnAck,
            Self::Publish(_) => PacketKind::Publish,
            Self::PubAck(_) => PacketKind::PubAck,
            Self::PubRec(_) => PacketKind::PubRec,
            Self::PubRel(_) => PacketKind::PubRel,
            Self::PubComp(_) => PacketKind::PubComp,
            Self::Subscribe(_) => PacketKind::Subscribe,
            Self::SubAck(_) => PacketKind::SubAck,
            Self::Unsubscribe(_) => PacketKind::Unsubscribe,
            Self::UnsubAck(_) => PacketKind::UnsubAck,
            Self::PingReq => PacketKind::PingReq,
            Self::PingResp => PacketKind::PingResp,
            Self::Disconnect(_) => PacketKind::Disconnect,
            Self::Auth(_) => PacketKind::Auth,
        }
    }

    /// Appends the packet to `out` as `version` writes it. What MQTT 3.1.1 has no place for is left out.
    ///
    /// # Errors
    /// [`EncodeError`] when the packet cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.encode(self.kind(), version, out)
            }
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => sink::encode(&Ping(PacketKind::PingReq), version, out),
            Self::PingResp => sink::encode(&Ping(PacketKind::PingResp), version, out),
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        }
    }
}

/// PINGREQ and PINGRESP are a fixed header and nothing else (3.12, 3.13).
struct Ping(PacketKind);

impl Body for Ping {
    fn first_byte(&self) -> u8 {
        self.0.first_byte()
    }

    fn write<S: sink::Sink>(&self, _: Version, _: &mut S) -> Result<(), EncodeError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stay_small_enough_to_be_passed_around() {
        assert!(size_of::<Packet<'_>>() <= 128, "{}", size_of::<Packet<'_>>());
    }
}

use std::fmt;

use super::{connack, disconnect};
use crate::reason::ReasonCode;

/// The type of a packet (2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketKind {
    /// CONNECT.
    Connect = 1,
    /// CONNACK.
    ConnAck = 2,
    /// PUBLISH.
    Publish = 3,
    /// PUBACK.
    PubAck = 4,
    /// PUBREC.
    PubRec = 5,
    /// PUBREL.
    PubRel = 6,
    /// PUBCOMP.
    PubComp = 7,
    /// SUBSCRIBE.
    Subscribe = 8,
    /// SUBACK.
    SubAck = 9,
    /// UNSUBSCRIBE.
    Unsubscribe = 10,
    /// UNSUBACK.
    UnsubAck = 11,
    /// PINGREQ.
    PingReq = 12,
    /// PINGRESP.
    PingResp = 13,
    /// DISCONNECT.
    Disconnect = 14,
    /// AUTH.
    Auth = 15,
}

impl PacketKind {
    /// The type with this number, if there is one.
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The flags that the packet must have; PUBLISH has its own (2.1.3).
    pub(crate) const fn flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// Whether MQTT 3.1 marks the packet with DUP when it is sent again (MQTT 3.1, 3.6, 3.8, 3.10).
    pub(crate) const fn resent_in_v3_1(self) -> bool {
        matches!(self, Self::PubRel | Self::Subscribe | Self::Unsubscribe)
    }

    pub(crate) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.flags()
    }

    /// Whether MQTT 5 gives `code` a meaning in this packet (2.4).
    pub const fn allows(self, code: ReasonCode) -> bool {
        use ReasonCode as Code;
        match self {
            Self::ConnAck => connack::allows(code),
            Self::PubAck | Self::PubRec => matches!(
                code,
                Code::Success
                    | Code::NoMatchingSubscribers
                    | Code::UnspecifiedError
                    | Code::ImplementationSpecificError
                    | Code::NotAuthorized
                    | Code::TopicNameInvalid
                    | Code::PacketIdentifierInUse
                    | Code::QuotaExceeded
                    | Code::PayloadFormatInvalid
            ),
            Self::PubRel | Self::PubComp => {
                matches!(code, Code::Success | Code::PacketIdentifierNotFound)
            }
            Self::SubAck => matches!(
                code,
                Code::Success
                    | Code::GrantedQos1
                    | Code::GrantedQos2
                    | Code::UnspecifiedError
                    | Code::ImplementationSpecificError
                    | Code::NotAuthorized
                    | Code::TopicFilterInvalid
                    | Code::PacketIdentifierInUse
                    | Code::QuotaExceeded
                    | Code::SharedSubscriptionsNotSupported
                    | Code::SubscriptionIdentifiersNotSupported
                    | Code::WildcardSubscriptionsNotSupported
            ),
            Self::UnsubAck => matches!(
                code,
                Code::Success
                    | Code::NoSubscriptionExisted
                    | Code::UnspecifiedError
                    | Code::ImplementationSpecificError
                    | Code::NotAuthorized
                    | Code::TopicFilterInvalid
                    | Code::PacketIdentifierInUse
            ),
            Self::Disconnect => disconnect::allows(code),
            Self::Auth => {
                matches!(code, Code::Success | Code::ContinueAuthentication | Code::ReAuthenticate)
            }
            Self::Connect
            | Self::Publish
            | Self::Subscribe
            | Self::Unsubscribe
            | Self::PingReq
            | Self::PingResp => false,
        }
    }

    /// The statement that limits the reason codes of this packet.
    pub(crate) const fn reason_code_statement(self) -> &'static str {
        match self {
            Self::ConnAck => "MQTT-3.2.2-8",
            Self::PubAck => "MQTT-3.4.2-1",
            Self::PubRec => "MQTT-3.5.2-1",
            Self::PubRel => "MQTT-3.6.2-1",
            Self::PubComp => "MQTT-3.7.2-1",
            Self::SubAck => "MQTT-3.9.3-2",
            Self::UnsubAck => "MQTT-3.11.3-2",
            Self::Disconnect => "MQTT-3.14.2-1",
            Self::Auth => "MQTT-3.15.2-1",
            _ => "2.4",
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        })
    }
}

use std::fmt;

use crate::packet::PacketKind;
use crate::reason::ReasonCode;

/// Why a packet cannot be written. Nothing has been written when it is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// A string or binary value is longer than 65535 bytes.
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A string contains the character U+0000.
    NulCharacter {
        /// The field.
        field: &'static str,
    },
    /// The packet is larger than the format can express.
    PacketTooLarge {
        /// Size of what follows the fixed header, in bytes.
        remaining: usize,
    },
    /// A field has a value outside its range.
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        value: u32,
        /// What the value must be.
        rule: &'static str,
    },
    /// The packet does not exist in MQTT 3.1.1.
    NotInVersion {
        /// The packet.
        kind: PacketKind,
    },
    /// The reason code has no meaning in this packet.
    ReasonCode {
        /// The packet.
        kind: PacketKind,
        /// The code.
        code: ReasonCode,
    },
    /// PUBLISH above QoS 0 has no packet identifier, or one of QoS 0 has one, or is marked as a duplicate.
    PublishIdentity,
    /// PUBLISH has neither a topic name nor, in MQTT 5, an alias.
    TopicMissing,
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter, or an answer to one without a code.
    EmptyList {
        /// The packet.
        kind: PacketKind,
    },
    /// No Local is asked for on a shared subscription.
    NoLocalOnShared,
    /// A password without a user name, which 3.1.1 forbids.
    PasswordWithoutUserName,
    /// Authentication data without a method, or AUTH without a method.
    AuthenticationMethodMissing {
        /// The packet.
        kind: PacketKind,
    },
    /// CONNACK refuses and says that a session is present.
    SessionPresentOnRefusal,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { field, len } => {
                write!(f, "{field} of {len} bytes is longer than the 65535 that fit")
            }
            Self::NulCharacter { field } => {
                write!(f, "{field} contains U+0000, which no string may")
            }
            Self::PacketTooLarge { remaining } => {
                write!(f, "packet of {remaining} bytes is larger than the 268435455 that fit")
            }
            Self::Value { field, value, rule } => write!(f, "{field} is {value}, {rule}"),
            Self::NotInVersion { kind } => write!(f, "{kind} does not exist in MQTT 3.1.1"),
            Self::ReasonCode { kind, code } => {
                write!(f, "reason code {:#04x} ({code}) has no meaning in {kind}", code.as_u8())
            }
            Self::PublishIdentity => write!(
                f,
                "a packet identifier belongs to PUBLISH above QoS 0 and to no other, so does the duplicate flag"
            ),
            Self::TopicMissing => write!(f, "PUBLISH has neither a topic name nor a topic alias"),
            Self::EmptyList { kind } => write!(f, "{kind} has an empty list, it needs one entry"),
            Self::NoLocalOnShared => {
                write!(f, "no local is set on a shared subscription, where it must be 0")
            }
            Self::PasswordWithoutUserName => {
                write!(f, "CONNECT has a password without a user name, which takes MQTT 5")
            }
            Self::AuthenticationMethodMissing { kind } => {
                write!(f, "{kind} lacks the authentication method that it needs")
            }
            Self::SessionPresentOnRefusal => {
                write!(f, "CONNACK refuses and says that a session is present")
            }
        }
    }
}

impl std::error::Error for EncodeError {}

use std::fmt;

use super::TopicError;
use crate::packet::PacketKind;
use crate::properties::PropertyId;
use crate::reason::ReasonCode;

/// Why bytes from a peer are not an MQTT packet. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A variable byte integer goes on past its fourth byte.
    VarintTooLong,
    /// A variable byte integer of MQTT 5 takes more bytes than its value needs.
    VarintPadded {
        /// What the integer is.
        field: &'static str,
    },
    /// The packet, of which the fixed header has arrived, is larger than this side accepts.
    PacketTooLarge {
        /// Size of the packet in bytes, fixed header included.
        size: usize,
        /// Largest size accepted, in bytes.
        limit: u32,
    },
    /// The packet type does not exist in this version.
    PacketType {
        /// The type, 0 to 15.
        value: u8,
    },
    /// The first packet of a connection is something else than CONNECT.
    NotConnect {
        /// What it is.
        kind: PacketKind,
    },
    /// A second CONNECT on the connection, or one to a client.
    ConnectAgain,
    /// The lower four bits of the first byte are not those that the packet type prescribes.
    Flags {
        /// The packet.
        kind: PacketKind,
        /// The four bits.
        flags: u8,
    },
    /// CONNECT names another protocol.
    ProtocolName,
    /// CONNECT names MQTT in a version that is neither 3.1.1 nor 5.0, nor 3.1 where that is allowed.
    ProtocolLevel {
        /// The protocol level; 3 is MQTT 3.1.
        level: u8,
    },
    /// The packet ends inside a field.
    Truncated {
        /// The field.
        field: &'static str,
        /// Bytes that lack.
        missing: usize,
    },
    /// The packet goes on after its last field.
    TrailingBytes {
        /// The packet.
        kind: PacketKind,
        /// Bytes too many.
        extra: usize,
    },
    /// A string is not UTF-8.
    Utf8 {
        /// The field.
        field: &'static str,
        /// Position of the first bad byte in the string.
        at: usize,
    },
    /// A string contains the character U+0000.
    NulCharacter {
        /// The field.
        field: &'static str,
    },
    /// A field has a value outside its range.
    Value {
        /// The field.
        field: &'static str,
        /// The value found.
        value: u32,
        /// What the value must be.
        rule: &'static str,
        /// Statement of the specification.
        statement: &'static str,
        /// What the peer is told.
        reason: ReasonCode,
    },
    /// A packet identifier is zero.
    PacketIdZero {
        /// The packet.
        kind: PacketKind,
    },
    /// A reason code does not exist or has no meaning in this packet.
    ReasonCode {
        /// The packet.
        kind: PacketKind,
        /// The code.
        value: u8,
    },
    /// A property identifier does not exist.
    PropertyUnknown {
        /// The identifier.
        id: u32,
    },
    /// A property has no meaning in this packet.
    PropertyNotAllowed {
        /// The property.
        property: PropertyId,
        /// The packet.
        kind: PacketKind,
    },
    /// A property that may appear once appears again.
    PropertyRepeated {
        /// The property.
        property: PropertyId,
    },
    /// PUBLISH has neither a topic name nor an alias.
    TopicMissing,
    /// A topic name is not one.
    Topic {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: TopicError,
    },
    /// A topic filter in SUBSCRIBE or UNSUBSCRIBE is not one.
    Filter {
        /// What is wrong with it.
        error: TopicError,
    },
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter, or SUBACK or UNSUBACK without a code.
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

impl DecodeError {
    /// What the peer is told, in CONNACK or DISCONNECT.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::ProtocolName | Self::ProtocolLevel { .. } => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::Value { reason, .. } => *reason,
            Self::NotConnect { .. }
            | Self::ConnectAgain
            | Self::PacketIdZero { .. }
            | Self::ReasonCode { .. }
            | Self::PropertyRepeated { .. }
            | Self::TopicMissing
            | Self::EmptyList { .. }
            | Self::NoLocalOnShared
            | Self::PasswordWithoutUserName
            | Self::AuthenticationMethodMissing { .. }
            | Self::SessionPresentOnRefusal => ReasonCode::ProtocolError,
            Self::VarintTooLong
            | Self::VarintPadded { .. }
            | Self::PacketType { .. }
            | Self::Flags { .. }
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::Utf8 { .. }
            | Self::NulCharacter { .. }
            // 0x8F and 0x90 are for topics that are correctly formed (3.14.2.1).
            | Self::Topic { .. }
            | Self::Filter { .. }
            | Self::PropertyUnknown { .. }
            | Self::PropertyNotAllowed { .. } => ReasonCode::MalformedPacket,
        }
    }

    /// The statement of the specification that was broken, or the section where there is no numbered statement.
    pub fn statement(&self) -> &'static str {
        match self {
            Self::VarintTooLong => "1.5.5",
            Self::VarintPadded { .. } => "MQTT-1.5.5-1",
            Self::PacketTooLarge { .. } => "MQTT-3.1.2-24",
            Self::PacketType { .. } => "2.1.2",
            Self::NotConnect { .. } => "MQTT-3.1.0-1",
            Self::ConnectAgain => "MQTT-3.1.0-2",
            Self::Flags { .. } => "MQTT-2.1.3-1",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ProtocolLevel { .. } => "MQTT-3.1.2-2",
            Self::Truncated { .. } | Self::TrailingBytes { .. } => "2.1.4",
            Self::Utf8 { .. } => "MQTT-1.5.4-1",
            Self::NulCharacter { .. } => "MQTT-1.5.4-2",
            Self::Value { statement, .. } => statement,
            Self::PacketIdZero { .. } => "MQTT-2.2.1-3",
            Self::ReasonCode { kind, .. } => kind.reason_code_statement(),
            Self::PropertyUnknown { .. }
            | Self::PropertyNotAllowed { .. }
            | Self::PropertyRepeated { .. } => "2.2.2.2",
            Self::TopicMissing => "3.3.2.1",
            Self::Topic { error, .. } | Self::Filter { error } => error.statement(),
            Self::EmptyList { kind: PacketKind::Unsubscribe } => "MQTT-3.10.3-2",
            Self::EmptyList { kind: PacketKind::SubAck } => "MQTT-3.9.3-1",
            Self::EmptyList { kind: PacketKind::UnsubAck } => "MQTT-3.11.3-1",
            Self::EmptyList { .. } => "MQTT-3.8.3-2",
            Self::NoLocalOnShared => "MQTT-3.8.3-4",
            Self::PasswordWithoutUserName => "MQTT-3.1.2-22 of 3.1.1",
            Self::AuthenticationMethodMissing { kind: PacketKind::Auth } => "3.15.2.2.2",
            Self::AuthenticationMethodMissing { .. } => "3.1.2.11.10",
            Self::SessionPresentOnRefusal => "MQTT-3.2.2-6",
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VarintTooLong => {
                write!(f, "a length goes on after 4 bytes, the most it may take")
            }
            Self::VarintPadded { field } => {
                write!(f, "{field} takes more bytes than its value needs")
            }
            Self::PacketTooLarge { size, limit } => {
                write!(f, "packet of {size} bytes is larger than the {limit} accepted here")
            }
            Self::PacketType { value } => write!(f, "packet type {value} does not exist"),
            Self::NotConnect { kind } => {
                write!(f, "first packet is {kind} where only CONNECT may be")
            }
            Self::ConnectAgain => {
                write!(
                    f,
                    "CONNECT is not the first packet, a connection has one and a server sends none"
                )
            }
            Self::Flags { kind, flags } => {
                write!(f, "{kind} has the flags {flags:#06b}, which it may not have")
            }
            Self::ProtocolName => write!(f, "CONNECT names a protocol other than MQTT"),
            Self::ProtocolLevel { level: 3 } => {
                write!(f, "protocol level 3 (MQTT 3.1, named MQIsdp) is not accepted here")
            }
            Self::ProtocolLevel { level } => {
                write!(f, "protocol level {level} is neither 4 (MQTT 3.1.1) nor 5 (MQTT 5.0)")
            }
            Self::Truncated { field, missing } => {
                write!(f, "packet ends {missing} bytes before the end of its {field}")
            }
            Self::TrailingBytes { kind, extra } => {
                write!(f, "{kind} goes on for {extra} bytes after its last field")
            }
            Self::Utf8 { field, at } => write!(f, "{field} is not UTF-8 at byte {at}"),
            Self::NulCharacter { field } => {
                write!(f, "{field} contains U+0000, which no string may")
            }
            Self::Value { field, value, rule, .. } => write!(f, "{field} is {value}, {rule}"),
            Self::PacketIdZero { kind } => {
                write!(f, "packet identifier of {kind} is 0, it must be 1 to 65535")
            }
            Self::ReasonCode { kind, value } => {
                write!(f, "reason code {value:#04x} has no meaning in {kind}")
            }
            _ => self.describe_content(f),
        }
    }

    /// Properties, topics and the relations between fields.
    fn describe_content(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PropertyUnknown { id } => write!(f, "property {id:#04x} does not exist"),
            Self::PropertyNotAllowed { property, kind } => {
                write!(f, "property {property} has no meaning in {kind}")
            }
            Self::PropertyRepeated { property } => {
                write!(f, "property {property} appears twice, it may appear once")
            }
            Self::TopicMissing => write!(f, "PUBLISH has neither a topic name nor a topic alias"),
            Self::Topic { field, error } => write!(f, "{field} is invalid: {error}"),
            Self::Filter { error } => write!(f, "topic filter is invalid: {error}"),
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
            _ => write!(f, "CONNACK refuses and says that a session is present"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)?;
        write!(f, " ({})", self.statement())
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// One error for each code that is not fixed by its variant.
    const SAMPLES: [DecodeError; 9] = [
        DecodeError::PacketTooLarge { size: 2, limit: 1 },
        DecodeError::VarintTooLong,
        DecodeError::TopicMissing,
        DecodeError::Topic { field: "topic name", error: TopicError::WildcardInName },
        DecodeError::Filter { error: TopicError::MisplacedHash },
        DecodeError::EmptyList { kind: PacketKind::SubAck },
        DecodeError::EmptyList { kind: PacketKind::UnsubAck },
        DecodeError::ConnectAgain,
        DecodeError::PropertyRepeated { property: PropertyId::UserProperty },
    ];

    #[test]
    fn what_a_peer_is_told_may_be_said_in_disconnect() {
        for error in SAMPLES {
            assert!(PacketKind::Disconnect.allows(error.reason_code()), "{error}");
        }
        // Only CONNECT can be wrong in these ways, and CONNACK answers it.
        for error in [DecodeError::ProtocolName, DecodeError::ProtocolLevel { level: 3 }] {
            assert!(PacketKind::ConnAck.allows(error.reason_code()), "{error}");
        }
    }

    #[test]
    fn a_sentence_names_what_was_found_and_ends_with_its_statement() {
        let old = DecodeError::ProtocolLevel { level: 3 }.to_string();
        assert_eq!(
            old,
            "protocol level 3 (MQTT 3.1, named MQIsdp) is not accepted here (MQTT-3.1.2-2)"
        );
        let error = DecodeError::ProtocolLevel { level: 6 };
        let words = "protocol level 6 is neither 4 (MQTT 3.1.1) nor 5 (MQTT 5.0) (MQTT-3.1.2-2)";
        assert_eq!(error.to_string(), words);
        for error in SAMPLES {
            let text = error.to_string();
            assert!(text.ends_with(&format!("({})", error.statement())), "{text}");
            assert!(!text.contains("session is present"), "{text}");
        }
    }
}

//! Reason codes (MQTT 5, table 2-6), and what is left of them in MQTT 3.1.1.

use std::fmt;

/// Declares the enum together with the table that reads it from the wire and names it.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $words:literal;)+) => {
        /// Why a packet was answered as it was (2.4).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = concat!($words, " (", stringify!($value), ").")] $(#[$doc])* $name = $value,)+
        }

        impl ReasonCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code that `value` stands for, if the specification names one.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$name),)+ _ => None }
            }
        }

        impl fmt::Display for ReasonCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)+ })
            }
        }
    };
}

reason_codes! {
    /// Also a normal disconnection and a granted QoS 0.
    Success = 0x00, "Success";
    GrantedQos1 = 0x01, "Granted QoS 1";
    GrantedQos2 = 0x02, "Granted QoS 2";
    DisconnectWithWillMessage = 0x04, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    NoSubscriptionExisted = 0x11, "No subscription existed";
    ContinueAuthentication = 0x18, "Continue authentication";
    ReAuthenticate = 0x19, "Re-authenticate";
    UnspecifiedError = 0x80, "Unspecified error";
    MalformedPacket = 0x81, "Malformed Packet";
    ProtocolError = 0x82, "Protocol Error";
    ImplementationSpecificError = 0x83, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    NotAuthorized = 0x87, "Not authorized";
    ServerUnavailable = 0x88, "Server unavailable";
    ServerBusy = 0x89, "Server busy";
    Banned = 0x8A, "Banned";
    ServerShuttingDown = 0x8B, "Server shutting down";
    BadAuthenticationMethod = 0x8C, "Bad authentication method";
    KeepAliveTimeout = 0x8D, "Keep Alive timeout";
    SessionTakenOver = 0x8E, "Session taken over";
    TopicFilterInvalid = 0x8F, "Topic Filter invalid";
    TopicNameInvalid = 0x90, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    PacketTooLarge = 0x95, "Packet too large";
    MessageRateTooHigh = 0x96, "Message rate too high";
    QuotaExceeded = 0x97, "Quota exceeded";
    AdministrativeAction = 0x98, "Administrative action";
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    RetainNotSupported = 0x9A, "Retain not supported";
    QosNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "Use another server";
    ServerMoved = 0x9D, "Server moved";
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded";
    MaximumConnectTime = 0xA0, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// What [`ReasonCode::Success`] is called in DISCONNECT.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// What [`ReasonCode::Success`] is called in SUBACK.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Whether the code reports a failure: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.as_u8() >= 0x80
    }

    /// The return code, 0 to 5, that a CONNACK of MQTT 3.1.1 carries for this code (3.1.1, table 3.1).
    ///
    /// A refusal that 3.1.1 has no word for becomes 5 when it is about who the client is or what it
    /// may do, and 3 when it is about the server, so that only the latter invites another attempt.
    pub const fn connack_v3(self) -> u8 {
        match self {
            code if !code.is_error() => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized
            | Self::Banned
            | Self::BadAuthenticationMethod
            | Self::TopicNameInvalid
            | Self::PayloadFormatInvalid
            | Self::RetainNotSupported
            | Self::QosNotSupported
            | Self::AdministrativeAction => 5,
            _ => 3,
        }
    }

    /// The code that a 3.1.1 CONNACK return code of 0 to 5 stands for.
    pub const fn from_connack_v3(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_code_that_gives_it_back_or_none() {
        let named = (0..=u8::MAX).filter_map(ReasonCode::from_u8).collect::<Vec<_>>();
        assert_eq!(named, ReasonCode::ALL);
        assert_eq!(named.len(), 43);
        for byte in 0..=u8::MAX {
            if let Some(code) = ReasonCode::from_u8(byte) {
                assert_eq!(code.as_u8(), byte);
            }
        }
    }

    #[test]
    fn return_codes_of_3_1_1_survive_the_translation() {
        for value in 0..=5 {
            assert_eq!(ReasonCode::from_connack_v3(value).unwrap().connack_v3(), value);
        }
        assert_eq!(ReasonCode::from_connack_v3(6), None);
    }

    #[test]
    fn no_error_becomes_an_acceptance() {
        for code in ReasonCode::ALL.iter().filter(|code| code.is_error()) {
            assert_ne!(code.connack_v3(), 0, "{code}");
        }
    }
}

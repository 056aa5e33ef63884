//! Packets as bytes, written by hand so that they do not depend on the code that they test.

use portcullis_mqtt::PropertyId;

use super::{FRESH, OLD, OLD_FRESH, V3, V5, codes};

/// A name, the decoder that is asked for, and bytes.
type Wire = (&'static str, u8, Vec<u8>);

/// A packet with a remaining length of one byte.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 127, "one byte of length is enough for a packet of the corpus");
    [&[first, body.len() as u8][..], body].concat()
}

pub(super) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// A property section with its length.
pub(super) fn properties(list: &[u8]) -> Vec<u8> {
    assert!(list.len() < 128, "one byte of length is enough for a section of the corpus");
    [&[list.len() as u8][..], list].concat()
}

/// A property with a value in its range.
pub(super) fn property(id: PropertyId) -> Vec<u8> {
    use PropertyId as P;
    let value = match id {
        P::MessageExpiryInterval
        | P::SessionExpiryInterval
        | P::WillDelayInterval
        | P::MaximumPacketSize => vec![0, 0, 1, 0],
        P::ContentType
        | P::ResponseTopic
        | P::CorrelationData
        | P::AssignedClientIdentifier
        | P::AuthenticationMethod
        | P::AuthenticationData
        | P::ResponseInformation
        | P::ServerReference
        | P::ReasonString => string("pq"),
        P::UserProperty => [string("name"), string("é")].concat(),
        P::SubscriptionIdentifier => vec![0x80, 0x01],
        P::ServerKeepAlive | P::ReceiveMaximum | P::TopicAliasMaximum | P::TopicAlias => vec![0, 9],
        _ => vec![1],
    };
    [vec![id as u8], value].concat()
}

/// Packets that hold properties: a name, the first byte and what precedes the section, what follows it.
pub(super) const PROPERTY_HOLDERS: [(&str, &[u8], &[u8]); 4] = [
    ("connect", b"\x10\x00\x04MQTT\x05\x02\x00\x3C", b"\x00\x01c"),
    ("connect-will", b"\x10\x00\x04MQTT\x05\x2E\x00\x3C\x00\x00\x01c", b"\x00\x01w\x00\x01p"),
    ("connack", b"\x20\x00\x00", b""),
    ("publish", b"\x30\x00\x01t", b"payload"),
];

/// Each packet of each version, small and full.
pub(super) fn good() -> Vec<Wire> {
    let connect = |level: u8, flags: u8, rest: &[u8]| {
        packet(0x10, &[&b"\x00\x04MQTT"[..], &[level, flags, 0, 60], rest].concat())
    };
    let text = [property(PropertyId::ReasonString), property(PropertyId::UserProperty)].concat();
    let text = properties(&text);
    let acknowledged = |first: u8, code: u8| packet(first, &[&[0, 7, code][..], &text].concat());
    let method = properties(&property(PropertyId::AuthenticationMethod));
    vec![
        ("connect-v3", FRESH, connect(4, 0x02, b"\0\x01c")),
        ("connect-v3-full", FRESH, connect(4, 0xEE, b"\0\x01c\0\x01w\0\x02pp\0\x01u\0\x01s")),
        ("connect-v5", FRESH, connect(5, 0x02, b"\0\0\0")),
        (
            "connect-v5-full",
            FRESH,
            connect(
                5,
                0xF6,
                b"\x05\x11\0\0\0\x09\0\x01c\x05\x18\0\0\0\x05\0\x01w\0\0\0\x01u\0\x01s",
            ),
        ),
        ("connect-v5-password", FRESH, connect(5, 0x40, b"\0\0\0\0\x01s")),
        ("connack-v3", V3, packet(0x20, &[1, 0])),
        ("connack-v3-refused", V3, packet(0x20, &[0, 5])),
        ("connack-v5", V5, packet(0x20, &[0, 0, 0])),
        ("connack-v5-refused", V5, packet(0x20, &[&[0, 0x87][..], &text].concat())),
        ("publish-v3-qos0", V3, packet(0x31, b"\0\x03a/bpayload")),
        ("publish-v3-qos1", V3, packet(0x3A, b"\0\x03a/b\0\x0Apayload")),
        ("publish-v5-qos0", V5, packet(0x30, b"\0\x03a/b\0payload")),
        ("publish-v5-qos2", V5, packet(0x3D, b"\0\x03a/b\0\x0A\0payload")),
        ("publish-v5-alias", V5, packet(0x30, b"\0\0\x03\x23\0\x05x")),
        ("publish-v5-ids", V5, packet(0x30, b"\0\x01t\x04\x0B\x05\x0B\x06x")),
        ("puback-v3", V3, packet(0x40, &[0, 7])),
        ("puback-v5-code", V5, packet(0x40, &[0, 7, 0x10])),
        ("puback-v5-full", V5, acknowledged(0x40, 0x97)),
        ("pubrec-v5-full", V5, acknowledged(0x50, 0x80)),
        ("pubrel-v3", V3, packet(0x62, &[0, 7])),
        ("pubrel-v5-full", V5, acknowledged(0x62, 0x92)),
        ("pubcomp-v5-full", V5, acknowledged(0x70, 0x92)),
        ("subscribe-v3", V3, packet(0x82, b"\0\x07\0\x03a/#\x01\0\x01+\x02")),
        ("subscribe-v5", V5, packet(0x82, b"\0\x07\x02\x0B\x05\0\x01#\x2D\0\x0A$share/g/t\x1A")),
        ("connect-v31", OLD_FRESH, packet(0x10, b"\0\x06MQIsdp\x03\x02\0\x3C\0\x01c")),
        ("pubrel-v31-again", OLD, packet(0x6A, &[0, 7])),
        ("subscribe-v31-again", OLD, packet(0x8A, b"\0\x07\0\x01t\x01")),
        ("suback-v3", V3, packet(0x90, &[0, 7, 0, 1, 2, 0x80])),
        ("suback-v5", V5, packet(0x90, &[&[0, 7][..], &text, &[0, 1, 2, 0x87, 0xA2]].concat())),
        ("unsubscribe-v3", V3, packet(0xA2, b"\0\x07\0\x03a/#")),
        ("unsubscribe-v5", V5, packet(0xA2, b"\0\x07\0\0\x03a/#\0\x01b")),
        ("unsuback-v3", V3, packet(0xB0, &[0, 7])),
        ("unsuback-v5", V5, packet(0xB0, &[&[0, 7][..], &text, &[0, 0x11]].concat())),
        ("pingreq", V3, packet(0xC0, &[])),
        ("pingresp", V5, packet(0xD0, &[])),
        ("disconnect-v3", V3, packet(0xE0, &[])),
        ("disconnect-v5-code", V5, packet(0xE0, &[0x04])),
        ("disconnect-v5-full", V5, packet(0xE0, &[&[0x9D][..], &text].concat())),
        ("auth-v5", V5, packet(0xF0, &[])),
        ("auth-v5-full", V5, packet(0xF0, &[&[0x18][..], &method].concat())),
    ]
}

/// Bytes that break one rule each.
pub(super) fn bad() -> Vec<Wire> {
    let connect = |body: &[u8]| packet(0x10, body);
    vec![
        ("empty", FRESH, vec![]),
        ("tls", FRESH, vec![0x16, 3, 1, 2, 0]),
        ("http", FRESH, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("length-without-end", FRESH, vec![0x10, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("length-padded", V5, vec![0xC0, 0x80, 0x00]),
        ("length-largest", V5, vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("type-0", V5, packet(0x00, &[])),
        ("type-15-v3", V3, packet(0xF0, &[])),
        ("first-is-publish", FRESH, packet(0x30, b"\0\x01t")),
        ("connect-again", V5, connect(b"\0\x04MQTT\x05\x02\0\x3C\0\0\0")),
        ("flags-pubrel", V5, packet(0x60, &[0, 7])),
        ("flags-pingreq", V5, packet(0xC1, &[])),
        ("protocol-name", FRESH, connect(b"\0\x06MQIsdx\x03\x02\0\x3C\0\x01c")),
        ("protocol-v31", FRESH, connect(b"\0\x06MQIsdp\x03\x02\0\x3C\0\x01c")),
        ("protocol-level", FRESH, connect(b"\0\x04MQTT\x06\x02\0\x3C\0\0\x01c")),
        ("connect-nul", FRESH, connect(b"\0\x04MQTT\x04\x02\0\x3C\0\x02a\0")),
        ("connect-utf8", FRESH, connect(b"\0\x04MQTT\x04\x02\0\x3C\0\x02\xC3\x28")),
        ("publish-content-nul", V5, packet(0x30, b"\0\x01t\x04\x03\0\x01\0")),
        ("publish-user-nul", V5, packet(0x30, b"\0\x01t\x06\x26\0\x01\0\0\0")),
        ("connect-reserved", FRESH, connect(b"\0\x04MQTT\x04\x03\0\x3C\0\x01c")),
        ("will-qos-3", FRESH, connect(b"\0\x04MQTT\x04\x1E\0\x3C\0\x01c\0\x01w\0\0")),
        ("will-retain-alone", FRESH, connect(b"\0\x04MQTT\x04\x22\0\x3C\0\x01c")),
        ("will-wildcard", FRESH, connect(b"\0\x04MQTT\x04\x06\0\x3C\0\x01c\0\x01#\0\0")),
        ("password-alone-v3", FRESH, connect(b"\0\x04MQTT\x04\x42\0\x3C\0\x01c\0\x01s")),
        ("data-without-method", FRESH, connect(b"\0\x04MQTT\x05\x02\0\x3C\x04\x16\0\x01d\0\0")),
        ("receive-maximum-0", FRESH, connect(b"\0\x04MQTT\x05\x02\0\x3C\x03\x21\0\0\0\0")),
        ("connack-flags", V5, packet(0x20, &[2, 0, 0])),
        ("connack-session-refused", V3, packet(0x20, &[1, 5])),
        ("connack-code-v3", V3, packet(0x20, &[0, 6])),
        ("publish-qos-3", V5, packet(0x36, b"\0\x01t\0\x07\0")),
        ("publish-dup-qos-0", V5, packet(0x38, b"\0\x01t\0")),
        ("publish-wildcard", V3, packet(0x30, b"\0\x03a/+")),
        ("publish-no-topic", V5, packet(0x30, b"\0\0\0")),
        ("publish-no-topic-v3", V3, packet(0x30, b"\0\0")),
        ("publish-alias-0", V5, packet(0x30, b"\0\x01t\x03\x23\0\0")),
        ("publish-id-0", V5, packet(0x32, b"\0\x01t\0\0\0")),
        ("publish-format-2", V5, packet(0x30, b"\0\x01t\x02\x01\x02")),
        ("publish-response-wildcard", V5, packet(0x30, b"\0\x01t\x04\x08\0\x01+")),
        ("publish-subscription-0", V5, packet(0x30, b"\0\x01t\x02\x0B\0")),
        ("property-unknown", V5, packet(0x30, b"\0\x01t\x02\x7F\0")),
        ("property-padded", V5, packet(0x30, b"\0\x01t\x03\x81\x00\x01")),
        ("property-twice", V5, packet(0x30, b"\0\x01t\x04\x01\x01\x01\x01")),
        ("property-beyond", V5, packet(0x30, b"\0\x01t\x09\x01\x01")),
        ("puback-code", V5, packet(0x40, &[0, 7, 0x92])),
        ("puback-code-v3", V3, packet(0x40, &[0, 7, 0])),
        ("subscribe-empty", V5, packet(0x82, b"\0\x07\0")),
        ("subscribe-qos-3", V5, packet(0x82, b"\0\x07\0\0\x01t\x03")),
        ("subscribe-handling-3", V5, packet(0x82, b"\0\x07\0\0\x01t\x30")),
        ("subscribe-reserved", V5, packet(0x82, b"\0\x07\0\0\x01t\x40")),
        ("subscribe-options-v3", V3, packet(0x82, b"\0\x07\0\x01t\x04")),
        ("subscribe-local-share", V5, packet(0x82, b"\0\x07\0\0\x0A$share/g/t\x04")),
        ("subscribe-filter", V5, packet(0x82, b"\0\x07\0\0\x02a#\0")),
        ("suback-codes", V5, packet(0x90, &[&[0, 7, 0][..], &codes()].concat())),
        ("suback-code-v3", V3, packet(0x90, &[0, 7, 0x87])),
        ("unsuback-empty", V5, packet(0xB0, &[0, 7, 0])),
        ("unsubscribe-utf8", V3, packet(0xA2, b"\0\x07\0\x02\xC3\x28")),
        ("unsubscribe-surrogate", V3, packet(0xA2, b"\0\x07\0\x03\xED\xA0\x80")),
        ("unsubscribe-nul", V3, packet(0xA2, b"\0\x07\0\x02a\0")),
        ("disconnect-code", V5, packet(0xE0, &[0x01])),
        ("disconnect-v3", V3, packet(0xE0, &[0])),
        ("auth-no-method", V5, packet(0xF0, &[0x18, 0])),
        ("pingreq-body", V5, packet(0xC0, &[0])),
    ]
}

/// The good packets of a version but CONNECT, one after the other.
pub(super) fn stream(version: u8) -> Vec<u8> {
    good()
        .into_iter()
        .filter(|(_, choice, _)| *choice == version)
        .flat_map(|(.., wire)| wire)
        .collect()
}

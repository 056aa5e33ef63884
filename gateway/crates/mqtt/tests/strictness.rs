//! Packets that break one rule of a specification each, and what the peer is to be told; and packets
//! at the border that break none. Bytes are written by hand, so that they do not depend on the code.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that finds something has failed")]

use portcullis_mqtt::{Decoded, Decoder, ReasonCode, Version};

use ReasonCode::{
    MalformedPacket as Malformed, ProtocolError as Protocol, TopicAliasInvalid as Alias,
    UnsupportedProtocolVersion as Unsupported,
};
use Version::{V3_1_1 as V3, V5};

/// The first byte of a packet and what stands behind its remaining length.
type Wire<'a> = (u8, &'a [u8]);

fn packet((first, body): Wire<'_>) -> Vec<u8> {
    let (low, high) = (body.len() as u8 & 0x7F, (body.len() >> 7) as u8);
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    [&[first][..], &length, body].concat()
}

/// A CONNECT: level, flags, and what stands behind the keep alive.
fn connect(level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let head = [&b"\0\x04MQTT"[..], &[level, flags, 0, 60]].concat();
    packet((0x10, &[&head, rest].concat()))
}

/// A CONNECT of MQTT 5 with these properties.
fn connect_with(properties: &[u8]) -> Vec<u8> {
    let section = [&[properties.len() as u8][..], properties].concat();
    connect(5, 2, &[&section[..], b"\0\x01c"].concat())
}

/// A CONNECT of MQTT 5 whose will has these properties and this topic.
fn connect_with_will(properties: &[u8], topic: &[u8]) -> Vec<u8> {
    let section = [&[properties.len() as u8][..], properties].concat();
    let topic = [&(topic.len() as u16).to_be_bytes()[..], topic].concat();
    connect(5, 6, &[b"\0\0\x01c", &section[..], &topic, b"\0\x01p"].concat())
}

/// What the decoder of a connection of `version`, or of none yet, says to `bytes`.
fn answer(version: Option<Version>, bytes: &[u8]) -> Option<ReasonCode> {
    let mut decoder = Decoder::new(1 << 20);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    match decoder.decode(bytes) {
        Ok(Decoded::Packet { len, .. }) => {
            assert_eq!(len, bytes.len(), "all of {bytes:02x?}");
            None
        }
        Ok(Decoded::Incomplete { missing }) => panic!("{bytes:02x?} lack {missing} bytes"),
        Err(error) => Some(error.reason_code()),
    }
}

fn first(bytes: &[u8]) -> Option<ReasonCode> {
    answer(None, bytes)
}

/// Each of `cases` is refused in `version` with its code.
fn refused(version: Version, cases: &[(Wire<'_>, ReasonCode)]) {
    for (wire, code) in cases {
        assert_eq!(answer(Some(version), &packet(*wire)), Some(*code), "{version}: {wire:02x?}");
    }
}

/// Each of `cases` is refused in both versions; the code is for MQTT 5, whose packets differ.
fn refused_in_both(cases: &[(Wire<'_>, Wire<'_>, ReasonCode)]) {
    for (old, new, code) in cases {
        assert!(answer(Some(V3), &packet(*old)).is_some(), "3.1.1: {old:02x?}");
        assert_eq!(answer(Some(V5), &packet(*new)), Some(*code), "5.0: {new:02x?}");
    }
}

/// Each of `cases` is a packet in `version`.
fn accepted(version: Version, cases: &[Wire<'_>]) {
    for wire in cases {
        assert_eq!(answer(Some(version), &packet(*wire)), None, "{version}: {wire:02x?}");
    }
}

#[test]
fn mqtt_2_1_3_1_reserved_flags_are_malformed() {
    let prescribed = [(4, 0), (5, 0), (6, 2), (7, 0), (8, 2), (10, 2), (12, 0), (14, 0)];
    for (kind, good) in prescribed {
        for flags in (0..16_u8).filter(|flags| *flags != good) {
            for version in [V3, V5] {
                let code = answer(Some(version), &[kind << 4 | flags, 2, 0, 1]);
                assert_eq!(code, Some(Malformed), "type {kind}, flags {flags:#06b}, {version}");
            }
        }
    }
    for flags in 1..16 {
        assert_eq!(answer(Some(V5), &[0xF0 | flags, 0]), Some(Malformed), "AUTH {flags:#06b}");
        let mut bytes = connect(4, 2, b"\0\x01c");
        bytes[0] |= flags;
        assert_eq!(first(&bytes), Some(Malformed), "CONNECT {flags:#06b}");
    }
}

#[test]
fn types_that_do_not_exist_are_malformed() {
    assert_eq!(answer(Some(V3), &[0x00, 0]), Some(Malformed));
    assert_eq!(answer(Some(V5), &[0x00, 0]), Some(Malformed));
    assert_eq!(answer(Some(V3), &[0xF0, 0]), Some(Malformed), "AUTH is not in 3.1.1");
}

#[test]
fn a_remaining_length_of_five_bytes_is_malformed() {
    let five = [0xC0, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(answer(Some(V3), &five), Some(Malformed));
    assert_eq!(answer(Some(V5), &five), Some(Malformed));
}

#[test]
fn mqtt_3_1_0_1_any_first_packet_but_connect_is_refused() {
    for kind in 2..=15_u8 {
        let flags = if [6, 8, 10].contains(&kind) { 2 } else { 0 };
        assert!(first(&[kind << 4 | flags, 0]).is_some(), "type {kind}");
    }
}

#[test]
fn mqtt_3_1_2_1_and_2_only_two_levels_of_one_protocol_are_spoken() {
    for level in (0..=u8::MAX).filter(|level| ![4, 5].contains(level)) {
        assert_eq!(first(&connect(level, 2, b"\0\x01c")), Some(Unsupported), "level {level}");
    }
    for name in [&b"\0\x04mqtt"[..], b"\0\x04MQTU", b"\0\x05MQTT5", b"\0\x03MQT", b"\0\0"] {
        let body = [name, b"\x04\x02\0\x3C\0\x01c"].concat();
        assert_eq!(first(&packet((0x10, &body))), Some(Unsupported), "{name:?}");
    }
}

#[test]
fn mqtt_3_1_2_3_11_12_and_13_flags_of_connect() {
    let will = b"\0\x01c\0\x01w\0\x01p";
    let new_will = b"\0\0\x01c\0\0\x01w\0\x01p";
    for (flags, will) in [
        (0x03, false), // the reserved flag
        (0x0A, false), // will QoS 1 without a will
        (0x12, false),
        (0x1A, false),
        (0x22, false), // will retain without a will
        (0x1E, true),  // will QoS 3
    ]
    .map(|(flags, has_will)| (flags, has_will.then_some((&will[..], &new_will[..]))))
    {
        let (old, new) = will.unwrap_or((b"\0\x01c", b"\0\0\x01c"));
        assert_eq!(first(&connect(4, flags, old)), Some(Malformed), "{flags:#04x}");
        assert_eq!(first(&connect(5, flags, new)), Some(Malformed), "{flags:#04x}");
    }
    for flags in [0x06, 0x0E, 0x16, 0x26, 0x36, 0x04] {
        assert_eq!(first(&connect(4, flags, will)), None, "{flags:#04x}");
        assert_eq!(first(&connect(5, flags, new_will)), None, "{flags:#04x}");
    }
}

#[test]
fn mqtt_3_1_3_1_the_payload_of_connect_is_what_its_flags_say() {
    for (flags, rest) in [
        (0x02, &b""[..]),                   // no client identifier
        (0x06, b"\0\x01c"),                 // no will
        (0x06, b"\0\x01c\0\x01w"),          // no will payload
        (0x82, b"\0\x01c"),                 // no user name
        (0xC2, b"\0\x01c\0\x01u"),          // no password
        (0x02, b"\0\x01c\0\x01u"),          // a user name that is not announced
        (0x82, b"\0\x01c\0\x01u\0\x01p"),   // a password that is not announced
        (0x02, b"\0\x05c"),                 // a length beyond the end
        (0xC2, b"\0\x01c\0\x01u\0\x01p\0"), // a byte too many
    ] {
        assert_eq!(first(&connect(4, flags, rest)), Some(Malformed), "{flags:#04x} {rest:02x?}");
        let new = [b"\0", rest].concat();
        if flags & 0x04 == 0 {
            assert_eq!(first(&connect(5, flags, &new)), Some(Malformed), "{flags:#04x}");
        }
    }
    // 3.1.1, MQTT-3.1.2-22; MQTT 5 allows it (3.1.2.9).
    assert!(first(&connect(4, 0x42, b"\0\x01c\0\x01p")).is_some());
    assert_eq!(first(&connect(5, 0x42, b"\0\0\x01c\0\x01p")), None);
    // Neither has to say anything (MQTT-3.1.3-5 allows any length).
    assert_eq!(first(&connect(4, 0xC2, b"\0\0\0\0\0\0")), None);
}

#[test]
fn mqtt_1_5_4_1_and_2_strings_of_connect_are_utf8_without_nul() {
    let bad: [&[u8]; 8] = [
        b"\0",
        b"a\0b",
        b"\xC3\x28",
        b"\xED\xA0\x80", // a surrogate
        b"\xED\xBF\xBF",
        b"\xC0\x80", // U+0000 in two bytes
        b"\xE0\x80\xAF",
        b"\xF4\x90\x80\x80", // beyond U+10FFFF
    ];
    for text in bad {
        let string = [&[0, text.len() as u8][..], text].concat();
        let after = |head: &[u8]| [head, &string].concat();
        for (flags, rest) in [
            (0x02, string.clone()),
            (0x82, after(b"\0\x01c")),
            (0x06, [&after(b"\0\x01c")[..], b"\0\0"].concat()),
        ] {
            assert_eq!(first(&connect(4, flags, &rest)), Some(Malformed), "{text:02x?}");
        }
        for head in [&b"\x26\0\x01n"[..], b"\x15"] {
            assert_eq!(first(&connect_with(&after(head))), Some(Malformed), "{text:02x?}");
        }
        for head in [&b"\x03"[..], b"\x08", b"\x26\0\x01n"] {
            let code = first(&connect_with_will(&after(head), b"w"));
            assert_eq!(code, Some(Malformed), "{text:02x?}");
        }
    }
    // MQTT-1.5.4-3: U+FEFF is a character; so are those beyond the basic plane.
    for text in [&b"\xEF\xBB\xBF"[..], b"\xF4\x8F\xBF\xBD", "é🚪".as_bytes(), b"\x01"] {
        let string = [&[0, text.len() as u8][..], text].concat();
        assert_eq!(first(&connect(4, 0x02, &string)), None, "{text:02x?}");
    }
}

#[test]
fn properties_of_connect_have_their_range_and_come_once() {
    for (properties, code) in [
        (&b"\x21\0\0"[..], Protocol), // receive maximum 0
        (b"\x27\0\0\0\0", Protocol),  // maximum packet size 0
        (b"\x17\x02", Protocol),      // request problem information 2
        (b"\x19\x02", Protocol),      // request response information 2
        (b"\x16\0\x01d", Protocol),   // data without a method
        (b"\x11\0\0\0\x01\x11\0\0\0\x01", Protocol),
        (b"\x21\0\x01\x21\0\x01", Protocol),
        (b"\x27\0\0\x01\0\x27\0\0\x01\0", Protocol),
        (b"\x22\0\x01\x22\0\x01", Protocol),
        (b"\x17\x01\x17\x01", Protocol),
        (b"\x19\x01\x19\x01", Protocol),
        (b"\x15\0\x01m\x15\0\x01m", Protocol),
        (b"\x15\0\x01m\x16\0\x01d\x16\0\x01d", Protocol),
        (b"\x00", Malformed), // no property
        (b"\x7F\0", Malformed),
        (b"\x04\0", Malformed),
        (b"\x91\x00\0\0\0\x01", Malformed), // a padded identifier
        (b"\x11\0\0", Malformed),           // ends in its value
        (b"\x26\0\x01n", Malformed),        // a name without a value
    ] {
        assert_eq!(first(&connect_with(properties)), Some(code), "{properties:02x?}");
    }
    // 2.2.2.2: those of other packets.
    for id in [
        0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x12, 0x13, 0x18, 0x1A, 0x1C, 0x1F, 0x23, 0x24, 0x25,
        0x28, 0x29, 0x2A_u8,
    ] {
        assert_eq!(first(&connect_with(&[id, 0, 1, b'x', 0])), Some(Malformed), "{id:#04x}");
    }
    for properties in [
        &b""[..],
        b"\x22\0\0",
        b"\x11\xFF\xFF\xFF\xFF",
        b"\x21\xFF\xFF",
        b"\x26\0\0\0\0\x26\0\0\0\0",
        b"\x15\0\x01m",
    ] {
        assert_eq!(first(&connect_with(properties)), None, "{properties:02x?}");
    }
    // The section is longer than the packet; its length is padded or too long.
    assert_eq!(first(&connect(5, 2, b"\x20\0\x01c")), Some(Malformed));
    assert_eq!(first(&connect(5, 2, b"\x80\0\0\x01c")), Some(Malformed));
    assert_eq!(first(&connect(5, 2, b"\xFF\xFF\xFF\xFF\x01\0\x01c")), Some(Malformed));
}

#[test]
fn properties_and_topic_of_a_will() {
    for properties in [
        &b"\x18\0\0\0\x01\x18\0\0\0\x01"[..],
        b"\x01\x01\x01\x01",
        b"\x01\x02",
        b"\x02\0\0\0\x01\x02\0\0\0\x01",
        b"\x03\0\x01t\x03\0\x01t",
        b"\x08\0\x01t\x08\0\x01t",
        b"\x09\0\x01t\x09\0\x01t",
    ] {
        let code = first(&connect_with_will(properties, b"w"));
        assert_eq!(code, Some(Protocol), "{properties:02x?}");
    }
    for properties in [
        &b"\x23\0\x01"[..], // topic alias
        b"\x0B\x01",        // subscription identifier
        b"\x11\0\0\0\x01",  // session expiry interval
        b"\x08\0\x01#",     // MQTT-3.3.2-14, a response topic with a wildcard
        b"\x08\0\0",
    ] {
        let code = first(&connect_with_will(properties, b"w"));
        assert_eq!(code, Some(Malformed), "{properties:02x?}");
    }
    for topic in [&b""[..], b"#", b"a/+", b"a\0"] {
        assert_eq!(first(&connect_with_will(b"", topic)), Some(Malformed), "{topic:?}");
    }
    assert_eq!(first(&connect_with_will(b"\x18\0\0\0\0\x26\0\x01a\0\x01b", b"$SYS/w")), None);
}

#[test]
fn mqtt_3_3_1_2_and_4_flags_of_publish() {
    refused_in_both(&[
        ((0x36, b"\0\x01t\0\x01"), (0x36, b"\0\x01t\0\x01\0"), Malformed),
        ((0x3E, b"\0\x01t\0\x01"), (0x3E, b"\0\x01t\0\x01\0"), Malformed),
        ((0x38, b"\0\x01t"), (0x38, b"\0\x01t\0"), Malformed),
    ]);
    accepted(V3, &[(0x30, b"\0\x01t"), (0x3B, b"\0\x01t\0\x01x"), (0x3D, b"\0\x01t\0\x01x")]);
}

#[test]
fn mqtt_3_3_2_1_and_2_topics_of_publish() {
    refused_in_both(&[
        ((0x30, b"\0\x01#"), (0x30, b"\0\x01#\0"), Malformed),
        ((0x30, b"\0\x03a/+"), (0x30, b"\0\x03a/+\0"), Malformed),
        ((0x30, b"\0\x02a+"), (0x30, b"\0\x02a+\0"), Malformed),
        ((0x30, b"\0\x02a\0"), (0x30, b"\0\x02a\0\0"), Malformed),
        ((0x30, b"\0\x03\xED\xA0\x80"), (0x30, b"\0\x03\xED\xA0\x80\0"), Malformed),
        ((0x30, b"\0\0"), (0x30, b"\0\0\0"), Protocol),
        ((0x30, b"\0\x09t"), (0x30, b"\0\x09t\0"), Malformed),
        ((0x30, b"\0"), (0x30, b"\0"), Malformed),
        ((0x30, b""), (0x30, b""), Malformed),
        // MQTT-2.2.1-3 and a missing identifier.
        ((0x32, b"\0\x01t\0\0"), (0x32, b"\0\x01t\0\0\0"), Protocol),
        ((0x34, b"\0\x01t\0\0"), (0x34, b"\0\x01t\0\0\0"), Protocol),
        ((0x32, b"\0\x01t"), (0x32, b"\0\x01t"), Malformed),
    ]);
}

#[test]
fn properties_of_publish() {
    for (properties, code) in [
        (&b"\x23\0\0"[..], Alias), // MQTT-3.3.2-8
        (b"\x23\0\x01\x23\0\x01", Protocol),
        (b"\x0B\0", Protocol),
        (b"\x01\x02", Protocol),
        (b"\x01\x01\x01\x01", Protocol),
        (b"\x02\0\0\0\x01\x02\0\0\0\x01", Protocol),
        (b"\x03\0\x01t\x03\0\x01t", Protocol),
        (b"\x08\0\x01t\x08\0\x01t", Protocol),
        (b"\x09\0\x01t\x09\0\x01t", Protocol),
        (b"\x08\0\x02t#", Malformed), // MQTT-3.3.2-14
        (b"\x08\0\0", Malformed),
        (b"\x03\0\x01\0", Malformed),
        (b"\x26\0\x01\xFF\0\0", Malformed),
        (b"\x0B\x80\x80\x80\x80\x01", Malformed),
        (b"\x18\0\0\0\x01", Malformed), // will delay interval
        (b"\x11\0\0\0\x01", Malformed),
        (b"\x1F\0\x01r", Malformed),
    ] {
        let section = [&[properties.len() as u8][..], properties].concat();
        refused(V5, &[((0x30, &[b"\0\x01t", &section[..]].concat()), code)]);
    }
    refused(V5, &[((0x30, b"\0\x01t"), Malformed), ((0x30, b"\0\x01t\x05\x01\x01"), Malformed)]);
    accepted(V5, &[(0x30, b"\0\0\x03\x23\0\x01"), (0x30, b"\0\x01t\x02\x01\0\xFF")]);
}

#[test]
fn acknowledgements_of_a_client() {
    for kind in [0x40, 0x50, 0x62, 0x70] {
        refused_in_both(&[
            ((kind, b"\0\0"), (kind, b"\0\0"), Protocol),
            ((kind, b"\0"), (kind, b"\0"), Malformed),
            ((kind, b""), (kind, b""), Malformed),
            ((kind, b"\0\x01\0"), (kind, b"\0\x01\xFF"), Protocol),
            ((kind, b"\0\x01\0\0"), (kind, b"\0\x01\0\x01"), Malformed),
        ]);
        refused(
            V5,
            &[
                ((kind, b"\0\x01\x01"), Protocol),
                ((kind, b"\0\x01\0\0\0"), Malformed),
                ((kind, b"\0\x01\0\x03\x11\0\0"), Malformed),
                ((kind, b"\0\x01\0\x06\x1F\0\0\x1F\0\0"), Protocol),
            ],
        );
        accepted(V3, &[(kind, b"\0\x01")]);
        accepted(V5, &[(kind, b"\0\x01"), (kind, b"\0\x01\0"), (kind, b"\0\x01\0\0")]);
        accepted(V5, &[(kind, b"\0\x01\0\x04\x1F\0\x01r"), (kind, b"\0\x01\0\x05\x26\0\0\0\0")]);
    }
}

#[test]
fn subscribe_and_its_options() {
    refused_in_both(&[
        ((0x82, b"\0\x01"), (0x82, b"\0\x01\0"), Protocol), // MQTT-3.8.3-2
        ((0x82, b"\0\0\0\x01t\0"), (0x82, b"\0\0\0\0\x01t\0"), Protocol),
        ((0x82, b"\0\x01\0\x01t"), (0x82, b"\0\x01\0\0\x01t"), Malformed),
        ((0x82, b"\0\x01\0\x01t\x03"), (0x82, b"\0\x01\0\0\x01t\x03"), Protocol),
        ((0x82, b"\0\x01\0\x01t\x40"), (0x82, b"\0\x01\0\0\x01t\x40"), Malformed),
        ((0x82, b"\0\x01\0\x01t\x80"), (0x82, b"\0\x01\0\0\x01t\x80"), Malformed),
        ((0x82, b"\0\x01\0\x01t\x10"), (0x82, b"\0\x01\0\0\x01t\x30"), Protocol),
        ((0x82, b"\0\x01\0\x01t\0\0"), (0x82, b"\0\x01\0\0\x01t\0\0"), Malformed),
        ((0x82, b"\0\x01\0\x01t\x04"), (0x82, b"\0\x01\0\0\x0A$share/g/t\x04"), Protocol),
    ]);
    refused(
        V5,
        &[
            ((0x82, b"\0\x01\x02\x0B\0\0\x01t\0"), Protocol), // subscription identifier 0
            ((0x82, b"\0\x01\x04\x0B\x01\x0B\x01\0\x01t\0"), Protocol),
            ((0x82, b"\0\x01\x05\x11\0\0\0\x01\0\x01t\0"), Malformed),
        ],
    );
    accepted(V5, &[(0x82, b"\0\x01\x05\x0B\xFF\xFF\xFF\x7F\0\x01t\x2E")]);
}

#[test]
fn mqtt_4_7_1_and_4_8_2_filters_that_are_none_are_malformed() {
    for filter in [
        "",
        "a/#/b",
        "#/a",
        "a#",
        "#a",
        "##",
        "a/b#",
        "a+",
        "+a",
        "a/+b/c",
        "++",
        "a\0",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share/g+/t",
        "$share/#/t",
        "$share/+/t",
        "$share/g/a#",
        "$share/g/#/a",
    ] {
        let string = [&[0, filter.len() as u8][..], filter.as_bytes()].concat();
        refused_in_both(&[
            (
                (0x82, &[b"\0\x01", &string[..], b"\0"].concat()),
                (0x82, &[b"\0\x01\0", &string[..], b"\0"].concat()),
                Malformed,
            ),
            (
                (0xA2, &[b"\0\x01", &string[..]].concat()),
                (0xA2, &[b"\0\x01\0", &string[..]].concat()),
                Malformed,
            ),
        ]);
    }
    for filter in ["#", "+", "/", "a/#", "+/+/#", "/+", "a//b", "$SYS/#", "$share/g/#", "$shared"] {
        let string = [&[0, filter.len() as u8][..], filter.as_bytes()].concat();
        accepted(V3, &[(0x82, &[b"\0\x01", &string[..], b"\x02"].concat())]);
        accepted(V5, &[(0xA2, &[b"\0\x01\0", &string[..]].concat())]);
    }
}

#[test]
fn unsubscribe_names_something() {
    refused_in_both(&[
        ((0xA2, b"\0\x01"), (0xA2, b"\0\x01\0"), Protocol), // MQTT-3.10.3-2
        ((0xA2, b"\0\0\0\x01t"), (0xA2, b"\0\0\0\0\x01t"), Protocol),
        ((0xA2, b"\0\x01\0\x02t"), (0xA2, b"\0\x01\0\0\x02t"), Malformed),
    ]);
    refused(V5, &[((0xA2, b"\0\x01\x02\x0B\x01\0\x01t"), Malformed)]);
}

#[test]
fn packets_without_content_have_none() {
    refused_in_both(&[((0xC0, b"\0"), (0xC0, b"\0"), Malformed)]);
    refused(V3, &[((0xE0, b"\0"), Malformed)]);
}

#[test]
fn disconnect_and_auth_of_mqtt_5() {
    refused(
        V5,
        &[
            ((0xE0, b"\x01"), Protocol),
            ((0xE0, b"\x86"), Protocol),
            ((0xE0, b"\xFF"), Protocol),
            ((0xE0, b"\0\0\0"), Malformed),
            ((0xE0, b"\0\x05\x11\0\0"), Malformed),
            ((0xE0, b"\0\x0A\x11\0\0\0\x01\x11\0\0\0\x01"), Protocol),
            ((0xE0, b"\0\x03\x21\0\x01"), Malformed),
            ((0xF0, b"\x18"), Malformed),
            ((0xF0, b"\x18\0"), Protocol),
            ((0xF0, b"\x02\x04\x15\0\x01m"), Protocol),
            ((0xF0, b"\x18\x08\x15\0\x01m\x15\0\x01m"), Protocol),
            ((0xF0, b"\x18\x05\x11\0\0\0\x01"), Malformed),
        ],
    );
    accepted(V5, &[(0xE0, b""), (0xE0, b"\0"), (0xE0, b"\x04"), (0xE0, b"\0\0")]);
    accepted(V5, &[(0xE0, b"\0\x05\x11\0\0\0\x01"), (0xF0, b"\x18\x04\x15\0\x01m")]);
}

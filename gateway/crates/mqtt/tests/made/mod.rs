//! Makes the committed corpus: inputs by name, the same each time.

use std::collections::BTreeMap;

use portcullis_mqtt::{PropertyId, ReasonCode};

mod wire;

use wire::{packet, properties, string};

/// Inputs by file name.
pub(crate) type Inputs = BTreeMap<String, Vec<u8>>;

/// What the inputs for `decode` are answered with: each packet, and each way to be none.
pub(crate) const ANSWERS: &[&str] = &[
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
    "incomplete",
    "VarintTooLong",
    "VarintPadded",
    "PacketTooLarge",
    "PacketType",
    "NotConnect",
    "ConnectAgain",
    "Flags",
    "ProtocolName",
    "ProtocolLevel",
    "Truncated",
    "TrailingBytes",
    "Utf8",
    "NulCharacter",
    "Value",
    "PacketIdZero",
    "ReasonCode",
    "PropertyUnknown",
    "PropertyNotAllowed",
    "PropertyRepeated",
    "TopicMissing",
    "Topic",
    "Filter",
    "EmptyList",
    "NoLocalOnShared",
    "PasswordWithoutUserName",
    "AuthenticationMethodMissing",
    "SessionPresentOnRefusal",
];

/// Which decoder an input asks for.
const FRESH: u8 = 0;
const V3: u8 = 1;
const V5: u8 = 2;
/// A decoder that lets MQTT 3.1 in and has seen nothing.
const OLD_FRESH: u8 = 0x81;
/// A decoder that has seen CONNECT of MQTT 3.1.
const OLD: u8 = 0x82;

/// Inputs for `checks::decode`.
pub(crate) fn decode() -> Inputs {
    let mut inputs = Inputs::new();
    let mut add = |name: String, choice: u8, wire: &[u8]| {
        let before = inputs.insert(name.clone(), [&[choice], wire].concat());
        assert!(before.is_none(), "{name} is made twice");
    };
    for (at, (name, choice, wire)) in wire::good().into_iter().enumerate() {
        let body = &wire[2..];
        // Half of it, a length that ends it early, or one that takes in a byte more.
        let (change, changed) = match (at % 3, body.split_last()) {
            (0, _) => ("cut", wire[..wire.len() / 2].to_vec()),
            (1, Some((_, body))) => ("short", [&[wire[0], wire[1] - 1], body].concat()),
            _ => ("long", [&[wire[0], wire[1] + 1], body, &[0]].concat()),
        };
        add(format!("{change}-{name}"), choice, &changed);
        add(format!("good-{name}"), choice, &wire);
    }
    for (name, choice, wire) in wire::bad() {
        add(format!("bad-{name}"), choice, &wire);
    }
    for (name, head, tail) in wire::PROPERTY_HOLDERS {
        for id in PropertyId::ALL {
            let section = properties(&wire::property(*id));
            let body = [head, &section[..], tail].concat();
            let choice = if name.starts_with("connect") { FRESH } else { V5 };
            let first = body[0];
            add(format!("property-{:02x}-{name}", *id as u8), choice, &packet(first, &body[1..]));
        }
    }
    let all = PropertyId::ALL.iter().map(|id| wire::property(*id));
    let publish = [0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26];
    let mixed = all.filter(|wire| publish.contains(&wire[0])).collect::<Vec<_>>().concat();
    let body = [string("t"), properties(&mixed), b"payload".to_vec()].concat();
    add("property-all-publish".to_owned(), V5, &packet(0x30, &body));
    add("length-padded-v3".to_owned(), V3, &[0xC0, 0x80, 0x00]);
    add("stream-v5".to_owned(), V5, &wire::stream(V5));
    add("stream-v3".to_owned(), V3, &wire::stream(V3));
    inputs
}

/// Inputs for `checks::roundtrip`: every packet in both versions, with little, with much, and against the rules.
pub(crate) fn roundtrip() -> Inputs {
    let mut inputs = Inputs::new();
    for kind in 0..15_u8 {
        for (name, version) in [("v3", 0x00), ("v5", 0x80)] {
            // A head below 0xC0 keeps the rules; 0xC3 is the first above it that stands for the first packet.
            for (manner, head, len) in [("little", 0, 24), ("much", 0, 160), ("wild", 0xC3, 160)] {
                let noise = noise(u64::from(kind) << 16 | len as u64, len);
                let bits = version | noise[0] & 0x7F;
                let input = [&[kind + head, bits, 0, 9][..], &noise].concat();
                inputs.insert(format!("{manner}-{kind:02}-{name}"), input);
            }
        }
    }
    inputs
}

/// Bytes that look random and are the same each time (a linear congruence of Knuth's MMIX).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Inputs for `checks::topic`: a name and two filters.
pub(crate) fn topic() -> Inputs {
    let names = ["a/b/c", "/", "$SYS/x", "a//b", "é/温"];
    let filters = [
        ("#", "+/#"),
        ("/#", "/+/#"),
        ("a/#", "a/+/c"),
        ("+/+/+", "a/b/c"),
        ("$SYS/#", "+/x"),
        ("+", "/+"),
        ("$share/g/a/#", "a/b"),
        ("a/+", "a//b"),
        ("é/+", "+/温"),
        ("#", "$SYS/x"),
    ];
    let bad =
        ["", "a#", "#/a", "++", "a+/b", "$share/g", "$share//a", "$share/+/a", "$share/g/", "a\0b"];
    let mut inputs = Inputs::new();
    for (at, name) in names.iter().enumerate() {
        for (pair, (wide, narrow)) in filters.iter().enumerate() {
            let input = format!("{name}\n{wide}\n{narrow}").into_bytes();
            inputs.insert(format!("match-{at}-{pair}"), input);
        }
    }
    for (at, text) in bad.iter().enumerate() {
        inputs.insert(format!("bad-{at}"), format!("{text}\n{text}\n#").into_bytes());
    }
    let long = "x".repeat(65_536);
    inputs.insert("bad-long".to_owned(), format!("{long}\n{long}\n#").into_bytes());
    inputs
}

/// Every reason code that 3.1.1 and MQTT 5 know, for lists of them.
pub(crate) fn codes() -> Vec<u8> {
    ReasonCode::ALL.iter().map(|code| code.as_u8()).collect()
}

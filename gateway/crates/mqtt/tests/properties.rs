//! Properties of the codec that hold for packets and bytes nobody has thought of.

#![allow(clippy::expect_used, clippy::panic, reason = "a check says what it found by panicking")]

use portcullis_mqtt::{
    Decoded, Decoder, MessageProperties, MessagePropertiesBuf, Packet, PacketKind, TopicName,
    Version,
};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

mod checks;

use checks::{Recipe, as_written};

/// Bytes for a [`Recipe`] that keeps the rules.
fn tame() -> impl Strategy<Value = Vec<u8>> {
    (0..0xC0_u8, vec(any::<u8>(), 3..160)).prop_map(|(head, rest)| [vec![head], rest].concat())
}

/// The packets of one direction of a connection, and where each ends.
fn stream(recipes: &[Vec<u8>], version: Version) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for recipe in recipes.iter().map(|bytes| Recipe::new(bytes)) {
        let another = recipe.kind == PacketKind::Connect || recipe.version != version;
        if !another && recipe.packet().encode(version, &mut bytes).is_ok() {
            ends.push(bytes.len());
        }
    }
    (bytes, ends)
}

fn decoder(version: Version) -> Decoder {
    let mut decoder = Decoder::new(checks::SIZE_MAX);
    decoder.set_version(version);
    decoder
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_packet_that_keeps_the_rules_survives_the_wire(recipe in tame()) {
        checks::roundtrip(&recipe);
    }

    #[test]
    fn what_cannot_be_encoded_leaves_the_output_as_it_was(
        head in 0xC0..=0xFF_u8,
        rest in vec(any::<u8>(), 0..160),
    ) {
        checks::roundtrip(&[vec![head], rest].concat());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_decode_to_what_they_say(bytes in vec(any::<u8>(), 0..80)) {
        checks::decode(&bytes);
    }

    #[test]
    fn changed_packets_are_refused_or_decode_to_what_they_say(
        recipe in tame(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let recipe = Recipe::new(&recipe);
        let version = match (recipe.kind, recipe.version) {
            (_, Version::V3_1) => 0x82,
            (PacketKind::Connect, _) => 0,
            (_, Version::V3_1_1) => 1,
            (_, Version::V5) => 2,
        };
        let mut bytes = vec![version];
        recipe.packet().encode(recipe.version, &mut bytes).expect("a packet that keeps the rules");
        for (place, byte, change) in changes {
            let at = place.index(bytes.len() - 1) + 1;
            match change {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 2 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        checks::decode(&bytes);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_packets(
        recipes in vec(tame(), 1..12),
        version in prop_oneof![Just(Version::V3_1_1), Just(Version::V5)],
        pieces in vec(1..40_usize, 1..40),
    ) {
        let (bytes, ends) = stream(&recipes, version);
        let (mut arrived, mut begin, mut found) = (0, 0, Vec::new());
        let mut pieces = pieces.iter().cycle();
        let mut decoder = decoder(version);
        while begin < bytes.len() {
            let end = *ends.get(found.len()).expect("no more packets than were sent");
            match decoder.decode(&bytes[begin..arrived]).expect("packets that keep the rules") {
                Decoded::Packet { len, .. } => {
                    found.push(begin + len);
                    begin += len;
                }
                Decoded::Incomplete { missing } => {
                    assert!(missing > 0 && arrived + missing <= end, "{missing} at {arrived} of {end}");
                    let piece = pieces.next().copied().unwrap_or(1);
                    arrived = bytes.len().min(arrived + piece);
                }
            }
        }
        assert_eq!(found, ends);
    }

    #[test]
    fn every_beginning_of_a_packet_is_incomplete(recipe in tame()) {
        let recipe = Recipe::new(&recipe);
        let mut bytes = Vec::new();
        recipe.packet().encode(recipe.version, &mut bytes).expect("a packet that keeps the rules");
        let decoder = match recipe.kind {
            PacketKind::Connect => Decoder::new(checks::SIZE_MAX),
            _ => decoder(recipe.version),
        };
        for cut in (0..bytes.len()).take(200) {
            checks::incomplete(&decoder, &bytes[..cut], bytes.len());
        }
    }

    #[test]
    fn a_mixed_section_yields_what_is_forwarded_in_its_order(
        properties in proptest::sample::subsequence(PROPERTIES.to_vec(), 0..PROPERTIES.len()).prop_shuffle(),
        payload in vec(any::<u8>(), 0..20),
    ) {
        let section = properties.iter().flat_map(|(_, wire)| *wire).copied().collect::<Vec<_>>();
        let forwarded = properties.iter().filter(|(forwarded, _)| *forwarded);
        let forwarded = forwarded.flat_map(|(_, wire)| *wire).copied().collect::<Vec<_>>();
        let body = [&[0, 1, b't', section.len() as u8][..], &section, &payload].concat();
        let wire = [&[0x30, body.len() as u8][..], &body].concat();
        let mut decoder = decoder(Version::V5);
        let found = decoder.decode(&wire).expect("a section that keeps the rules");
        let Decoded::Packet { packet: Packet::Publish(publish), .. } = found else {
            panic!("{found:?}")
        };
        let mut copy = Vec::new();
        publish.properties.write_to(&mut copy);
        assert_eq!(copy, forwarded);
        assert_eq!(publish.properties.wire_len(), forwarded.len());
        assert_eq!(publish.properties.is_empty(), forwarded.is_empty());
        assert_eq!(MessageProperties::parse(&copy), Ok(publish.properties));
        assert_eq!(publish.payload, payload);
        let has = |id: u8| properties.iter().any(|(_, wire)| wire[0] == id);
        assert_eq!(publish.message_expiry, has(0x02).then_some(60));
        assert_eq!(publish.topic_alias.map(u16::from), has(0x23).then_some(7));
        assert_eq!(publish.properties.content_type(), has(0x03).then_some("x"));
        assert_eq!(publish.properties.response_topic().map(TopicName::as_str), has(0x08).then_some("r"));
        assert_eq!(publish.properties.correlation_data(), has(0x09).then_some(&[0, 1][..]));
        assert_eq!(publish.properties.payload_format_utf8(), has(0x01));
        let ids = properties.iter().filter(|(_, wire)| wire[0] == 0x0B).map(|(_, wire)| *wire);
        let ids = ids.map(|wire| if wire.len() == 2 { 5 } else { 128 }).collect::<Vec<_>>();
        assert_eq!(publish.subscription_ids.iter().collect::<Vec<_>>(), ids);
        let users = properties.iter().filter(|(_, wire)| wire[0] == 0x26);
        assert_eq!(publish.properties.user().iter().count(), users.count());
        checks::decode(&[&[2], &wire[..]].concat());
    }

    #[test]
    fn topics_are_judged_as_the_rules_say(
        lines in vec(vec(proptest::sample::select(&["a", "b", "/", "+", "#", "$", "$share/g/", "\0", "é"][..]), 0..7), 3),
    ) {
        let lines = lines.iter().map(|pieces| pieces.concat()).collect::<Vec<_>>();
        checks::topic(lines.join("\n").as_bytes());
    }
}

/// Properties of PUBLISH, and whether a server forwards each.
const PROPERTIES: [(bool, &[u8]); 10] = [
    (true, &[0x01, 1]),
    (false, &[0x02, 0, 0, 0, 60]),
    (true, &[0x03, 0, 1, b'x']),
    (true, &[0x08, 0, 1, b'r']),
    (true, &[0x09, 0, 2, 0, 1]),
    (false, &[0x0B, 5]),
    (false, &[0x0B, 0x80, 0x01]),
    (false, &[0x23, 0, 7]),
    (true, &[0x26, 0, 1, b'k', 0, 1, b'v']),
    (true, &[0x26, 0, 1, b'k', 0, 0]),
];

#[test]
fn a_recipe_makes_every_packet_in_both_versions() {
    let mut made = std::collections::BTreeSet::new();
    for head in 0..0xC0 {
        for bits in [0, 0x80] {
            let recipe = Recipe::new(&[head, bits]);
            let mut out = Vec::new();
            recipe
                .packet()
                .encode(recipe.version, &mut out)
                .expect("a packet that keeps the rules");
            made.insert((recipe.kind, recipe.version));
        }
    }
    assert_eq!(made.len(), 15 + 14, "AUTH is in MQTT 5 only");
    let mut filters = portcullis_mqtt::SubscribeFiltersBuf::default();
    let ping = as_written(&Packet::PingReq, Version::V3_1_1, &mut filters);
    assert_eq!(ping, Packet::PingReq);
    assert!(MessagePropertiesBuf::default().as_ref().is_empty());
}

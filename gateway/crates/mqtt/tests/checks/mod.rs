//! What must hold for any input. The property tests, the fuzz targets and the replay of the committed
//! corpus call the same functions; one that returns has found nothing.

use portcullis_mqtt::{Decoded, Decoder, Packet, Version};

mod recipe;
mod topics;
mod written;

pub(crate) use recipe::Recipe;
pub(crate) use topics::topic;
pub(crate) use written::as_written;

/// Largest packet accepted, in bytes.
pub(crate) const SIZE_MAX: u32 = 1 << 20;

/// A decoder that has seen what the first byte of an input says: nothing, or CONNECT of a version.
/// The highest bit lets MQTT 3.1 in.
pub(crate) fn decoder(choice: u8) -> Decoder {
    let old = choice >= 0x80;
    let mut decoder = Decoder::new(SIZE_MAX).allow_v3_1(old);
    match choice % 3 {
        0 => {}
        1 if old => decoder.set_version(Version::V3_1),
        1 => decoder.set_version(Version::V3_1_1),
        _ => decoder.set_version(Version::V5),
    }
    decoder
}

/// Bytes from a peer: one byte for [`decoder`], then packets until one is bad or incomplete.
pub(crate) fn decode(input: &[u8]) {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    let mut decoder = decoder(choice);
    while let Some(len) = decode_one(&mut decoder, rest) {
        rest = &rest[len..];
    }
}

/// Decodes what `input` begins with; returns the length of the packet, if there is one.
fn decode_one(decoder: &mut Decoder, input: &[u8]) -> Option<usize> {
    let before = decoder.clone();
    match decoder.decode(input) {
        Ok(Decoded::Packet { packet, len }) => {
            assert!((2..=input.len().min(SIZE_MAX as usize)).contains(&len), "length {len}");
            let alone = before.clone().decode(&input[..len]);
            assert_eq!(alone, Ok(Decoded::Packet { packet: packet.clone(), len }));
            for cut in [0, 1, 2, 3, len / 2, len - 1].into_iter().filter(|cut| *cut < len) {
                incomplete(&before, &input[..cut], len);
            }
            decodes_again(&before, &packet, decoder.version(), len);
            Some(len)
        }
        Ok(Decoded::Incomplete { missing }) => {
            assert!(missing > 0 && missing <= SIZE_MAX as usize, "{missing} bytes are missing");
            None
        }
        Err(error) => {
            assert!(error.reason_code().is_error(), "{error} is told as {}", error.reason_code());
            assert!(!error.statement().is_empty() && error.to_string().len() > 10, "{error:?}");
            None
        }
    }
}

/// The beginning of a packet of `len` bytes asks for more, and not for more than there are.
pub(crate) fn incomplete(decoder: &Decoder, beginning: &[u8], len: usize) {
    match decoder.clone().decode(beginning) {
        Ok(Decoded::Incomplete { missing }) => {
            let wanted = beginning.len() + missing;
            assert!(missing > 0 && wanted <= len, "{wanted} bytes are wanted of {len}");
        }
        other => panic!("{} of {len} bytes are {other:?}", beginning.len()),
    }
}

/// What was decoded can be encoded, in no more bytes, and is then decoded as the same.
fn decodes_again(before: &Decoder, packet: &Packet<'_>, version: Option<Version>, len: usize) {
    let version = version.expect("a version is known after a packet");
    let mut out = Vec::new();
    packet.encode(version, &mut out).expect("what was decoded can be encoded");
    assert!(out.len() <= len, "{} bytes were {len}", out.len());
    let again = before.clone().decode(&out);
    assert_eq!(again, Ok(Decoded::Packet { packet: packet.clone(), len: out.len() }));
}

/// A packet made from any bytes: what can be encoded is decoded as what its version has a place
/// for, what cannot leaves the output as it was.
pub(crate) fn roundtrip(input: &[u8]) {
    let recipe = Recipe::new(input);
    let packet = recipe.packet();
    let mut out = b"before".to_vec();
    match packet.encode(recipe.version, &mut out) {
        Ok(()) => {
            let wire = out.strip_prefix(b"before").expect("what was there before stays");
            let mut filters = portcullis_mqtt::SubscribeFiltersBuf::default();
            let packet = as_written(&packet, recipe.version, &mut filters);
            let choice = match (&packet, recipe.version) {
                (Packet::Connect(_), _) => 0,
                (_, Version::V3_1) => 0x82,
                (_, Version::V3_1_1) => 1,
                (_, Version::V5) => 2,
            };
            let whole = Ok(Decoded::Packet { packet, len: wire.len() });
            assert_eq!(decoder(choice).decode(wire), whole);
            let len = u32::try_from(wire.len()).expect("a packet fits");
            let mut tight = decoder(choice);
            tight.set_max_packet_size(len - 1);
            let header = &wire[..wire.len().min(portcullis_mqtt::limits::FIXED_HEADER_MAX)];
            let error = tight.decode(header).expect_err("the packet is too large by a byte");
            assert_eq!(error.reason_code(), portcullis_mqtt::ReasonCode::PacketTooLarge);
            tight.set_max_packet_size(len);
            assert_eq!(tight.decode(wire), whole);
        }
        Err(error) => {
            assert_eq!(out, b"before", "{error}");
            assert!(!recipe.tame, "{error}: {packet:?}");
        }
    }
}

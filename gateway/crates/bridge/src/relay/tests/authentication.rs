//! Authentication by a method, and again.

use std::sync::Arc;

use mqtt::{Auth, Decoded, Decoder, Packet, ReasonCode, Version};
use session::Timestamp;

use super::{World, settings};
use crate::{Authentication, End};

fn world() -> World {
    let authentication = Authentication { method: "M".to_owned(), data: b"first".to_vec() };
    let settings = super::Settings { authentication: Some(authentication), ..settings() };
    World::new(&Arc::new(settings), Version::V5)
}

/// What the packets that wait for upstream say of authentication: kind or code, method, data.
fn said(world: &mut World) -> Vec<(u8, String, Vec<u8>)> {
    let bytes = std::mem::take(world.relay.upstream_output());
    let mut decoder = Decoder::new(1 << 20);
    // CONNECT says its version itself, and can only be the first.
    if bytes.first() != Some(&0x10) {
        decoder.set_version(Version::V5);
    }
    let (mut at, mut said) = (0, Vec::new());
    while let Ok(Decoded::Packet { packet, len }) = decoder.decode(&bytes[at..]) {
        let (code, method, data) = match packet {
            Packet::Connect(connect) => (
                0,
                connect.properties.authentication_method,
                connect.properties.authentication_data,
            ),
            Packet::Auth(auth) => (auth.code.as_u8(), auth.method, auth.data),
            _ => (255, None, None),
        };
        said.push((code, method.unwrap_or_default().into(), data.unwrap_or_default().into()));
        at += len;
    }
    said
}

fn answer(code: ReasonCode) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::Auth(Auth::new(code, Some("M"))).encode(Version::V5, &mut bytes).unwrap();
    bytes
}

#[test]
fn it_comes_with_a_method_and_again_without_an_end() {
    let mut world = world();
    assert_eq!(said(&mut world), [(0, "M".to_owned(), b"first".to_vec())]);
    let mut world = self::world();
    world.settle().unwrap();
    for data in [&b"second"[..], b"third"] {
        world.relay.authenticate_again(world.now, data).unwrap();
        assert_eq!(said(&mut world), [(0x19, "M".to_owned(), data.to_vec())]);
        world.relay.handle_upstream(world.now, &answer(ReasonCode::Success)).unwrap();
    }
    assert!(world.relay.handle_deadline(Timestamp::from_unix_ms(6_000)).is_ok());
}

#[test]
fn another_answer_or_none_is_an_end() {
    let asked = || {
        let mut world = world();
        world.settle().unwrap();
        world.relay.authenticate_again(world.now, b"second").unwrap();
        world
    };
    let mut world = asked();
    let end = world.relay.handle_upstream(world.now, &answer(ReasonCode::ContinueAuthentication));
    assert!(matches!(end, Err(End::Unexpected(_))), "{end:?}");
    let mut world = asked();
    assert_eq!(world.relay.next_deadline(), Some(Timestamp::from_unix_ms(5_000)));
    let end = world.relay.handle_deadline(Timestamp::from_unix_ms(5_000));
    assert_eq!(end, Err(End::Silent("AUTH")));
    // Nobody has asked.
    let mut world = self::world();
    world.settle().unwrap();
    let end = world.relay.handle_upstream(world.now, &answer(ReasonCode::Success));
    assert!(matches!(end, Err(End::Unexpected(_))), "{end:?}");
}

#[test]
fn without_a_method_there_is_nothing_to_say() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.settle().unwrap();
    world.relay.authenticate_again(world.now, b"second").unwrap();
    assert!(said(&mut world).is_empty());
}

//! Limits that only the shell can keep, because they stop it from reading.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::sync::Arc;

use auth::{Fallback, PermissionSet, Permissions};
use broker::{LinkId, Settings};
use mqtt::{
    Connect, ConnectProperties, Packet, PacketId, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, UserProperties, Version,
};
use portcullis_simulation::{Door, Login, World};

/// Simulation, seed 53: PINGREQ after PINGREQ, and nobody reads the answers.
#[test]
fn whoever_reads_no_answers_is_not_read() {
    let settings = Settings { max_outbox_bytes: 100, ..Settings::default() };
    let mut world = World::new(settings, 1);
    let link = connect(&mut world, 0);
    let mut ping = Vec::new();
    Packet::PingReq.encode(Version::V5, &mut ping).expect("a packet");
    world.stall(link, true);
    let mut asked = 0;
    while world.may_read(link) {
        world.send(link, &ping);
        asked += 1;
        assert!(asked <= 50, "{asked} answers of two bytes wait, and the limit is 100 bytes");
    }
    world.stall(link, false);
    assert!(world.may_read(link), "the answers have left");
}

/// Disk refuses, and a client subscribes to the same again and again.
#[test]
fn whoever_waits_for_the_disk_is_not_read_for_ever() {
    let settings = Settings { max_journal_bytes: 1000, ..Settings::default() };
    let mut world = World::new(settings, 1);
    let link = connect(&mut world, 60);
    world.flush();
    let mut filters = SubscribeFiltersBuf::default();
    let filter = TopicFilter::new("t").expect("a filter");
    filters.push(filter, SubscribeOptions::default()).expect("a filter");
    let mut subscribe = Vec::new();
    let packet = Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user: UserProperties::default(),
        filters: filters.as_ref(),
    };
    Packet::Subscribe(packet).encode(Version::V5, &mut subscribe).expect("a packet");
    let mut asked = 0;
    while world.may_read(link) {
        world.send(link, &subscribe);
        asked += 1;
        assert!(asked <= 20, "{asked} answers wait for the disk, and the limit is 1000 bytes");
    }
    world.flush();
    assert!(world.may_read(link), "the answers have left");
}

fn connect(world: &mut World, session_expiry: u32) -> LinkId {
    let connect = Connect {
        version: Version::V5,
        client_id: "a",
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties {
            session_expiry: Some(session_expiry),
            ..ConnectProperties::default()
        },
    };
    let stated =
        Permissions { rules: Vec::new(), fallback: Fallback::Allow, source: "test".into() };
    let all = PermissionSet::compile(&stated).expect("valid");
    let door = world.connect(&Login {
        connect: &connect,
        principal: "a",
        permissions: Arc::new(all),
        valid_for_ms: None,
        limits: auth::Limits::default(),
        authentication_data: None,
        will_verdict: None,
        will_interception: None,
    });
    let Door::Open(link) = door else { panic!("it is let in") };
    link
}

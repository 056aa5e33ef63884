//! Limits that only the shell can keep, because they stop it from reading.
#![allow(clippy::expect_used, reason = "a test ends where it cannot go on")]

use std::sync::Arc;

use auth::PermissionSet;
use broker::Settings;
use mqtt::{Connect, ConnectProperties, Packet, Version};
use portcullis_simulation::{Door, Login, World};

/// Simulation, seed 53: PINGREQ after PINGREQ, and nobody reads the answers.
#[test]
fn whoever_reads_no_answers_is_not_read() {
    let settings = Settings { max_outbox_bytes: 100, ..Settings::default() };
    let mut world = World::new(settings, 1);
    let connect = Connect {
        version: Version::V5,
        client_id: "a",
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    };
    let door = world.connect(&Login {
        connect: &connect,
        principal: "a",
        permissions: Arc::new(PermissionSet::deny_all("test")),
        valid_for_ms: None,
        authentication_data: None,
        will_verdict: None,
    });
    let Door::Open(link) = door else { panic!("it is let in") };
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

//! What reaches beyond an extension's instances is in a recording, and in a replay comes from nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::sync::Arc;
use std::time::Duration;

use guest::{ACCEPT, Guest};
use portcullis_extension_host::{Capability, Extension, Facilities, RecordedCall, Replayed};
use support::client;
use support::outside::{
    Server, Store, Taken, asking, disconnecting, importing, judged, keeping, load, ordering,
    publishing, reading, replacing, requesting, served, setting,
};

const KEY: [u8; 32] = [7; 32];
const PASSWORD: &str = "correct horse battery staple";

/// What there is to reach, and what came of it.
#[derive(Default)]
struct World {
    store: Arc<Store>,
    taken: Arc<Taken>,
    server: Option<Arc<Server>>,
}

impl World {
    fn facilities(&mut self) -> Facilities {
        let (http, server) = served(Duration::ZERO);
        self.server = Some(server);
        Facilities { http: http.http, orders: ordering(&self.taken).orders, ..keeping(&self.store) }
    }

    /// How often something was kept, sent or ordered.
    fn touched(&self) -> [usize; 3] {
        let asked = self.server.as_ref().map_or(0, |server| server.asked.lock().unwrap().len());
        [self.store.waits.lock().unwrap().len(), asked, self.taken.0.lock().unwrap().len()]
    }
}

fn granted(guest: &Guest, facilities: Facilities) -> Extension {
    load(guest, &[Capability::KeyValue, Capability::Http, Capability::Broker], facilities)
}

/// The line of a recorded call of the guest.
fn recorded(guest: &Guest, world: &mut World) -> String {
    let extension = granted(guest, world.facilities());
    extension.record(Duration::from_secs(3600), Some(KEY)).unwrap();
    extension.authenticate(&client("c1"), Some(PASSWORD.as_bytes())).result.unwrap();
    let part = extension.take_recording(usize::MAX).unwrap();
    assert_eq!((part.lines.len(), part.lost), (1, 0));
    part.lines.into_iter().next().unwrap()
}

/// What comes of it in a replay with another guest, for whom there is all that there was for the first.
fn replayed(line: &str, guest: &Guest, world: &mut World) -> Replayed {
    let facilities = world.facilities();
    let before = world.touched();
    let call = RecordedCall::parse(line).unwrap();
    let replayed = granted(guest, facilities).replay(&call);
    assert_eq!(world.touched(), before, "a replay touches nothing");
    replayed
}

#[test]
fn what_came_from_outside_comes_from_the_recording() {
    let mut world = World::default();
    world.store.values.lock().unwrap().insert("k".to_owned(), b"value".to_vec());
    for (guest, touches) in [
        (reading(), [0, 0, 0]),
        (asking("auth"), [0, 1, 0]),
        (asking("other"), [0, 0, 0]),
        (disconnecting("c2", 0x98), [0, 0, 1]),
        (disconnecting("c2", 0x00), [0, 0, 0]),
        (replacing("a/#", 0), [0, 0, 1]),
        (publishing("a/b"), [0, 0, 1]),
        (setting(), [1, 0, 0]),
    ] {
        let before = world.touched();
        let line = recorded(&guest, &mut world);
        let after = world.touched();
        assert_eq!([0, 2].map(|at| after[at] - before[at]), [touches[0], touches[2]]);
        assert_eq!(after[1], touches[1]);
        world.store.values.lock().unwrap().clear();
        let same = replayed(&line, &guest, &mut world);
        assert!(same.same && same.outside.is_empty() && same.improvised == 0, "{same:?}");
        assert_eq!(same.before, same.now);
    }
}

#[test]
fn what_the_recording_does_not_have_is_a_difference_with_a_name() {
    let mut world = World::default();
    let nothing = recorded(&Guest::authenticator(ACCEPT), &mut world);
    let asked = recorded(&asking("auth"), &mut world);
    let set = recorded(&setting(), &mut world);
    let published = recorded(&publishing("a/b"), &mut world);
    let lacks = |what: &str| format!("asked for {what}, which the recording does not have");
    let leaves_out = |what: &str| format!("did not ask for {what}, which the recording has");
    let post = requesting("auth", "POST", "/x", "(i32.const 0) (i32.const 1)");
    for (line, guest, differences) in [
        (&nothing, asking("auth"), vec![lacks("http GET /x")]),
        (&nothing, reading(), vec![lacks("key-value get k")]),
        (&nothing, setting(), vec![lacks("key-value set k")]),
        (&nothing, publishing("a b"), vec![lacks("broker publish \"a b\"")]),
        (&nothing, disconnecting("c2", 0x98), vec![lacks("broker disconnect c2")]),
        (&nothing, replacing("#", 1), vec![lacks("broker replace-permissions c9")]),
        (&asked, asking("other"), vec![lacks("http GET /x with another connection")]),
        (&asked, post, vec![lacks("http POST /x")]),
        (&asked, Guest::authenticator(ACCEPT), vec![]),
        (&set, Guest::authenticator(ACCEPT), vec![leaves_out("key-value set k")]),
        (
            &published,
            publishing("a/c"),
            vec![lacks("broker publish a/c"), leaves_out("broker publish a/b")],
        ),
    ] {
        let replayed = replayed(line, &guest, &mut world);
        assert_eq!(replayed.outside, differences);
        assert_eq!(
            (replayed.same, replayed.improvised),
            (differences.is_empty(), 0),
            "{replayed:?}"
        );
    }
}

#[test]
fn an_order_that_is_given_twice_is_one_more() {
    let mut world = World::default();
    let guest = disconnecting("c2", 0x98);
    let line = recorded(&guest, &mut world);
    let twice = guest.authenticate_body().repeat(2);
    let replayed = replayed(&line, &guest.with_authenticate(&twice), &mut world);
    let more = "asked for broker disconnect c2 once more, which the recording does not have";
    assert_eq!(replayed.outside, [more]);
}

#[test]
fn a_password_that_is_sent_on_is_not_in_the_recording_and_is_recognised() {
    let mut world = World::default();
    let with_password =
        requesting("auth", "POST", "/x", "(local.get $secret) (local.get $secret_len)");
    let line = recorded(&with_password, &mut world);
    assert!(!line.contains("correct horse"), "{line}");
    assert!(line.contains("\"/x\"") && line.contains("\"body\":\"body\""), "{line}");
    let server = world.server.clone().unwrap();
    assert_eq!(server.asked.lock().unwrap()[0].body, PASSWORD.as_bytes(), "the server got it");
    let same = replayed(&line, &with_password, &mut world);
    assert!(same.same, "{same:?}");
    let with_half = requesting("auth", "POST", "/x", "(local.get $secret) (i32.const 9)");
    let other = replayed(&line, &with_half, &mut world);
    let difference = "asked for http POST /x with another body, which the recording does not have";
    assert_eq!(other.outside, [difference]);

    // Kept under the password, and as a value.
    let mut guest = Guest::authenticator("");
    let key = guest.put(b"k");
    let secret = "(local.get $secret) (local.get $secret_len)";
    let at = support::outside::AT;
    let call = format!("(call $set {secret} (i32.const {key}) (i32.const 1) (i32.const {at}))");
    let keeps = importing(guest.with_authenticate(&judged(&call)), support::outside::SET);
    let line = recorded(&keeps, &mut world);
    assert!(!line.contains("correct horse"), "{line}");
    assert!(replayed(&line, &keeps, &mut world).same);
}

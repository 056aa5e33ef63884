use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode};
use portcullis_durability::{Refused, Rule};
use portcullis_tests::{Client, PATIENCE, Received};

use crate::scene::{
    ACCEPTED, Answer, KEPT, LIVE, Pair, Scene, answer, assert_kept, payload, publish, said, take,
};

/// How long the file system stays read-only.
const WHILE: Duration = Duration::from_millis(1500);

/// Who needs nothing written is let in and served, what waits is delivered; everybody else waits until something can be
/// written again.
#[test]
fn a_file_system_that_becomes_read_only() {
    let scene = Scene::new("");
    let mut gateway = scene.start();
    scene.absent("absent");
    scene.absent("other");
    let mut publisher = scene.client("publisher");
    let mut acknowledged = BTreeSet::new();
    for number in 0..20 {
        let answer = publish(&mut publisher, KEPT, &payload(number, 64), QoS::AtLeastOnce);
        assert_eq!(answer, ACCEPTED);
        acknowledged.insert(number);
    }

    println!("read-only file system, at run time:");
    let mark = gateway.log.mark();
    scene.disk.set(Rule::ReadOnly, 1);
    publisher.publish(KEPT, &payload(20, 64), QoS::AtLeastOnce, false);
    said(
        &gateway,
        mark,
        "commit failed; nothing that depends on it is acknowledged until it succeeds",
    );
    let began = Instant::now();
    let mut live = Pair::new(&scene, "live", false);
    println!("  two clients without a durable session are in after {} ms", ms(began));
    live.exchange(LIVE);
    live.pass(LIVE);
    println!("  online QoS 1 {}", live.take_times());

    let (mut fresh, early) = attempt(&scene, "fresh");
    println!("  a new durable session hears within 300 ms: {early:?}");
    assert_eq!(early, None, "it is not on disk");
    let (mut absent, early) = attempt(&scene, "absent");
    println!("  a durable session that comes back hears within 300 ms: {early:?}");
    let came = early.is_some();
    if came {
        let message = absent.receive_within(Duration::from_millis(300));
        println!("  and its first message: {}", message.is_some());
    }
    while began.elapsed() < WHILE {
        live.exchange(LIVE);
    }
    assert_eq!(answer(&mut publisher, Duration::from_millis(1)), Answer::Nothing);
    println!(
        "  metrics: store_failures={} store_read_failures={} (refused by the disk: {})",
        gateway.counters().get("store_failures"),
        gateway.counters().get("store_read_failures"),
        scene.disk.refused(Refused::ReadOnly)
    );

    scene.disk.set(Rule::ReadOnly, 0);
    let mended = Instant::now();
    assert_eq!(answer(&mut publisher, PATIENCE), ACCEPTED);
    acknowledged.insert(20);
    assert_eq!(fresh.receive(), Received::ConnAck(ReasonCode::Success, false));
    println!("  everybody was answered {} ms after it became writable", ms(mended));
    if !came {
        assert_eq!(absent.receive(), Received::ConnAck(ReasonCode::Success, true));
    }
    drop(absent);
    let got = scene.drain("absent", &acknowledged);
    println!("  the one that came meanwhile got {} of {}", got.len(), acknowledged.len());
    let got = scene.drain("other", &acknowledged);
    assert_kept(&acknowledged, &got, "  read-only");
    gateway.assert_sound();
}

/// Connects with a session that outlives its connection; gives what is heard soon.
fn attempt(scene: &Scene, client_id: &str) -> (Client, Option<Received>) {
    let options = scene.stage.options(client_id).persistent();
    let mut client = options.knock().expect("the gateway accepts connections");
    let early = client.receive_within(Duration::from_millis(300));
    (client, early)
}

fn ms(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// A gateway that cannot write to its store does not start, and says what is to be done. Mended, it starts.
#[test]
fn a_store_that_cannot_be_written_at_start() {
    let scene = Scene::new("");
    for made in [false, true] {
        scene.disk.set(Rule::ReadOnly, 1);
        let mut gateway = scene.stage.launch_on(&scene.disk);
        let status = gateway.ended();
        let text = gateway.log.text();
        let last = text.lines().last().unwrap_or_default();
        println!("read-only file system, at start, store made before={made}: {status}\n  {last}");
        assert_eq!(status.code(), Some(1), "{text}");
        let store = scene.stage.store();
        assert!(last.contains(&store.display().to_string()), "which path: {last}");
        assert!(last.contains("read-only"), "why: {last}");
        assert!(last.contains("store.path"), "what to do: {last}");
        scene.disk.set(Rule::ReadOnly, 0);
        let mut gateway = scene.start();
        scene.absent("absent");
        assert!(
            take(&mut scene.stage.options("absent").persistent().connect(), &BTreeSet::new())
                .is_empty()
        );
        gateway.assert_sound();
        assert!(gateway.stop().0.success());
    }
}

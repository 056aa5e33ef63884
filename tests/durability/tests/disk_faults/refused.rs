use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_durability::{EIO, Refused, Rule};
use portcullis_tests::{Client, PATIENCE, Received};

use crate::scene::{ACCEPTED, Answer, KEPT, LIVE, Pair, Scene, answer, assert_kept, payload, said};

const FAILED: &str = "commit failed; nothing that depends on it is acknowledged until it succeeds";

/// How long the disk refuses.
const WHILE: Duration = Duration::from_millis(1500);

/// An I/O error promises nothing: what was written may be gone. It is written and synced again, and only then
/// acknowledged.
#[test]
fn an_io_error() {
    let scene = Scene::new("");
    let mut acknowledged = BTreeSet::new();
    {
        let gateway = scene.start();
        scene.absent("absent");
        let mut live = Pair::new(&scene, "live", false);
        let mut publisher = scene.client("publisher");

        let mark = gateway.log.mark();
        scene.disk.set(Rule::SyncErrors, 1);
        scene.disk.set(Rule::SyncError, EIO);
        let began = Instant::now();
        publisher.publish(KEPT, &payload(0, 64), QoS::AtLeastOnce, false);
        assert_eq!(answer(&mut publisher, PATIENCE), ACCEPTED);
        acknowledged.insert(0);
        println!(
            "EIO: one sync failed, PUBACK after {} ms, syncs refused={}",
            began.elapsed().as_millis(),
            scene.disk.refused(Refused::Syncs)
        );
        said(&gateway, mark, FAILED);
        assert_eq!(scene.disk.refused(Refused::Syncs), 1);

        for (rule, from) in [(Rule::SyncError, 1_000), (Rule::WriteError, 2_000)] {
            let mark = gateway.log.mark();
            scene.disk.set(Rule::SyncErrors, -1);
            scene.disk.set(rule, EIO);
            let numbers = from..from + 50;
            send(&mut publisher, numbers.clone());
            let began = Instant::now();
            while began.elapsed() < WHILE {
                live.exchange(LIVE);
                thread::sleep(Duration::from_millis(20));
            }
            let early = answer(&mut publisher, Duration::from_millis(1));
            assert_eq!(early, Answer::Nothing, "{rule:?}: nothing may be acknowledged");
            scene.disk.set(rule, 0);
            let mended = Instant::now();
            for number in numbers {
                assert_eq!(answer(&mut publisher, PATIENCE), ACCEPTED, "{number}");
                acknowledged.insert(number);
            }
            println!(
                "EIO: {rule:?} for 1.5 s: 0 of 50 acknowledged meanwhile, all 50 {} ms after it; online QoS 1 {}",
                mended.elapsed().as_millis(),
                live.take_times()
            );
            said(&gateway, mark, FAILED);
        }
        let counters = gateway.counters();
        println!("  metrics: store_failures={}", counters.get("store_failures"));
        assert!(counters.get("store_failures") >= 3);
        gateway.kill();
    }
    let mut gateway = scene.start();
    let got = scene.drain("absent", &acknowledged);
    assert_kept(&acknowledged, &got, "  EIO, kill -9, restart");
    gateway.assert_sound();
}

/// A queue that cannot be read waits; it goes on by itself when it can.
#[test]
fn a_queue_that_cannot_be_read() {
    const MESSAGES: u64 = 40;
    let scene = Scene::new("");
    {
        let gateway = scene.start();
        scene.absent("absent");
        let mut publisher = scene.client("publisher");
        send(&mut publisher, 0..MESSAGES);
        (0..MESSAGES).for_each(|_| assert_eq!(answer(&mut publisher, PATIENCE), ACCEPTED));
        assert!(gateway.stop().0.success());
    }
    let mut gateway = scene.start();
    let mark = gateway.log.mark();
    scene.disk.set(Rule::ReadError, EIO);
    let mut client = scene.stage.options("absent").persistent().connect();
    let early = client.receive_within(Duration::from_millis(1200));
    assert_eq!(early, None, "nothing can be read");
    println!("unreadable queue: CONNACK, and no message for 1.2 s");
    said(&gateway, mark, "queue could not be read; what waits in it is delivered when it can");
    // Whoever needs no disk is served meanwhile, and so is who needs it for writing.
    let mut live = Pair::new(&scene, "live", false);
    live.exchange(LIVE);
    let mut other = scene.stage.options("other").persistent().connect();
    assert!(!other.subscribe("other/#", QoS::AtLeastOnce).is_error());
    let failures = gateway.counters().get("store_read_failures");
    assert!(failures >= 1);
    scene.disk.set(Rule::ReadError, 0);
    let mended = Instant::now();
    let first = client.message();
    println!(
        "  store_read_failures={failures}; the first message comes {} ms after the disk reads again",
        mended.elapsed().as_millis()
    );
    assert_eq!(first.payload, payload(0, 64));
    let mut got = vec![0];
    while got.len() < MESSAGES as usize {
        match client.receive() {
            Received::Publish(message) => {
                client.acknowledge(&message).expect("the connection is there");
                got.push(portcullis_tests::number(&message.payload));
            }
            other => panic!("{other:?} instead of a message"),
        }
    }
    assert_kept(&(0..MESSAGES).collect(), &got, "  unreadable queue");
    gateway.assert_sound();
}

/// Publishes numbers without waiting.
fn send(publisher: &mut Client, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher.publish(KEPT, &payload(number, 64), QoS::AtLeastOnce, false);
    }
}

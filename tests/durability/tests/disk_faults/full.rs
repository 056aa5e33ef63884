use std::collections::BTreeSet;

use mqtt::QoS;
use portcullis_durability::{Refused, Rule};
use portcullis_tests::Client;

use crate::scene::{
    ACCEPTED, Answer, KEPT, LIVE, Pair, REFUSED, Scene, assert_kept, payload, publish, said,
};

const FULL: &str =
    "disk is full; publishes that would have to be kept are refused, what waits is delivered";
const SPACE: &str = "disk has space again";

/// What is acknowledged is kept; what cannot be kept is refused; what need not be kept goes on. Space that comes back is
/// used without a restart.
#[test]
fn a_full_disk() {
    let scene = Scene::new("");
    let gateway = scene.start();
    scene.absent("absent");
    let mut live = Pair::new(&scene, "live", false);
    let mut quick = Pair::new(&scene, "quick", true);
    let mut publisher = scene.client("publisher");
    let mut acknowledged = BTreeSet::new();
    let mark = gateway.log.mark();
    let last = fill(&scene, &mut publisher, &mut acknowledged);
    assert_eq!(last, REFUSED);
    said(&gateway, mark, FULL);
    let counters = gateway.counters();
    assert!(!counters.holds("store_reserve_held"), "the reserve was given up");

    // Full: each kind of publish, several times.
    for round in 0..5 {
        let kept = payload(10_000 + round, 64);
        assert_eq!(publish(&mut publisher, KEPT, &kept, QoS::AtLeastOnce), REFUSED);
        assert_eq!(publish(&mut publisher, KEPT, &kept, QoS::ExactlyOnce), REFUSED);
        let mut old = scene.old_client(&format!("old-{round}"));
        let answers = publish(&mut old, KEPT, &kept, QoS::AtLeastOnce);
        assert_eq!(answers, Answer::Closed, "3.1.1 cannot hear why");
        let mut old = scene.old_client(&format!("old-{round}"));
        assert_eq!(publish(&mut old, KEPT, &kept, QoS::ExactlyOnce), Answer::Closed);
        publisher.publish(KEPT, &kept, QoS::AtMostOnce, false);
        live.exchange(LIVE);
        live.pass(LIVE);
        quick.exchange("quick/messages");
    }
    println!("  while full, QoS 1 to a clean session: {}", live.take_times());
    println!("  while full, QoS 1 to a durable one:   {}", quick.take_times());

    // Somebody else takes what the reserve gave: now nothing at all can be written.
    scene.disk.set(Rule::Free, 0);
    let part: BTreeSet<u64> = acknowledged.iter().copied().take(10).collect();
    let mut got = scene.drain("absent", &part);
    println!("  with 0 bytes left the absent subscriber comes and gets {}", got.len());
    live.exchange(LIVE);
    let counters = gateway.counters();
    println!(
        "  metrics: limit_disk_full={} store_failures={} store_reserve_held={} (refused by the disk: {})",
        counters.get("limit_disk_full"),
        counters.get("store_failures"),
        counters.holds("store_reserve_held"),
        scene.disk.refused(Refused::Space),
    );
    assert!(counters.get("limit_disk_full") >= 21, "{counters:?}");

    scene.disk.set(Rule::Free, 1 << 30);
    said(&gateway, mark, SPACE);
    for number in 20_000..20_010 {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        assert_eq!(publish(&mut publisher, KEPT, &payload(number, 64), qos), ACCEPTED);
        acknowledged.insert(number);
    }
    let left = acknowledged.iter().copied().filter(|number| !got.contains(number)).collect();
    got.extend(scene.drain("absent", &left));
    assert_kept(&acknowledged, &got, "  full disk");
    let counters = gateway.counters();
    assert!(counters.holds("store_reserve_held"), "the reserve is there again");
    for message in [FULL, SPACE] {
        println!("  {:?} was said {} times", message, gateway.log.events(mark, message).len());
    }
}

/// Publishes until something else than success is said, which it gives.
fn fill(scene: &Scene, publisher: &mut Client, acknowledged: &mut BTreeSet<u64>) -> Answer {
    scene.disk.set(Rule::Free, 512 << 10);
    for next in 0..5_000 {
        let qos = if next % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let answer = publish(publisher, KEPT, &payload(next, 4096), qos);
        if answer != ACCEPTED {
            println!("disk full: 512 KiB free, {next} messages of 4 KiB kept, then {answer:?}");
            return answer;
        }
        acknowledged.insert(next);
    }
    ACCEPTED
}

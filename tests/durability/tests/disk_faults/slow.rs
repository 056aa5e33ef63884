use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_durability::{Refused, Rule};
use portcullis_tests::{Client, Latencies, PATIENCE};

use crate::scene::{ACCEPTED, KEPT, LIVE, Pair, Scene, answer, assert_kept, payload, publish};

/// How long a flush takes.
const FLUSH: Duration = Duration::from_secs(2);

/// How long the flood meets a slow disk.
const FLOOD: Duration = Duration::from_secs(7);
/// Messages of 4 KiB from each of the publishers of the flood.
const MESSAGES: u64 = 500;

/// What waits for the disk waits for it; whatever does not goes on as if there were none.
#[test]
fn a_slow_disk() {
    let scene = Scene::new("max-pending = \"1 MiB\"");
    let mut gateway = scene.start();
    scene.absent("absent");
    let mut online = Online::new(&scene);
    scene.disk.set(Rule::DelayMs, i64::try_from(FLUSH.as_millis()).expect("a short time"));
    let mut acknowledged = BTreeSet::new();

    println!("slow disk: each flush takes 2 s");
    online.during("nobody floods", || {
        let mut publisher = scene.client("publisher");
        for number in 0..2 {
            let began = Instant::now();
            let answer = publish(&mut publisher, KEPT, &payload(number, 64), QoS::AtLeastOnce);
            assert_eq!(answer, ACCEPTED);
            let took = began.elapsed();
            println!("  PUBACK for an absent subscriber after {} ms", took.as_millis());
            assert!(took + Duration::from_millis(50) >= FLUSH, "acknowledged after {took:?}");
            acknowledged.insert(number);
        }
    });

    let resident = gateway.meter().resident_kib();
    let (grown, early) = online.during("6 MiB arrive, 1 MiB may wait", || {
        thread::scope(|scope| {
            let flood = |index| {
                scope.spawn({
                    let scene = &scene;
                    move || flood(scene, index)
                })
            };
            let floods: Vec<_> = (1..4).map(flood).collect();
            thread::sleep(FLOOD);
            let (early, now) = (gateway.counters(), gateway.meter().resident_kib());
            scene.disk.set(Rule::DelayMs, 0);
            for flood in floods {
                acknowledged.extend(flood.join().expect("everything is acknowledged"));
            }
            (now.saturating_sub(resident), early)
        })
    });
    let pauses = early.get("limit_journal_bytes");
    println!(
        "  after 7 s: resident memory +{grown} KiB, limit_journal_bytes={pauses}, flushes delayed={}",
        scene.disk.refused(Refused::Delayed)
    );
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    assert!(pauses > 0, "somebody was not read for a while");

    let got = scene.drain("absent", &acknowledged);
    assert_eq!(acknowledged.len() as u64, 2 + 3 * MESSAGES);
    assert_kept(&acknowledged, &got, "  slow disk");
    gateway.assert_sound();
}

/// Publishes without waiting, then waits for all acknowledgements.
fn flood(scene: &Scene, index: u64) -> Vec<u64> {
    let mut publisher = scene.client(&format!("flood-{index}"));
    let numbers: Vec<u64> = (0..MESSAGES).map(|number| index * 100_000 + number).collect();
    for number in &numbers {
        publisher.publish(KEPT, &payload(*number, 4096), QoS::AtLeastOnce, false);
    }
    for number in &numbers {
        assert_eq!(answer(&mut publisher, PATIENCE), ACCEPTED, "{number}");
    }
    numbers
}

/// Clients that need no disk, one of them with a Keep Alive of one second.
struct Online {
    pair: Pair,
    pinger: Client,
}

impl Online {
    fn new(scene: &Scene) -> Self {
        let pinger = scene.stage.options("pinger").keep_alive(1).connect();
        Self { pair: Pair::new(scene, "live", true), pinger }
    }

    /// Keeps them going while `work` runs, and holds them to what they may expect.
    fn during<R>(&mut self, when: &str, work: impl FnOnce() -> R) -> R {
        let over = AtomicBool::new(false);
        let Self { pair, pinger } = self;
        let mut pongs = Vec::new();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    pair.exchange(LIVE);
                    thread::sleep(Duration::from_millis(5));
                }
            });
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    assert!(pinger.pings(), "the gateway let go of a client that pings");
                    pongs.push(began.elapsed());
                    thread::sleep(Duration::from_millis(300));
                }
            });
            let result = work();
            over.store(true, Ordering::Relaxed);
            result
        });
        let (times, pongs) = (pair.take_times(), Latencies::new(pongs));
        println!("  {when}: QoS 1 online {times}; PINGRESP {pongs}");
        assert!(times.percentile(99) < FLUSH / 10, "online traffic waited for the disk: {times}");
        assert!(pongs.max() < FLUSH / 2, "a ping waited for the disk: {pongs}");
        result
    }
}

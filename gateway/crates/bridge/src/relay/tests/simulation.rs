//! Two brokers, a relay between them, and cuts at any byte.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{MessagePropertiesBuf, QoS, Version};

use super::{World, settings};
use crate::{Each, Priority, Settings};

/// A small generator: a run is its seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// Connections break.
    Cuts,
    /// Upstream takes QoS 1 at most, too.
    Lowered,
    /// Upstream forgets its session at times, too.
    Amnesia,
    /// Connections end in order at times, too, and not all priorities have a conversation in the next.
    Windows,
}

/// What arrived of `count` messages: at QoS 2 once if `exact`, at QoS 1 at least once, and in order of first arrival.
fn judge(got: &[u64], count: u64, qos: impl Fn(u64) -> QoS, exact: bool, what: &str) {
    let mut seen = BTreeSet::new();
    let first: Vec<u64> = got.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert_eq!(first, (0..count).collect::<Vec<_>>(), "{what}: lost or out of order");
    for number in (0..count).filter(|number| exact && qos(*number) == QoS::ExactlyOnce) {
        let times = got.iter().filter(|got| **got == number).count();
        assert_eq!(times, 1, "{what}: {number} arrived {times} times");
    }
}

fn with(priorities: &[Priority]) -> Arc<Settings> {
    Arc::new(Settings { priorities: priorities.to_vec(), ..settings() })
}

impl World {
    /// The connection ends, in order or not, and not all priorities have a conversation in the next.
    fn passes_an_edge(&mut self, dice: &mut Dice, priorities: &[Priority]) {
        if dice.below(2) == 0 {
            self.relay.wind_up(self.now).unwrap();
            self.settle().unwrap();
            assert!(self.relay.is_wound_up(), "something is on its way");
        }
        let mut is_open =
            |priority: &&Priority| **priority == Priority::Normal || dice.below(2) == 0;
        self.priorities = priorities.iter().filter(&mut is_open).copied().collect();
        self.cut(&with(&self.priorities.clone()));
    }
}

fn run(seed: u64, version: Version, trouble: Trouble, priorities: &[Priority]) {
    let settings = with(priorities);
    let mut dice = Dice(seed * 2 + 1);
    let mut world = World::new(&settings, version);
    if trouble == Trouble::Lowered {
        world.upstream.announced.maximum_qos = Some(QoS::AtLeastOnce);
    }
    world.upstream.announced.receive_maximum = Some(7);
    let qos =
        |number: u64| if number.is_multiple_of(3) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
    let (mut out, mut back, none) = (Each::default(), 0, MessagePropertiesBuf::default());
    for _ in 0..1500 {
        match dice.below(40) {
            0..=2 => {
                let place = usize::try_from(dice.below(3)).unwrap() % priorities.len();
                let number = out.of_mut(priorities[place]);
                if *number < 200 {
                    world.local_of(priorities[place]).publish(*number, qos(*number), &none);
                    *number += 1;
                }
            }
            3..=5 if back < 200 => {
                world.upstream.publish(back, qos(back), &none);
                back += 1;
            }
            6 if trouble == Trouble::Windows => world.passes_an_edge(&mut dice, priorities),
            6 => {
                world.cut(&settings);
                if trouble == Trouble::Amnesia && dice.below(3) == 0 {
                    world.upstream.forget();
                }
            }
            _ => {
                let most = usize::try_from(1 + dice.below(90)).unwrap();
                world.flow(most).unwrap_or_else(|end| panic!("seed {seed}: {end}"));
            }
        }
    }
    world.settle().unwrap_or_else(|end| panic!("seed {seed}: {end}"));
    if trouble == Trouble::Windows {
        // All are open at last.
        world.priorities = priorities.to_vec();
        world.cut(&settings);
        world.settle().unwrap_or_else(|end| panic!("seed {seed}: {end}"));
    }
    assert!(world.upstream.is_settled(), "seed {seed}: something waits there");
    let v5_lowered = trouble == Trouble::Lowered;
    for priority in priorities {
        let topic = match priority {
            Priority::High => "site/up/high",
            Priority::Normal => "site/up/x",
            Priority::Low => "site/up/low",
        };
        assert!(world.local_of(*priority).is_settled(), "seed {seed}: something waits here");
        judge(
            &world.upstream.numbers_of(topic),
            *out.of(*priority),
            qos,
            matches!(trouble, Trouble::Cuts | Trouble::Windows),
            &format!("out, {priority:?}, seed {seed}"),
        );
    }
    // Upstream's own state of what it sends goes with its session, so nothing is promised without it; here it keeps that.
    judge(&world.local.numbers(), back, qos, true, &format!("in, seed {seed}"));
    assert!(!v5_lowered || world.upstream.got.iter().all(|(.., qos, _)| *qos < QoS::ExactlyOnce));
    let all = world.upstream.got.iter().all(|(topic, ..)| topic.starts_with("site/up/"));
    assert!(all, "seed {seed}: {:?}", world.upstream.got);
}

#[test]
fn whatever_breaks_nothing_is_lost_and_what_is_exactly_once_stays_so() {
    for seed in 0..150 {
        for version in [Version::V5, Version::V3_1_1] {
            run(seed, version, Trouble::Cuts, &[Priority::Normal]);
        }
    }
}

#[test]
fn each_priority_keeps_its_promises_beside_the_others() {
    for seed in 0..60 {
        for version in [Version::V5, Version::V3_1_1] {
            run(seed, version, Trouble::Cuts, &Priority::ALL);
        }
        run(seed, Version::V5, Trouble::Cuts, &[Priority::Normal, Priority::Low]);
    }
}

#[test]
fn what_rests_at_times_keeps_its_promises_too() {
    for seed in 0..50 {
        for version in [Version::V5, Version::V3_1_1] {
            run(seed, version, Trouble::Windows, &Priority::ALL);
        }
    }
}

#[test]
fn lowered_messages_arrive_at_least_once() {
    for seed in 0..150 {
        run(seed, Version::V5, Trouble::Lowered, &Priority::ALL);
        run(seed, Version::V5, Trouble::Lowered, &[Priority::Normal]);
    }
}

#[test]
fn an_upstream_that_forgets_what_it_received_gets_everything() {
    for seed in 0..150 {
        run(seed, Version::V5, Trouble::Amnesia, &Priority::ALL);
        run(seed, Version::V5, Trouble::Amnesia, &[Priority::Normal]);
    }
}

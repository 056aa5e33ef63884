//! What goes upstream is looked at before.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{MessagePropertiesBuf, QoS, Version};

use super::simulation::Dice;
use super::{World, settings};
use crate::{Event, Passing, Ruling, TRAIL_PROPERTY};

fn plain() -> MessagePropertiesBuf {
    MessagePropertiesBuf::default()
}

fn number(passing: &Passing) -> u64 {
    std::str::from_utf8(&passing.payload).unwrap().parse().unwrap()
}

/// The same message with another number.
fn numbered(passing: &Passing, number: u64) -> Passing {
    let payload = number.to_string().into_bytes().into();
    Passing { payload, properties: Box::default(), ..passing.clone() }
}

/// What becomes of a message: of each ten one is discarded, one refused, one changed, one split.
pub(super) fn ruling(passing: &Passing) -> Ruling {
    let number = number(passing);
    match number % 10 {
        1 => Ruling::Discard,
        2 => Ruling::Refuse("it is even".to_owned()),
        3 => Ruling::Replace(vec![numbered(passing, number + 10_000)]),
        4 => {
            Ruling::Replace((1..=3).map(|part| numbered(passing, number + part * 10_000)).collect())
        }
        _ => Ruling::Pass,
    }
}

/// The numbers under which it arrives.
pub(super) fn arrivals(number: u64) -> Vec<u64> {
    match number % 10 {
        1 | 2 => Vec::new(),
        3 => vec![number + 10_000],
        4 => (1..=3).map(|part| number + part * 10_000).collect(),
        _ => vec![number],
    }
}

fn world(version: Version) -> World {
    let mut world = World::new(&Arc::new(settings()), version);
    world.reviewed_by(ruling);
    world.settle().unwrap();
    world
}

#[test]
fn messages_are_discarded_refused_changed_and_split() {
    for (version, qos) in [
        (Version::V5, QoS::AtLeastOnce),
        (Version::V5, QoS::ExactlyOnce),
        (Version::V3_1_1, QoS::ExactlyOnce),
    ] {
        let mut world = world(version);
        for number in 0..10 {
            world.local.publish(number, qos, &plain().user(TRAIL_PROPERTY, "a").unwrap());
        }
        world.settle().unwrap();
        let wanted: Vec<u64> = (0..10).flat_map(arrivals).collect();
        assert_eq!(world.upstream.numbers(), wanted, "{version:?} {qos:?}");
        assert_eq!(world.local.numbers(), [2], "the one that is refused is a dead letter");
        assert!(world.local.is_settled());
        let counts = *world.relay.counts();
        assert_eq!((counts.discarded, counts.refused, counts.sent), (1, 1, 10));
        let event = world.relay.poll_event();
        assert!(matches!(event, Some(Event::Refused { why, .. }) if why == "it is even"));
        let parts = world.upstream.got.iter().filter(|(_, n, ..)| n % 10 == 4);
        assert!(parts.clone().all(|(.., qos, _)| *qos == QoS::AtLeastOnce), "{:?}", parts);
    }
}

#[test]
fn what_takes_the_place_of_a_message_has_its_trail() {
    let mut world = world(Version::V5);
    world.local.publish(3, QoS::AtLeastOnce, &plain().user(TRAIL_PROPERTY, "a").unwrap());
    world.settle().unwrap();
    assert_eq!(world.upstream.user, [(TRAIL_PROPERTY.to_owned(), "a,here".to_owned())]);
}

#[test]
fn a_part_that_upstream_refuses_makes_a_dead_letter_of_the_whole() {
    let mut world = world(Version::V5);
    world.upstream.refuses.insert(20_004);
    for number in 4..7 {
        world.local.publish(number, QoS::ExactlyOnce, &plain());
    }
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [10_004, 5, 6]);
    assert_eq!(world.local.numbers(), [4]);
    assert!(world.local.is_settled());
}

#[test]
fn messages_from_upstream_pass_while_somebody_thinks() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.settle().unwrap();
    world.relay.show(vec![mqtt::TopicFilter::new("up/#").unwrap().to_owned()].into());
    world.local.publish(1, QoS::AtLeastOnce, &plain());
    for number in 0..60 {
        world.upstream.publish(number, QoS::ExactlyOnce, &plain());
    }
    world.settle().unwrap();
    assert_eq!(world.local.numbers().len(), 60);
    assert!(world.upstream.is_settled() && world.upstream.got.is_empty());
    let question = world.relay.poll_question().unwrap();
    assert_eq!((number(&question), question.topic.as_str()), (1, "up/x"));
    world.relay.handle_ruling(world.now, Ruling::Pass).unwrap();
    world.relay.handle_ruling(world.now, Ruling::Discard).unwrap();
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [1], "nobody was asked for the second ruling");
}

#[test]
fn whatever_breaks_what_is_wanted_arrives_in_order() {
    let settings = Arc::new(settings());
    for seed in 0..150 {
        let mut dice = Dice(seed * 2 + 1);
        let mut world = world(Version::V5);
        let qos = |number: u64| match number % 3 {
            0 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let mut out = 0;
        for _ in 0..1500 {
            match dice.below(40) {
                0..=3 if out < 200 => {
                    world.local.publish(out, qos(out), &plain());
                    out += 1;
                }
                4 => world.cut(&settings),
                _ => {
                    let most = usize::try_from(1 + dice.below(90)).unwrap();
                    world.flow(most).unwrap_or_else(|end| panic!("seed {seed}: {end}"));
                }
            }
        }
        world.settle().unwrap_or_else(|end| panic!("seed {seed}: {end}"));
        assert!(world.local.is_settled(), "seed {seed}: something waits");
        let mut seen = BTreeSet::new();
        let got = world.upstream.numbers();
        let first: Vec<u64> = got.iter().copied().filter(|number| seen.insert(*number)).collect();
        let wanted: Vec<u64> = (0..out).flat_map(arrivals).collect();
        assert_eq!(first, wanted, "seed {seed}: lost or out of order");
        let twice = |number: &&u64| got.iter().filter(|other| other == number).count() > 1;
        let exact = |number: &&u64| **number < 10_000 && qos(**number) == QoS::ExactlyOnce;
        assert_eq!(first.iter().filter(exact).find(twice), None, "seed {seed}");
        let letters: BTreeSet<u64> = world.local.numbers().into_iter().collect();
        assert_eq!(letters, (0..out).filter(|number| number % 10 == 2).collect(), "seed {seed}");
    }
}

//! Messages go together, and smaller.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessagePropertiesBuf, PacketId, Publish, QoS, ReasonCode, TopicName, Version};

use super::reviews::{arrivals, ruling};
use super::simulation::Dice;
use super::{World, settings};
use crate::envelope;
use crate::{BATCH_CONTENT_TYPE, Batch, ENCODING_PROPERTY, Packing, Settings, TRAIL_PROPERTY};

fn plain() -> MessagePropertiesBuf {
    MessagePropertiesBuf::default()
}

/// What goes out goes in batches of five, by the topic `all`; what comes by `site/down/x` may be one.
fn batching(compress_from: Option<usize>) -> Arc<Settings> {
    let mut settings = settings();
    let batch = Batch {
        topic: TopicName::new("all").unwrap().to_owned(),
        max_messages: 5,
        max_bytes: 400,
        max_delay: Duration::from_millis(100),
    };
    settings.outward[0].packing = Packing { compress_from, batch: Some(batch), unbatch: false };
    let mut unbatching = settings.inward[0].clone();
    unbatching.packing.unbatch = true;
    settings.inward.insert(0, unbatching);
    Arc::new(settings)
}

fn world(settings: &Arc<Settings>) -> World {
    let mut world = World::new(settings, Version::V5);
    world.settle().unwrap();
    world
}

/// Lets time pass until nothing waits.
fn wait(world: &mut World) {
    for _ in 0..200 {
        world.settle().unwrap();
        world.now = world.now.after(Duration::from_millis(50));
        world.relay.handle_deadline(world.now).unwrap();
    }
    world.settle().unwrap();
}

#[test]
fn messages_go_together_when_they_are_many_or_have_waited() {
    let mut world = world(&batching(None));
    for number in 0..7 {
        world.local.publish(number, QoS::AtLeastOnce, &plain());
    }
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [0, 1, 2, 3, 4], "the rest waits for more");
    assert_eq!(world.upstream.batches, 1);
    assert!(!world.local.is_settled());
    let due = world.relay.next_deadline();
    assert_eq!(due, Some(world.now.after(Duration::from_millis(100))));
    world.now = due.unwrap();
    world.relay.handle_deadline(world.now).unwrap();
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), (0..7).collect::<Vec<_>>());
    assert!(world.local.is_settled());
    assert_eq!((world.upstream.batches, world.relay.counts().batches), (2, 2));
    assert_eq!(world.upstream.got[0].0, "site/up/x", "each has its own topic");
    assert_eq!(world.relay.counts().confirmed, 7);
}

#[test]
fn what_does_not_go_along_is_not_overtaken() {
    let mut world = world(&batching(None));
    world.local.publish(0, QoS::AtLeastOnce, &plain());
    world.local.publish(1, QoS::ExactlyOnce, &plain());
    world.local.publish(2, QoS::AtLeastOnce, &plain());
    // It is larger than a batch may be.
    world.local.publish(3, QoS::AtLeastOnce, &plain().user("a", &"x".repeat(500)).unwrap());
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [0, 1, 2, 3]);
    assert_eq!(world.upstream.batches, 2);
    let together = plain().user("a", &"x".repeat(190)).unwrap();
    for number in 4..8 {
        world.local.publish(number, QoS::AtLeastOnce, &together);
    }
    wait(&mut world);
    assert_eq!(world.upstream.numbers(), (0..8).collect::<Vec<_>>());
    assert_eq!(world.upstream.batches, 6, "two of them would be too large");
}

#[test]
fn an_upstream_that_refuses_a_batch_makes_dead_letters_of_all_in_it() {
    let mut world = world(&batching(None));
    world.upstream.refuses.insert(2);
    for number in 0..7 {
        world.local.publish(number, QoS::AtLeastOnce, &plain());
    }
    wait(&mut world);
    assert_eq!(world.upstream.numbers(), [5, 6]);
    assert_eq!(world.local.numbers(), [0, 1, 2, 3, 4]);
    assert!(world.local.is_settled());
}

#[test]
fn where_upstream_takes_less_a_batch_is_smaller() {
    let mut world = World::new(&batching(None), Version::V5);
    world.upstream.announced.maximum_packet_size = Some(400);
    world.upstream.announced.receive_maximum = Some(4);
    world.settle().unwrap();
    for number in 0..4 {
        world.local.publish(number, QoS::AtLeastOnce, &plain());
    }
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [0, 1, 2, 3], "none waits for what cannot come");
    assert_eq!(world.upstream.batches, 2);
}

#[test]
fn an_upstream_of_3_1_1_gets_messages_as_they_are() {
    let mut world = World::new(&batching(Some(1)), Version::V3_1_1);
    world.settle().unwrap();
    world.local.publish(7, QoS::AtLeastOnce, &plain());
    world.settle().unwrap();
    assert_eq!((world.upstream.numbers(), world.upstream.batches), (vec![7], 0));
}

/// A batch as another gateway sends it.
fn batch(numbers: impl Iterator<Item = u64>, topic: &str, qos: QoS) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let payload = number.to_string();
        let topic = TopicName::new(topic).unwrap();
        let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
        let publish = Publish { qos, packet_id, ..Publish::new(topic, payload.as_bytes()) };
        envelope::append(&publish, &mut bytes).unwrap();
    }
    bytes
}

#[test]
fn a_batch_is_taken_apart_and_acknowledged_when_all_of_it_is_here() {
    let settings = batching(None);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = world(&settings);
        let described = plain().content_type(BATCH_CONTENT_TYPE).unwrap();
        let described = described.user(TRAIL_PROPERTY, "there").unwrap();
        // More than the local broker takes at a time.
        world.upstream.publish_bytes(
            batch(0..900, "site/down/y", QoS::AtLeastOnce),
            qos,
            &described,
        );
        world.upstream.publish(900, QoS::AtLeastOnce, &plain());
        while world.local.got.len() < 500 {
            world.flow(2000).unwrap();
        }
        assert!(!world.upstream.is_settled(), "not before all of it is here");
        assert_eq!(world.local.user, [(TRAIL_PROPERTY.to_owned(), "there".to_owned())]);
        world.settle().unwrap();
        assert_eq!(world.local.numbers(), (0..=900).collect::<Vec<_>>());
        assert_eq!(world.local.got[0].0, "down/y", "it has its own topic, as the rules say");
        assert!(world.upstream.is_settled());
        assert_eq!(world.relay.counts().unpacked, 1);
    }
}

#[test]
fn what_of_a_batch_has_no_place_here_is_told_upstream() {
    let mut world = world(&batching(None));
    let described = plain().content_type(BATCH_CONTENT_TYPE).unwrap();
    world.local.refuses.insert(1);
    world.upstream.publish_bytes(
        batch(0..3, "site/down/y", QoS::AtLeastOnce),
        QoS::AtLeastOnce,
        &described,
    );
    world.upstream.publish_bytes(
        batch(3..6, "elsewhere", QoS::AtLeastOnce),
        QoS::AtLeastOnce,
        &described,
    );
    world.upstream.publish_bytes(
        batch(6..8, "site/down/y", QoS::AtMostOnce),
        QoS::AtLeastOnce,
        &described,
    );
    world.upstream.publish_bytes(b"no batch".to_vec(), QoS::AtLeastOnce, &described);
    world.upstream.publish_bytes(vec![0; (1 << 20) + 1], QoS::AtLeastOnce, &described);
    let squeezed = described.user(ENCODING_PROPERTY, "deflate").unwrap();
    world.upstream.publish_bytes(b"not squeezed".to_vec(), QoS::ExactlyOnce, &squeezed);
    let bomb = envelope::squeeze(&vec![0; 2 << 20]).unwrap();
    world.upstream.publish_bytes(bomb, QoS::AtLeastOnce, &squeezed);
    world.settle().unwrap();
    assert_eq!(world.local.numbers(), [0, 2, 6, 7]);
    assert!(world.upstream.is_settled());
    let counts = world.relay.counts();
    assert_eq!((counts.unmatched, counts.refused_here, counts.unpacked), (3, 5, 3));
    let (authorized, broken) = (ReasonCode::NotAuthorized, ReasonCode::PayloadFormatInvalid);
    let success = ReasonCode::Success;
    let answers = [authorized, success, success, broken, broken, broken, broken];
    let heard: Vec<_> = world.upstream.answers.clone();
    assert_eq!(heard, answers);
}

#[test]
fn payloads_are_made_smaller_and_whole_again() {
    let mut settings = settings();
    settings.outward[0].packing.compress_from = Some(4);
    let settings = Arc::new(settings);
    let mut here = world(&settings);
    // A number with many zeros before it is a number too.
    let long = format!("{}7", "0".repeat(300));
    let text = plain().payload_format_utf8(true).user("a", "b").unwrap();
    here.local.publish_bytes(long.clone().into_bytes(), QoS::ExactlyOnce, &text);
    here.local.publish(12, QoS::ExactlyOnce, &plain());
    here.settle().unwrap();
    assert_eq!(here.upstream.numbers(), [7, 12]);
    assert!(here.relay.counts().bytes_saved > 200, "{:?}", here.relay.counts());
    assert!(!here.upstream.user.iter().any(|(name, _)| name == ENCODING_PROPERTY));

    let mut there = world(&settings);
    let squeezed = envelope::squeeze(long.as_bytes()).unwrap();
    let marked = plain().user(ENCODING_PROPERTY, "deflate; utf-8").unwrap().user("a", "b").unwrap();
    there.upstream.publish_bytes(squeezed, QoS::ExactlyOnce, &marked);
    there.settle().unwrap();
    assert_eq!(there.local.numbers(), [7]);
    assert_eq!(there.local.user, [("a".to_owned(), "b".to_owned())], "it is as it was");
    assert!(there.upstream.is_settled());
}

#[test]
fn a_message_in_a_batch_has_its_trail() {
    let mut world = world(&batching(Some(1)));
    world.local.publish(1, QoS::AtLeastOnce, &plain().user(TRAIL_PROPERTY, "a").unwrap());
    wait(&mut world);
    assert_eq!(world.upstream.user, [(TRAIL_PROPERTY.to_owned(), "a,here".to_owned())]);
}

#[test]
fn whatever_breaks_batches_lose_nothing() {
    let settings = batching(Some(100));
    for seed in 0..150 {
        let mut dice = Dice(seed * 2 + 1);
        let mut world = world(&settings);
        let (mut out, mut back) = (0, 0);
        let described = plain().content_type(BATCH_CONTENT_TYPE).unwrap();
        let qos = |number: u64| match number % 7 {
            3 => QoS::ExactlyOnce,
            _ => QoS::AtLeastOnce,
        };
        for _ in 0..1500 {
            match dice.below(40) {
                0..=3 if out < 200 => {
                    world.local.publish(out, qos(out), &plain());
                    out += 1;
                }
                4 if back < 200 => {
                    let most = back + 1 + dice.below(8);
                    let bytes = batch(back..most, "site/down/x", QoS::AtLeastOnce);
                    world.upstream.publish_bytes(bytes, QoS::AtLeastOnce, &described);
                    back = most;
                }
                5 => world.cut(&settings),
                6 => {
                    world.now = world.now.after(Duration::from_millis(dice.below(100)));
                    world.relay.handle_deadline(world.now).unwrap();
                }
                _ => {
                    let most = usize::try_from(1 + dice.below(300)).unwrap();
                    world.flow(most).unwrap_or_else(|end| panic!("seed {seed}: {end}"));
                }
            }
        }
        wait(&mut world);
        assert!(
            world.local.is_settled() && world.upstream.is_settled(),
            "seed {seed}: something waits"
        );
        for (got, count) in [(world.upstream.numbers(), out), (world.local.numbers(), back)] {
            let mut seen = BTreeSet::new();
            let first: Vec<u64> = got.into_iter().filter(|number| seen.insert(*number)).collect();
            assert_eq!(first, (0..count).collect::<Vec<_>>(), "seed {seed}: lost or out of order");
        }
        assert!(world.upstream.batches > 5, "seed {seed}");
    }
}

#[test]
fn what_is_looked_at_first_goes_along_too_and_parts_do_not_wait() {
    let settings = batching(Some(100));
    let mut world = World::new(&settings, Version::V5);
    world.reviewed_by(ruling);
    world.settle().unwrap();
    for number in 3..9 {
        world.local.publish(number, QoS::AtLeastOnce, &plain());
    }
    world.settle().unwrap();
    let wanted: Vec<u64> = [3, 4].into_iter().flat_map(arrivals).collect();
    assert_eq!(world.upstream.numbers(), wanted, "the others wait for a fifth");
    assert_eq!(world.upstream.batches, 1);
    for seed in 0..100 {
        let mut dice = Dice(seed * 2 + 1);
        let mut world = World::new(&settings, Version::V5);
        world.reviewed_by(ruling);
        let qos = |number: u64| match number % 7 {
            3 => QoS::ExactlyOnce,
            _ => QoS::AtLeastOnce,
        };
        let mut out = 0;
        for _ in 0..1200 {
            match dice.below(40) {
                0..=3 if out < 200 => {
                    world.local.publish(out, qos(out), &plain());
                    out += 1;
                }
                5 => world.cut(&settings),
                6 => {
                    world.now = world.now.after(Duration::from_millis(dice.below(100)));
                    world.relay.handle_deadline(world.now).unwrap();
                }
                _ => {
                    let most = usize::try_from(1 + dice.below(300)).unwrap();
                    world.flow(most).unwrap_or_else(|end| panic!("seed {seed}: {end}"));
                }
            }
        }
        wait(&mut world);
        assert!(world.local.is_settled(), "seed {seed}: something waits");
        let mut seen = BTreeSet::new();
        let got = world.upstream.numbers();
        let first: Vec<u64> = got.into_iter().filter(|number| seen.insert(*number)).collect();
        let wanted: Vec<u64> = (0..out).flat_map(arrivals).collect();
        assert_eq!(first, wanted, "seed {seed}: lost or out of order");
    }
}

//! A connection ends, and no message notices.

use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessagePropertiesBuf, QoS, TopicName, Version};

use super::reviews::{arrivals, ruling};
use super::{World, settings};
use crate::{Batch, Packing, Settings};

fn publish(world: &mut World, numbers: std::ops::Range<u64>, qos: QoS) {
    for number in numbers {
        world.local.publish(number, qos, &MessagePropertiesBuf::default());
    }
}

/// Messages begin to flow, and the connection is ended in the middle of that. Answers how many had arrived then.
fn end_in_the_middle(world: &mut World, settings: &Arc<Settings>) -> usize {
    for _ in 0..12 {
        world.flow(60).unwrap();
    }
    world.relay.wind_up(world.now).unwrap();
    let sent = world.relay.counts().sent;
    world.settle().unwrap();
    assert!(world.relay.is_wound_up(), "what was on its way has come to its end");
    let begun = world.relay.counts().sent - sent;
    assert!(begun <= 2, "{begun} were sent afterwards; the parts of one that is split are");
    let arrived = world.upstream.got.len();
    world.cut(settings);
    arrived
}

#[test]
fn what_is_on_its_way_ends_and_nothing_comes_twice() {
    for version in [Version::V5, Version::V3_1_1] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let settings = Arc::new(settings());
            let mut world = World::new(&settings, version);
            world.settle().unwrap();
            publish(&mut world, 0..100, qos);
            let arrived = end_in_the_middle(&mut world, &settings);
            assert!((1..100).contains(&arrived), "{arrived} {version:?} {qos:?}");
            world.settle().unwrap();
            assert_eq!(world.upstream.numbers(), (0..100).collect::<Vec<_>>());
            assert!(world.local.is_settled());
        }
    }
}

#[test]
fn what_upstream_does_not_confirm_is_not_waited_for_by_the_relay_and_comes_again() {
    let settings = Arc::new(settings());
    let mut world = World::new(&settings, Version::V5);
    world.settle().unwrap();
    world.upstream.withholds = true;
    publish(&mut world, 0..3, QoS::AtLeastOnce);
    world.settle().unwrap();
    world.relay.wind_up(world.now).unwrap();
    publish(&mut world, 3..5, QoS::AtLeastOnce);
    world.settle().unwrap();
    assert!(!world.relay.is_wound_up(), "so somebody has to lose patience");
    assert_eq!(world.upstream.numbers(), [0, 1, 2], "what comes later waits");
    world.upstream.withholds = false;
    world.cut(&settings);
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [0, 1, 2, 0, 1, 2, 3, 4]);
}

#[test]
fn a_batch_that_has_begun_is_sent() {
    let mut settings = settings();
    let batch = Batch {
        topic: TopicName::new("all").unwrap().to_owned(),
        max_messages: 50,
        max_bytes: 4000,
        max_delay: Duration::from_secs(60),
    };
    settings.outward[0].packing =
        Packing { compress_from: None, batch: Some(batch), unbatch: false };
    let settings = Arc::new(settings);
    let mut world = World::new(&settings, Version::V5);
    world.settle().unwrap();
    publish(&mut world, 0..3, QoS::AtLeastOnce);
    world.settle().unwrap();
    assert_eq!(world.upstream.batches, 0);
    world.relay.wind_up(world.now).unwrap();
    world.settle().unwrap();
    assert!(world.relay.is_wound_up());
    assert_eq!((world.upstream.batches, world.upstream.numbers()), (1, vec![0, 1, 2]));
    assert!(world.local.is_settled());
}

#[test]
fn what_is_being_decided_is_decided_again() {
    let settings = Arc::new(settings());
    let mut world = World::new(&settings, Version::V5);
    world.reviewed_by(ruling);
    world.settle().unwrap();
    publish(&mut world, 0..30, QoS::AtLeastOnce);
    end_in_the_middle(&mut world, &settings);
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), (0..30).flat_map(arrivals).collect::<Vec<_>>());
    assert!(world.local.is_settled());
}

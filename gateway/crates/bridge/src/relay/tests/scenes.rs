//! One matter each.

use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessagePropertiesBuf, PacketKind, QoS, ReasonCode, Version};
use session::Timestamp;

use super::{World, settings};
use crate::{
    Bounds, End, Event, GATEWAY_PROPERTY, Health, ProbeTerms, Relay, Settings, TRAIL_PROPERTY,
};

fn plain() -> MessagePropertiesBuf {
    MessagePropertiesBuf::default()
}

fn world() -> World {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.settle().unwrap();
    world
}

#[test]
fn messages_pass_both_ways_under_their_other_names() {
    let mut world = world();
    assert_eq!(world.terms.map(|terms| terms.receive_maximum), Some(20));
    world.local.publish(1, QoS::ExactlyOnce, &plain());
    world.upstream.publish(2, QoS::AtLeastOnce, &plain());
    world.settle().unwrap();
    assert_eq!(world.upstream.got, [("site/up/x".to_owned(), 1, QoS::ExactlyOnce, true)]);
    assert_eq!(world.upstream.user, [(TRAIL_PROPERTY.to_owned(), "here".to_owned())]);
    assert_eq!(world.local.got, [("down/x".to_owned(), 2, QoS::AtLeastOnce, true)]);
    assert_eq!(world.local.user, []);
    assert_eq!((world.relay.counts().sent, world.relay.counts().confirmed), (1, 1));
}

#[test]
fn what_upstream_announces_is_kept() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.upstream.announced.receive_maximum = Some(3);
    world.upstream.announced.maximum_qos = Some(QoS::AtMostOnce);
    world.upstream.announced.retain_available = Some(false);
    world.settle().unwrap();
    assert_eq!(world.terms.map(|terms| terms.receive_maximum), Some(3));
    for (number, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        world.local.publish(number, qos, &plain());
    }
    world.settle().unwrap();
    let all: Vec<_> =
        world.upstream.got.iter().map(|(_, n, qos, retain)| (*n, *qos, *retain)).collect();
    assert_eq!(all, [(1, QoS::AtMostOnce, false), (2, QoS::AtMostOnce, false)]);
    assert!(world.local.is_settled());
}

#[test]
fn topics_are_short_where_upstream_takes_aliases() {
    let settings = Arc::new(settings());
    let mut world = World::new(&settings, Version::V5);
    world.upstream.announced.topic_alias_maximum = Some(10);
    world.settle().unwrap();
    for round in 0..2 {
        for number in 0..3 {
            world.local.publish(round * 3 + number, QoS::AtLeastOnce, &plain());
        }
        world.settle().unwrap();
        world.cut(&settings);
        world.settle().unwrap();
    }
    assert_eq!(world.upstream.numbers(), [0, 1, 2, 3, 4, 5]);
    assert!(world.upstream.got.iter().all(|(topic, ..)| topic == "site/up/x"));
    assert_eq!(world.upstream.aliased, 4, "each connection has its own");
}

#[test]
fn what_upstream_refuses_is_a_dead_letter_and_the_rest_goes_on() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = world();
        world.upstream.refuses.insert(1);
        for number in 0..3 {
            world.local.publish(number, qos, &plain());
        }
        world.settle().unwrap();
        assert_eq!(world.upstream.numbers(), [0, 2]);
        let letters: Vec<_> =
            world.local.got.iter().map(|(topic, n, ..)| (topic.as_str(), *n)).collect();
        assert_eq!(letters, [("$bridge/b/refused/up/x", 1)]);
        assert_eq!(world.local.user[0].0, "bridge-reason");
        assert!(world.local.user[0].1.contains("0x87"), "{:?}", world.local.user);
        assert!(world.local.is_settled(), "it is done with");
        let event = world.relay.poll_event();
        assert!(matches!(event, Some(Event::Refused { topic, .. }) if topic == "up/x"));
    }
}

#[test]
fn a_letter_that_was_not_taken_over_comes_again() {
    let mut world = world();
    world.upstream.refuses.insert(0);
    world.local.publish(0, QoS::AtLeastOnce, &plain());
    while world.relay.counts().refused == 0 {
        world.flow(usize::MAX).unwrap();
    }
    world.cut(&Arc::new(settings()));
    assert!(!world.local.is_settled(), "only the letter settles it");
    world.settle().unwrap();
    assert!(world.local.is_settled());
    assert_eq!(world.local.numbers(), [0]);
}

#[test]
fn what_is_larger_than_upstream_accepts_is_a_dead_letter() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.upstream.announced.maximum_packet_size = Some(120);
    world.settle().unwrap();
    let large = plain().user("much", &"x".repeat(200)).unwrap();
    world.local.publish(1, QoS::ExactlyOnce, &large);
    world.local.publish(2, QoS::ExactlyOnce, &plain());
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [2]);
    assert_eq!(world.local.numbers(), [1]);
    assert!(world.local.is_settled());
}

#[test]
fn what_has_been_here_or_there_goes_no_further() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    let mut user = mqtt::UserPropertiesBuf::default();
    user.push(GATEWAY_PROPERTY, "there").unwrap();
    world.upstream.announced.user = Box::leak(Box::new(user)).as_ref();
    world.settle().unwrap();
    let trail = |ids: &str| plain().user(TRAIL_PROPERTY, ids).unwrap();
    for (number, ids) in (0..).zip(["a,here", "there", "a,b,c,d", "a,b"]) {
        world.local.publish(number, QoS::ExactlyOnce, &trail(ids));
        world.upstream.publish(number, QoS::ExactlyOnce, &trail(ids));
    }
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), [3]);
    assert_eq!(world.upstream.user, [(TRAIL_PROPERTY.to_owned(), "a,b,here".to_owned())]);
    assert_eq!(world.local.numbers(), [1, 3], "what has been there may come from there");
    assert_eq!(world.local.user, [(TRAIL_PROPERTY.to_owned(), "a,b,there".to_owned())]);
    assert!(world.local.is_settled() && world.upstream.is_settled());
    assert_eq!(world.relay.counts().looped, 5);
}

#[test]
fn an_upstream_that_forgot_an_open_exchange_may_use_its_identifier() {
    let mut world = world();
    world.upstream.publish(0, QoS::ExactlyOnce, &plain());
    while world.local.got.is_empty() {
        world.flow(usize::MAX).unwrap();
    }
    // The local broker holds the identifier; upstream begins anew, with the same.
    let settings = Arc::new(settings());
    let fresh = World::new(&settings, Version::V5);
    world.cut(&settings);
    world.upstream = fresh.upstream;
    world.upstream.publish(1, QoS::ExactlyOnce, &plain());
    world.settle().unwrap();
    assert_eq!(world.local.numbers(), [0, 1]);
}

#[test]
fn what_the_local_broker_refuses_is_answered_to_upstream() {
    for (version, qos) in [
        (Version::V5, QoS::AtLeastOnce),
        (Version::V5, QoS::ExactlyOnce),
        (Version::V3_1_1, QoS::AtLeastOnce),
        (Version::V3_1_1, QoS::ExactlyOnce),
    ] {
        let mut world = World::new(&Arc::new(settings()), version);
        world.settle().unwrap();
        world.local.refuses.insert(0);
        world.upstream.publish(0, qos, &plain());
        world.upstream.publish(1, qos, &plain());
        world.settle().unwrap();
        assert!(world.upstream.is_settled(), "{version:?} {qos:?}");
        assert_eq!((world.local.numbers(), world.relay.counts().refused_here), (vec![1], 1));
    }
}

#[test]
fn a_silent_upstream_is_given_up() {
    let at = |seconds: u64| Timestamp::from_unix_ms(seconds * 1000);
    let mut relay = Relay::new(Arc::new(settings()), Version::V5, at(0));
    assert_eq!(relay.next_deadline(), Some(at(5)));
    assert_eq!(relay.handle_deadline(at(5)), Err(End::Silent("CONNECT")));

    let mut world = world();
    assert_eq!(world.relay.next_deadline(), Some(at(10)));
    world.relay.handle_deadline(at(10)).unwrap();
    world.settle().unwrap();
    assert!(world.upstream.heard.contains(&PacketKind::PingReq));
    world.upstream.mute = true;
    world.now = at(11);
    world.relay.handle_deadline(at(30)).unwrap();
    world.settle().unwrap();
    assert_eq!(world.relay.handle_deadline(at(40)), Err(End::Silent("PINGREQ")));
}

#[test]
fn an_upstream_that_answers_and_routes_nothing_is_given_up() {
    let at = |seconds: u64| Timestamp::from_unix_ms(seconds * 1000);
    let topic = mqtt::TopicName::new("probe").unwrap().to_owned();
    let terms = ProbeTerms { topic, interval: Duration::from_secs(3), missing: 2 };
    let settings = Arc::new(Settings { probe: Some(terms), ..settings() });
    for version in [Version::V5, Version::V3_1_1] {
        let mut world = World::new(&settings, version);
        world.now = at(1);
        world.settle().unwrap();
        assert_eq!(world.relay.health(), Health::Healthy { round_trip: Duration::ZERO });
        assert!(matches!(world.relay.poll_event(), Some(Event::Healthy { .. })));
        world.upstream.routes = false;
        let mut end = None;
        for second in 2..60 {
            world.now = at(second);
            let deadline = world.relay.next_deadline();
            assert!(deadline.is_some_and(|due| due <= at(second + 3)), "it looks again in time");
            if let Err(over) = world.relay.handle_deadline(at(second)) {
                end = Some((second, over));
                break;
            }
            world.settle().unwrap();
        }
        // PINGRESP comes all the time.
        assert_eq!(end, Some((10, End::NotRouted { missing: 2 })));
        assert_eq!(world.relay.health(), Health::Degraded { missing: 2 });
        let counts = world.relay.counts();
        let probes = (counts.probes_sent, counts.probes_returned, counts.probes_missing);
        assert_eq!((probes, counts.received), ((3, 1, 2), 0), "probes go no further");
    }
}

#[test]
fn refusals_of_either_version_are_understood() {
    let relay = || Relay::new(Arc::new(settings()), Version::V5, Timestamp::default());
    let end = |bytes: &[u8]| relay().handle_upstream(Timestamp::default(), bytes).unwrap_err();
    assert_eq!(end(&[0x20, 2, 0, 1]), End::UnsupportedVersion);
    assert_eq!(end(&[0x20, 3, 0, 0x84, 0]), End::UnsupportedVersion);
    let code = ReasonCode::NotAuthorized;
    assert_eq!(end(&[0x20, 2, 0, 5]), End::Refused { code, reason: None });
    assert_eq!(end(&[0x20, 3, 0, 0x87, 0]), End::Refused { code, reason: None });
    assert!(matches!(end(&[0x30, 4, 0, 1, b'a', 0]), End::Unexpected(_)));
    assert!(matches!(end(&[0x00, 0]), End::Broken(_)));
}

#[test]
fn an_upstream_that_takes_qos_2_for_qos_1_is_borne() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut world = World::new(&Arc::new(settings()), version);
        world.upstream.lowers = true;
        world.settle().unwrap();
        for number in 0..3 {
            world.local.publish(number, QoS::ExactlyOnce, &plain());
            world.settle().unwrap();
        }
        let qos: Vec<_> = world.upstream.got.iter().map(|(_, n, qos, _)| (*n, *qos)).collect();
        let once = QoS::AtLeastOnce;
        assert_eq!(qos, [(0, QoS::ExactlyOnce), (1, once), (2, once)], "it is seen by the first");
        assert!(world.local.is_settled(), "{version:?}");
    }
}

#[test]
fn a_connection_that_is_closed_instead_of_answered_is_told_apart() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    assert_eq!(world.relay.upstream_closed("the end"), End::Unanswered);
    world.relay.handle_upstream(world.now, &[0x20]).unwrap();
    let end = End::Unexpected("the end".to_owned());
    assert_eq!(world.relay.upstream_closed("the end"), end, "half an answer is one");
}

#[test]
fn what_is_beyond_the_bounds_of_upstream_never_reaches_it() {
    for version in [Version::V3_1_1, Version::V5] {
        let bounds = Bounds {
            qos: QoS::AtLeastOnce,
            retains: false,
            payload: 2,
            filters_per_subscribe: 1,
            hears_refusals: false,
            ..Bounds::OF_MQTT
        };
        let mut settings = settings();
        settings.inward.push(settings.inward[0].clone());
        let settings = Arc::new(crate::Settings { bounds, ..settings });
        let mut world = World::new(&settings, version);
        world.settle().unwrap();
        let heard = |kind| world.upstream.heard.iter().filter(|one| **one == kind).count();
        assert_eq!(heard(PacketKind::Subscribe), 2);
        for number in [1, 100, 2] {
            world.local.publish(number, QoS::ExactlyOnce, &plain());
        }
        world.local.refuses.insert(7);
        world.upstream.publish(7, QoS::AtLeastOnce, &plain());
        world.settle().unwrap();
        let once = QoS::AtLeastOnce;
        let all: Vec<_> = world.upstream.got.iter().map(|(_, n, q, r)| (*n, *q, *r)).collect();
        assert_eq!(all, [(1, once, false), (2, once, false)]);
        assert_eq!(world.local.numbers(), [100], "as a dead letter");
        assert!(world.local.is_settled() && world.upstream.is_settled());
        assert_eq!(world.relay.counts().refused_here, 1);
    }
}

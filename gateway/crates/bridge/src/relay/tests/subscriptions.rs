//! What is asked of upstream, and given up.

use std::sync::Arc;

use mqtt::{PacketKind, ReasonCode, Version};

use super::{World, settings};
use crate::{Event, Settings};

fn formerly(filters: &[&str]) -> Arc<Settings> {
    let former = filters.iter().map(|filter| (*filter).to_owned()).collect();
    Arc::new(Settings { former, ..settings() })
}

#[test]
fn what_no_rule_is_for_any_more_is_given_up_where_upstream_may_know_it() {
    for version in [Version::V5, Version::V3_1_1] {
        let many: Vec<String> = (0..9).map(|number| format!("old/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let settings = formerly(&many);
        let mut world = World::new(&settings, version);
        world.settle().unwrap();
        assert!(world.upstream.unsubscribed.is_empty(), "it has no session");
        assert_eq!(world.relay.take_left(), many);
        world.cut(&settings);
        world.settle().unwrap();
        assert_eq!(world.upstream.unsubscribed, many);
        let questions = |kind| world.upstream.heard.iter().filter(|it| **it == kind).count();
        assert_eq!(questions(PacketKind::Unsubscribe), 2, "eight at a time");
        assert_eq!(world.relay.take_left(), many);
        assert!(world.relay.take_left().is_empty());
    }
}

#[test]
fn what_upstream_does_not_give_up_is_told_and_asked_again() {
    let settings = formerly(&["old/#"]);
    let mut world = World::new(&settings, Version::V5);
    world.settle().unwrap();
    assert_eq!(world.relay.take_left(), ["old/#"]);
    world.upstream.keeps = true;
    world.cut(&settings);
    world.settle().unwrap();
    let (filter, code) = ("old/#".to_owned(), ReasonCode::NotAuthorized);
    assert_eq!(world.relay.poll_event(), Some(Event::NotUnsubscribed { filter, code }));
    assert!(world.relay.take_left().is_empty());
}

#[test]
fn a_bridge_that_does_not_come_back_gives_up_everything() {
    let mut world = World::new(&Arc::new(settings()), Version::V5);
    world.relay.withdraw(world.now).unwrap();
    assert!(!world.relay.is_withdrawn(), "it is not connected");
    world.settle().unwrap();
    world.relay.withdraw(world.now).unwrap();
    world.relay.withdraw(world.now).unwrap();
    assert!(!world.relay.is_withdrawn(), "upstream has not answered");
    world.settle().unwrap();
    assert!(world.relay.is_withdrawn());
    assert_eq!(world.upstream.unsubscribed, ["site/down/#"]);
    assert_eq!(world.relay.take_left(), ["site/down/#"]);
}

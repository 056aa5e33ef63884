//! How fast messages go upstream, and which first.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessagePropertiesBuf, QoS, Version};

use super::{World, settings};
use crate::{Pace, Priority, Settings};

fn paced(pace: Pace, priorities: &[Priority]) -> Arc<Settings> {
    Arc::new(Settings { pace, priorities: priorities.to_vec(), ..settings() })
}

fn per_second(rate: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(rate)
}

impl World {
    /// Lets time pass, and everything that is due happen.
    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            self.settle().unwrap();
            let next = self.relay.next_deadline().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = next;
            self.relay.handle_deadline(next).unwrap();
        }
        self.now = end;
    }

    fn publish(&mut self, priority: Priority, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let none = MessagePropertiesBuf::default();
            self.local_of(priority).publish(number, QoS::AtLeastOnce, &none);
        }
    }
}

#[test]
fn a_rate_is_kept_and_what_is_held_keeps_nothing_else_from_passing() {
    let pace = Pace { messages: per_second(100), ..Pace::default() };
    let mut world = World::new(&paced(pace, &[Priority::Normal]), Version::V5);
    world.settle().unwrap();
    world.publish(Priority::Normal, 0..1000);
    world.pass(Duration::from_secs(2));
    let sent = world.upstream.got.len();
    assert!((200..=215).contains(&sent), "{sent}");
    for number in 0..50 {
        world.upstream.publish(number, QoS::ExactlyOnce, &MessagePropertiesBuf::default());
    }
    world.settle().unwrap();
    assert_eq!(world.local.numbers(), (0..50).collect::<Vec<_>>());
    assert!(world.upstream.is_settled(), "acknowledgements do not wait behind what is held");
    world.pass(Duration::from_secs(8));
    assert_eq!(world.upstream.numbers(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn what_waited_is_drained_at_its_own_rate_and_what_is_new_is_not() {
    let settings = paced(Pace { drain: per_second(50), ..Pace::default() }, &[Priority::Normal]);
    let mut world = World::new(&settings, Version::V5);
    world.publish(Priority::Normal, 0..100);
    world.pass(Duration::from_secs(1));
    let sent = world.upstream.got.len();
    assert!((50..=56).contains(&sent), "{sent}");
    assert_eq!(world.relay.backlog(), 100 - sent);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.upstream.got.len(), world.relay.backlog()), (100, 0));
    world.publish(Priority::Normal, 100..1000);
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn what_has_expired_meanwhile_is_not_waited_for() {
    let settings = paced(Pace { drain: per_second(10), ..Pace::default() }, &[Priority::Normal]);
    let mut world = World::new(&settings, Version::V5);
    world.publish(Priority::Normal, 0..5);
    world.settle().unwrap();
    assert!(world.relay.backlog() > 0);
    world.relay.note_owed(Priority::Normal, 0);
    world.publish(Priority::Normal, 5..100);
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers(), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_is_urgent_overtakes_a_backlog_and_nothing_starves() {
    let pace = Pace { messages: per_second(100), ..Pace::default() };
    let settings = paced(pace, &Priority::ALL);
    let mut world = World::new(&settings, Version::V5);
    world.publish(Priority::Low, 0..1000);
    world.publish(Priority::Normal, 0..1000);
    world.pass(Duration::from_secs(1));
    world.publish(Priority::High, 0..1);
    let before = world.upstream.got.len();
    world.pass(Duration::from_millis(30));
    let since: Vec<_> = world.upstream.got[before..].iter().map(|(topic, ..)| topic).collect();
    assert!(since.iter().position(|topic| *topic == "site/up/high") <= Some(1), "{since:?}");
    let low = world.upstream.numbers_of("site/up/low").len();
    assert!(low * 8 >= before - 20 && low * 5 < before, "{low} of {before} have a low priority");
    world.pass(Duration::from_secs(30));
    for topic in ["site/up/low", "site/up/x"] {
        assert_eq!(world.upstream.numbers_of(topic), (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn a_window_has_room_for_what_is_urgent() {
    let mut world = World::new(&paced(Pace::default(), &Priority::ALL), Version::V5);
    world.settle().unwrap();
    world.upstream.withholds = true;
    for priority in [Priority::Low, Priority::Normal] {
        world.publish(priority, 0..100);
        world.settle().unwrap();
    }
    // 20 at a time; a quarter is not for low, and an eighth not for normal.
    assert_eq!(world.upstream.numbers_of("site/up/low").len(), 15);
    assert_eq!(world.upstream.numbers_of("site/up/x").len(), 3);
    world.publish(Priority::High, 0..100);
    world.settle().unwrap();
    assert_eq!(world.upstream.numbers_of("site/up/high").len(), 2, "and no more than 20");
}

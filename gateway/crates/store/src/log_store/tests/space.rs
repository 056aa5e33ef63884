use broker::durable::{Op, Urgency};

use super::{
    harness::{message, put, put_session, remove},
    machine::{Machine, TINY},
};
use crate::{Cut, Settings, Store};

const BODY: usize = 200;

fn fill(machine: &mut Machine, session: u32, sequences: std::ops::Range<u64>) {
    let body = message("plant/line", BODY);
    for first in sequences.clone().step_by(20) {
        let ops: Vec<Op> =
            (first..(first + 20).min(sequences.end)).map(|n| put(session, n, n, &body)).collect();
        machine.commit(&ops, Urgency::Now).unwrap();
        machine.store.maintain().unwrap();
    }
}

fn drain(machine: &mut Machine, session: u32, sequences: std::ops::Range<u64>) {
    for first in sequences.clone().step_by(20) {
        let ops: Vec<Op> =
            (first..(first + 20).min(sequences.end)).map(|n| remove(session, n)).collect();
        machine.commit(&ops, Urgency::Whenever).unwrap();
        machine.store.maintain().unwrap();
    }
}

#[test]
fn a_store_that_is_filled_and_drained_again_and_again_stays_small() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1)], Urgency::Now).unwrap();
    for round in 0..20 {
        fill(&mut machine, 1, round * 500..(round + 1) * 500);
        let full = machine.store.usage();
        assert!(full.log_bytes > 100_000, "{full:?}");
        drain(&mut machine, 1, round * 500..(round + 1) * 500);
        machine.maintain().unwrap();
        let drained = machine.store.usage();
        assert!(drained.log_bytes <= 4 * TINY.segment_bytes, "round {round}: {drained:?}");
        assert!(drained.engine_bytes < 1_000, "round {round}: {drained:?}");
    }
    let loaded = machine.restart(0, Cut::Drop);
    assert!(loaded.is_clean(), "{loaded:?}");
}

#[test]
fn what_is_alive_is_moved_so_that_the_rest_can_go() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1), put_session(2)], Urgency::Now).unwrap();
    // One message in fifty stays.
    for round in 0..40 {
        let here = round * 100..round * 100 + 100;
        fill(&mut machine, 1, here.clone());
        let body = message("plant/line", BODY);
        machine.commit(&[put(2, round, here.start, &body)], Urgency::Now).unwrap();
        drain(&mut machine, 1, here.start + 1..here.end);
    }
    machine.maintain().unwrap();
    machine.check();
    let usage = machine.store.usage();
    let most = 2 * usage.live_bytes + TINY.log_slack_bytes + 4 * TINY.segment_bytes;
    assert!(usage.log_bytes < most, "{usage:?}");
    machine.restart(0, Cut::Drop);
    machine.check();
    assert!(machine.store.usage().log_bytes < most + TINY.segment_bytes, "{usage:?}");
}

#[test]
fn a_message_that_stays_for_ever_keeps_no_more_than_its_own_segment() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1), put_session(2)], Urgency::Now).unwrap();
    let pinned = message("pinned", 1_000);
    machine.commit(&[put(2, 7, 1 << 40, &pinned)], Urgency::Now).unwrap();
    for round in 0..10 {
        fill(&mut machine, 1, round * 100..round * 100 + 100);
        drain(&mut machine, 1, round * 100..round * 100 + 100);
    }
    machine.maintain().unwrap();
    let usage = machine.store.usage();
    assert!(usage.log_bytes <= 5 * TINY.segment_bytes, "{usage:?}");
    machine.check();
}

/// As sessions come back one by one, a message that they share is not moved each time.
#[test]
fn shared_messages_are_moved_seldom() {
    const SESSIONS: u32 = 64;
    const MESSAGES: u64 = 200;
    let settings = Settings { checkpoint_bytes: 16 << 10, dirty_bytes: 1 << 20, ..TINY };
    let mut machine = Machine::new(settings);
    let sessions: Vec<Op> = (0..SESSIONS).map(put_session).collect();
    machine.commit(&sessions, Urgency::Now).unwrap();
    for n in 0..MESSAGES {
        let body = message("plant/line", 1_000);
        let ops: Vec<Op> = (0..SESSIONS).map(|session| put(session, n, n, &body)).collect();
        machine.commit(&ops, Urgency::Whenever).unwrap();
        machine.store.maintain().unwrap();
    }
    machine.maintain().unwrap();
    let filled = machine.store.usage().written_to_log;
    for session in 0..SESSIONS - 1 {
        drain(&mut machine, session, 0..MESSAGES);
        machine.maintain().unwrap();
    }
    machine.check();
    let moved = machine.store.usage().written_to_log - filled;
    assert!(moved < 8 * MESSAGES * 1_100, "{moved} bytes to drain what took {filled}");
    drain(&mut machine, SESSIONS - 1, 0..MESSAGES);
    machine.maintain().unwrap();
    let usage = machine.store.usage();
    assert!(usage.log_bytes <= 4 * TINY.segment_bytes, "{usage:?}");
}

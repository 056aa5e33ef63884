use broker::durable::Urgency;

use super::{
    harness::{message, put, put_session, remove},
    machine::{Machine, TINY},
};
use crate::{Cut, Store};

/// Commits messages until the disk is full; returns how many went in.
fn fill_up(machine: &mut Machine) -> u64 {
    let body = message("t", 400);
    for n in 0..10_000 {
        match machine.commit(&[put(1, n, n, &body)], Urgency::Now) {
            Ok(()) => drop(machine.store.maintain()),
            Err(error) => {
                assert!(error.is_no_space(), "{error}");
                return n;
            }
        }
    }
    panic!("it was never full");
}

#[test]
fn a_full_disk_is_told_of_and_emptied_without_a_restart() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1)], Urgency::Now).unwrap();
    machine.files.leave_room(64 << 10);
    let filled = fill_up(&mut machine);
    machine.engine.fill(true);
    assert!(!machine.store.usage().reserve_held, "it was given up for the last of them");
    // Taking away takes some space too, which the next segment's would be.
    machine.files.leave_room(8 << 10);
    let mut refused = 0;
    for n in 0..=filled {
        machine.commit(&[remove(1, n)], Urgency::Whenever).unwrap();
        if n == filled / 2 {
            machine.engine.fill(false);
        }
        if n % 50 == 0 {
            // The database is on the same disk: it too is refused at first.
            refused += u32::from(machine.maintain().is_err());
        }
    }
    assert!(refused > 0);
    machine.maintain().unwrap();
    let usage = machine.store.usage();
    assert!(usage.reserve_held && usage.log_bytes <= 5 * TINY.segment_bytes, "{usage:?}");
    machine.commit(&[put(1, 1 << 20, 1 << 20, &message("t", 400))], Urgency::Now).unwrap();
    machine.check();
    assert!(machine.restart(0, Cut::Drop).is_clean());
}

#[test]
fn a_full_disk_loses_nothing_when_power_fails() {
    for how in [Cut::Drop, Cut::Process, Cut::Pieces(512), Cut::Torn] {
        let mut machine = Machine::new(TINY);
        machine.commit(&[put_session(1)], Urgency::Now).unwrap();
        machine.files.leave_room(32 << 10);
        fill_up(&mut machine);
        machine.restart(3, how);
        machine.check();
    }
}

#[test]
fn an_engine_that_fails_for_long_stops_commits_before_memory_is_full() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1)], Urgency::Now).unwrap();
    machine.engine.fail_next([Some(false); 10_000]);
    let body = message("t", 10);
    let mut refused = 0;
    for first in (0..40_000).step_by(40) {
        let ops: Vec<_> = (first..first + 40).map(|n| put(1, n, first, &body)).collect();
        refused += u32::from(machine.commit(&ops, Urgency::Whenever).is_err());
        let _ = machine.store.maintain();
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 3);
    assert!(machine.store.core.as_ref().unwrap().state.dirty_bytes() < 20 * TINY.dirty_bytes);
    machine.restart(0, Cut::Process);
    machine.check();
}

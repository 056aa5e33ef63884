//! By how much the process grows.

use std::fs;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use extension_host::{Connecting, Extension};

use crate::INSTANCES;
use crate::keys::Keys;

/// By how much the process grows with each instance that has served a call. All are inside a call together, for the keys are given
/// to them only when the last has come for them.
pub(crate) fn of_one(
    extension: &Extension,
    keys: &Keys,
    connecting: &Arc<Connecting>,
    token: &str,
) -> u64 {
    let ask = || assert!(extension.authenticate(connecting, Some(token.as_bytes())).result.is_ok());
    let (turn, ready) = (Mutex::new(()), Barrier::new(INSTANCES + 1));
    let measured = Barrier::new(INSTANCES + 1);
    thread::scope(|scope| {
        for _ in 0..INSTANCES {
            scope.spawn(|| {
                {
                    // The thread's own stack is no part of an instance: it is used before.
                    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    ask();
                }
                ready.wait();
                measured.wait();
                ask();
                ready.wait();
                measured.wait();
            });
        }
        ready.wait();
        assert_eq!(extension.stats().instances, 1, "they took turns");
        let before = resident_bytes();
        keys.meet(Some(INSTANCES));
        measured.wait();
        ready.wait();
        let after = resident_bytes();
        keys.meet(None);
        measured.wait();
        assert_eq!(extension.stats().instances, INSTANCES as u64, "each had its own");
        after.saturating_sub(before) / (INSTANCES as u64 - 1)
    })
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

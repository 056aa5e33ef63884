//! Some of the attacks, each for a second: whoever means well loses nothing, whoever does not is answered as it should be, and the gateway
//! lives and stays small. What they cost in time is `cargo xtask attacks` to tell.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portcullis_attacks::{Attack, Ground, Seen, Tally};

/// Milliseconds of most attacks.
const USUAL: u64 = 1200;

/// Milliseconds of guesses: what was begun in that time is decided about for seconds.
const GUESSES: u64 = 300;

/// Resident memory that the gateway may take more, in KiB, whatever is done to it here.
const GROWTH_KIB: u64 = 192 * 1024;

/// What the attackers found, and what the gateway counted.
struct Outcome {
    tally: Tally,
    counted: BTreeMap<String, i64>,
}

impl Outcome {
    /// It came to this at least once.
    fn has(&self, outcome: &str) -> bool {
        self.tally.count(outcome) > 0
    }

    fn counted(&self, name: &str) -> bool {
        self.counted.get(name).is_some_and(|by| *by > 0)
    }
}

/// An attack, its milliseconds, and what has to come of it.
type Case = (&'static str, u64, fn(&Outcome) -> bool);

const CASES: [Case; 11] = [
    ("connect-flood", USUAL, |it| it.has("accepted")),
    ("half-open", USUAL, |it| it.has("answered and kept")),
    ("slow-connect", USUAL, |it| it.has("kept") && !it.has("let in")),
    ("initials", USUAL, |it| {
        // Never more than three times what came (RFC 9000, 8.1).
        it.has("Retry") && it.tally.count("bytes back") <= 3 * 1200 * it.tally.count("sent")
    }),
    ("garbage", USUAL, |it| it.has("closed") && it.has("datagrams") && !it.has("let in")),
    ("lengths", USUAL, |it| it.has("CONNACK 0x95") && it.has("closed") && !it.has("let in")),
    ("malformed", USUAL, |it| it.has("DISCONNECT 0x81") || it.has("DISCONNECT 0x95")),
    ("subscribe-bomb", USUAL, |it| it.has("SUBACK 0x97") && it.counted("limit_subscriptions")),
    ("deep-topics", USUAL, |it| it.has("DISCONNECT 0x90") && it.counted("limit_topic_levels")),
    ("unreleased", USUAL, |it| it.has("DISCONNECT 0x93") && it.counted("limit_receive_maximum")),
    ("passwords", GUESSES, |it| it.has("begun") && !it.has("let in")),
];

#[test]
fn attackers_are_answered_and_nobody_else_notices() {
    let ground = Ground::new();
    let mut gateway = ground.fresh_gateway();
    let (stop, (tell, told)) = (AtomicBool::new(false), mpsc::channel());
    let before = gateway.meter().resident_kib();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let witness = ground.witness();
        let stop = &stop;
        scope.spawn(move || witness.watch(stop, &tell));
        let attacks = scope.spawn(|| {
            for (name, length, is_as_it_should_be) in CASES {
                let counters = gateway.counters();
                let attack = Attack::named(name).expect("there is such an attack");
                let field =
                    ground.field(Duration::from_millis(length)).expect("the system gives threads");
                let tally = attack.run(&Arc::new(field));
                let counted = gateway.counters().since(&counters);
                let resident = gateway.meter().resident_kib();
                println!("attack {name}: {tally}; resident_kib={resident}");
                let outcome = Outcome { tally, counted };
                assert!(
                    is_as_it_should_be(&outcome),
                    "{name}: {} {:?}",
                    outcome.tally,
                    outcome.counted
                );
                assert!(
                    resident < before + GROWTH_KIB,
                    "{name}: {before} KiB, then {resident} KiB"
                );
            }
        });
        let outcome = attacks.join();
        stop.store(true, Ordering::Relaxed);
        if let Err(failure) = outcome {
            std::panic::resume_unwind(failure);
        }
        told.into_iter().collect()
    });
    let messages = seen.iter().filter(|seen| matches!(seen, Seen::Message { .. })).count();
    let wrong: Vec<_> = seen
        .iter()
        .filter(|seen| !matches!(seen, Seen::Message { .. } | Seen::Newcomer { .. }))
        .collect();
    println!(
        "attack witness: {messages} messages, {} newcomers",
        seen.len() - messages - wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(messages > 100 * CASES.len() / 2, "{messages} messages");
    gateway.assert_sound();
}

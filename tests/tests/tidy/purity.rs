//! Pure crates decide and never act: what would act does not occur in their sources.

use crate::source::code_only;
use crate::sources;

/// Where the pure crates are.
const PURE: [&str; 6] = [
    "gateway/crates/mqtt/src/",
    "gateway/crates/session/src/",
    "gateway/crates/bridge/src/",
    "gateway/crates/broker/src/",
    "gateway/crates/auth/src/",
    "gateway/crates/warden/src/",
];

/// What they have no use for, and what it would bring in.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "tasks"),
    ("std::net", "sockets; addresses as values are in core::net"),
    ("std::fs", "the disk"),
    ("std::env", "the environment"),
    ("std::thread", "threads"),
    ("std::process", "processes"),
    ("Instant::now", "the clock; time is an argument"),
    ("SystemTime", "the clock; time is an argument"),
    ("RandomState", "randomness; an order that differs between runs"),
    ("HashMap::new(", "randomness; name a hasher with a fixed seed"),
    ("HashSet::new(", "randomness; name a hasher with a fixed seed"),
    ("thread_rng", "randomness; ids and salts are arguments"),
    ("getrandom", "randomness; ids and salts are arguments"),
    ("println!", "output"),
    ("tracing::", "the log; effects say what happened"),
];

#[test]
fn pure_crates_do_not_act() {
    let mut looked_at = 0;
    let mut wrong = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|folder| source.name().starts_with(folder)) {
            continue;
        }
        looked_at += 1;
        let code = code_only(source.without_tests());
        for (number, line) in (1..).zip(code.lines()) {
            for (word, brings) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                wrong.push(format!("{}:{number} {word} brings in {brings}", source.name()));
            }
        }
    }
    assert!(
        looked_at >= PURE.len(),
        "the pure crates have moved; only {looked_at} of their files were found"
    );
    assert!(wrong.is_empty(), "a pure crate takes time, seed and ids as arguments: {wrong:#?}");
}

//! `gateway/LIMITS.md` has each limit of the broker, and each metric of a limit.

use std::fs;

use crate::root;

const SETTINGS: &str = "gateway/crates/broker/src/settings.rs";
const STATS: &str = "gateway/crates/broker/src/stats.rs";
const DOOR_LIMITS: &str = "gateway/crates/config/src/limits.rs";
const DOOR_STATS: &str = "gateway/crates/warden/src/stats.rs";
const COUNTERS: &str = "gateway/src/counters.rs";
const DESK: &str = "gateway/src/desk/metrics.rs";

#[test]
fn every_limit_is_in_the_table_and_every_metric_is_logged() {
    let read = |path| fs::read_to_string(root().join(path)).expect("a file of the tree");
    let (table, counters, desk) = (read("gateway/LIMITS.md"), read(COUNTERS), read(DESK));
    let settings = read(SETTINGS);
    let limits: Vec<_> = fields(&settings).collect();
    assert!(limits.len() > 15, "{limits:?}");
    let missing: Vec<_> = limits.iter().filter(|name| !table.contains(&quoted(name))).collect();
    assert!(missing.is_empty(), "{SETTINGS} has what gateway/LIMITS.md does not name: {missing:?}");
    let stats = read(STATS);
    let metrics: Vec<_> = fields(&stats).filter(|name| name.starts_with("limit_")).collect();
    assert!(metrics.len() > 10, "{metrics:?}");
    for metric in metrics {
        assert!(table.contains(&quoted(metric)), "gateway/LIMITS.md does not name {metric}");
        assert!(counters.contains(&format!(" {metric} = ")), "{COUNTERS} does not log {metric}");
        assert!(desk.contains(&format!("\"{metric}\"")), "{DESK} does not show {metric}");
    }
}

#[test]
fn what_addresses_may_do_is_in_the_table_and_what_is_counted_is_logged() {
    let read = |path| fs::read_to_string(root().join(path)).expect("a file of the tree");
    let (table, counters, desk) = (read("gateway/LIMITS.md"), read(COUNTERS), read(DESK));
    let keys = read(DOOR_LIMITS);
    let keys: Vec<_> = fields(&keys).map(|name| name.replace('_', "-")).collect();
    assert!(keys.len() > 10, "{keys:?}");
    // Who is exempt is no limit, and how long a ban lasts neither.
    let limits = keys.iter().filter(|key| !["exempt", "ban-time"].contains(&key.as_str()));
    let missing: Vec<_> = limits.filter(|key| !table.contains(&format!(".{key}`"))).collect();
    assert!(missing.is_empty(), "gateway/LIMITS.md does not name {missing:?}");
    let stats = read(DOOR_STATS);
    for metric in fields(&stats) {
        assert!(table.contains(&quoted(metric)), "gateway/LIMITS.md does not name {metric}");
        assert!(counters.contains(&format!(" {metric} = ")), "{COUNTERS} does not log {metric}");
        assert!(desk.contains(&format!("\"{metric}\"")), "{DESK} does not show {metric}");
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// The names of the public fields in a source.
fn fields(source: &str) -> impl Iterator<Item = &str> {
    let public = source.lines().filter_map(|line| line.strip_prefix("    pub "));
    public.filter_map(|line| line.split_once(':')).map(|(name, _)| name).filter(|name| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    })
}

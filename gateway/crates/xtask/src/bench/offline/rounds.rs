//! The same queue filled and drained over and over on one store: space and memory are given back.

use serde_json::Value;

use super::load::{Load, PAYLOAD};
use super::{Tools, store};
use crate::bench::process::{Process, occupied};
use crate::failure::Failure;
use crate::options::Options;
use crate::root::Root;

pub(crate) const USAGE: &str = "usage: cargo xtask bench --rounds N --mqload PATH [--count N]";

const MIB: f64 = 1024.0 * 1024.0;

/// What a store of which nothing is left may occupy: the reserve for a full disk (8 MiB), three segments of the log
/// (8 MiB each: the one that is written, and those back to the checkpoint before the last), and the database of a
/// store that has been busy.
const EMPTY_MAX: u64 = 64 << 20;

/// Runs the rounds; a store that keeps space is a failure.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &["--rounds", "--mqload", "--count"], USAGE)?;
    let rounds = options.number("--rounds")?.unwrap_or(20);
    let messages = options.number("--count")?.unwrap_or(100_000);
    let tools = Tools::prepare(root, options.mqload()?)?;
    let load = Load { messages, publishers: 100, rate: None };
    let gateway = tools.gateway(None)?;
    let (process, folder) = (Process(gateway.pid()), gateway.store());
    store::settle(&folder);
    println!(
        "before: store {:.1} MiB, RSS {:.1} MiB",
        occupied(&folder) as f64 / MIB,
        process.rss_bytes()? as f64 / MIB
    );
    for round in 1..=rounds {
        process.forget_peak()?;
        let written = process.device_bytes()?;
        let seen = load.run(&tools.mqload, &gateway)?;
        store::settle(&folder);
        let (size, counters) = (occupied(&folder), store::counters(&gateway)?.unwrap_or_default());
        let mib = |name: &str| counters.get(name).and_then(Value::as_u64).unwrap_or(0) as f64 / MIB;
        println!(
            "round {round}: in {:.0}/s, out {:.0}/s, store {:.1} MiB (log {:.1}, database {:.1}, alive {:.2}), \
             RSS {:.1} MiB, peak {:.1}, written {:.2} B per payload B",
            seen.filled_per_s,
            seen.drained_per_s,
            size as f64 / MIB,
            mib("store_log_bytes"),
            mib("store_engine_bytes"),
            mib("store_live_bytes"),
            process.rss_bytes()? as f64 / MIB,
            process.peak_rss_bytes()? as f64 / MIB,
            process.device_bytes()?.saturating_sub(written) as f64 / load.payload_bytes(),
        );
        if size > EMPTY_MAX {
            return Err(Failure::Other(format!(
                "the store occupies {size} bytes though nothing waits any more; at most {EMPTY_MAX} are in order"
            )));
        }
    }
    println!(
        "{rounds} rounds of {messages} messages of {PAYLOAD} B: store {:.1} MiB, RSS {:.1} MiB",
        occupied(&folder) as f64 / MIB,
        process.rss_bytes()? as f64 / MIB
    );
    Ok(())
}

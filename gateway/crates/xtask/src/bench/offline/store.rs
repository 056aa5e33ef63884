//! What is asked of a broker's store besides the load.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::brokers::{Broker, GATEWAY};
use crate::bench::process::occupied;
use crate::command::quietly;
use crate::failure::Failure;

/// How long a store must not change to be at rest, and how long that is waited for.
const REST: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the gateway may take to count.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Waits until the store in `folder` has done what is left to do after the load.
pub(super) fn settle(folder: &Path) {
    let begin = Instant::now();
    let (mut size, mut since) = (occupied(folder), Instant::now());
    while since.elapsed() < REST && begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
        let now = occupied(folder);
        if now != size {
            (size, since) = (now, Instant::now());
        }
    }
}

/// Bytes written to log and database, as the gateway itself counts; others do not count.
pub(super) fn meter(broker: &Broker) -> Result<Option<u64>, Failure> {
    let Some(counters) = counters(broker)? else { return Ok(None) };
    let number = |name: &str| counters.get(name).and_then(Value::as_u64);
    Ok(number("store_written_to_log").zip(number("store_written_to_engine")).map(|(a, b)| a + b))
}

/// Whether an acknowledgement of this broker waits for the disk.
pub(super) fn acknowledges_what_is_saved(broker: &Broker) -> bool {
    broker.name() == GATEWAY
}

/// The gateway's counters of its store; nobody else has any.
pub(super) fn counters(broker: &Broker) -> Result<Option<Value>, Failure> {
    const MESSAGE: &str = "\"store counters\"";
    if broker.name() != GATEWAY {
        return Ok(None);
    }
    let before = broker.log()?.matches(MESSAGE).count();
    quietly(Command::new("kill").args(["-USR1", &broker.pid().to_string()]))?;
    let begin = Instant::now();
    while begin.elapsed() < COUNT_PATIENCE {
        let log = broker.log()?;
        // A line that is not ended is not all there.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        if whole.matches(MESSAGE).count() > before {
            let line = whole.lines().rev().find(|line| line.contains(MESSAGE)).unwrap_or_default();
            return serde_json::from_str(line).map(Some).map_err(|error| {
                Failure::Other(format!("the gateway's counters are no JSON ({error}): {line}"))
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::Other("the gateway does not tell its counters".to_owned()))
}

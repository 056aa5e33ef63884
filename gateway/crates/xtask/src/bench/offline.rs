//! Queues for absent clients, filled and drained: the gateway that syncs before it acknowledges, beside a Mosquitto
//! that saves as often as it can.
//!
//! Both start anew for each run, with an empty store, and take turns, so that what else the machine does falls on
//! both. What Mosquitto acknowledges is in memory until its next snapshot; it is told with each run how much that is.

mod load;
pub(super) mod rounds;
mod sample;
mod store;
mod watch;

use std::path::{Path, PathBuf};

use load::{Load, SETTLE};
use sample::{Report, Sample};
use watch::Watch;

use super::brokers::{Broker, Keeps};
use super::process::{Process, disk_bytes};
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::run::build_gateway;
use crate::{extensions, root::Root};

pub(super) const USAGE: &str = "usage: cargo xtask bench --offline --mqload PATH [--count N] [--repeats N] [--rate N] [--group-commit-delay TIME]";

const PUBLISHERS: [u32; 3] = [1, 10, 100];
const MESSAGES: u32 = 100_000;
const MANY_MESSAGES: u32 = 1_000_000;

/// What the gateway and the load generator are.
struct Tools<'a> {
    root: &'a Root,
    mqload: PathBuf,
    program: PathBuf,
    components: PathBuf,
}

impl<'a> Tools<'a> {
    fn prepare(root: &'a Root, mqload: PathBuf) -> Result<Self, Failure> {
        let components = extensions::build(root)?;
        Ok(Self { root, mqload, program: build_gateway(root, true)?, components })
    }

    fn gateway(&self, group_commit_delay: Option<&str>) -> Result<Broker, Failure> {
        Broker::gateway(self.root, &self.program, &self.components, group_commit_delay)
    }
}

/// Runs every load on both brokers in turns and prints the medians.
pub(super) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let names = ["--mqload", "--count", "--repeats", "--rate", "--group-commit-delay"];
    let options = Options::parse(words, &names, USAGE)?;
    let loads = loads(options.number("--count")?, options.number("--rate")?);
    let repeats = options.number("--repeats")?.unwrap_or(3);
    let tools = Tools::prepare(root, options.mqload()?)?;
    packages::ensure(&[Package { name: "mosquitto", brings: "mosquitto" }], "the comparison")?;
    let mut report = Report::default();
    for load in loads {
        for _ in 0..repeats {
            let gateway = tools.gateway(options.text("--group-commit-delay"))?;
            let authority = gateway.authority().to_path_buf();
            measure(&tools, load, gateway, &mut report)?;
            let mosquitto = Broker::mosquitto(root, &authority, Keeps::Snapshots)?;
            measure(&tools, load, mosquitto, &mut report)?;
        }
    }
    print!("{}", report.table());
    Ok(())
}

fn loads(count: Option<u32>, rate: Option<u32>) -> Vec<Load> {
    let messages = count.unwrap_or(MESSAGES);
    let mut loads = PUBLISHERS.map(|publishers| Load { messages, publishers, rate }).to_vec();
    if count.is_none() {
        loads.push(Load { messages: MANY_MESSAGES, publishers: 100, rate });
    }
    loads
}

fn measure(
    tools: &Tools<'_>,
    load: Load,
    broker: Broker,
    report: &mut Report,
) -> Result<(), Failure> {
    let sample = fill_and_drain(&tools.mqload, load, &broker)?;
    println!("{load}, {}: {sample}", broker.name());
    report.add(load, broker.name(), sample);
    Ok(())
}

fn fill_and_drain(mqload: &Path, load: Load, broker: &Broker) -> Result<Sample, Failure> {
    let (process, folder) = (Process(broker.pid()), broker.store());
    store::settle(&folder);
    process.forget_peak()?;
    let (device_before, disk_before) = (process.device_bytes()?, disk_bytes(&folder));
    let meter_before = store::meter(broker)?;
    let watch = Watch::begin(process, folder.clone(), folder.join("mosquitto.db"));
    let seen = load.run(mqload, broker)?;
    let watched = watch.end()?;
    store::settle(&folder);
    let difference = |after: Option<u64>, before: Option<u64>| match (after, before) {
        (Some(after), Some(before)) => after.saturating_sub(before) as f64,
        _ => f64::NAN,
    };
    // In the middle of the pause between filling and draining.
    let full = SETTLE.mul_f64(1.5) + std::time::Duration::from_secs_f64(seen.filled_s);
    let device_filling = watched.written_by(full).saturating_sub(device_before) as f64;
    let saves = watched.between_snapshots(full);
    Ok(Sample {
        messages: load.messages.into(),
        payload: load.payload_bytes(),
        filled_per_s: seen.filled_per_s,
        drained_per_s: seen.drained_per_s,
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
        rss_before: seen.rss_before,
        rss_full: seen.rss_full,
        rss_after: seen.rss_after,
        rss_peak: process.peak_rss_bytes()? as f64,
        device_filling,
        device: process.device_bytes()?.saturating_sub(device_before) as f64,
        meter: difference(store::meter(broker)?, meter_before),
        disk: difference(disk_bytes(&folder), disk_before),
        store_largest: watched.largest() as f64,
        store_drained: super::process::occupied(&folder) as f64,
        unsaved_s: if store::acknowledges_what_is_saved(broker) {
            0.0
        } else {
            saves.as_secs_f64()
        },
    })
}

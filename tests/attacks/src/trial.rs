use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portcullis_attacks::{Attack, Ground};
use portcullis_tests::{Counters, Gateway};

use crate::assailant::{self, Deeds};
use crate::bystander::Bystander;
use crate::phase::Phase;

/// How long is measured without an attack, before it and after it.
const PEACE: Duration = Duration::from_secs(5);

/// Lines of the log that tell that somebody was not served.
const REFUSALS: [&str; 2] = ["connection turned away", "client refused"];

/// One attack, with what was measured.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What the well-behaved client saw before, during and after.
    pub(crate) phases: [Phase; 3],
    /// Resident memory in KiB: before, at most, and after.
    pub(crate) resident: [u64; 3],
    /// Part of one core that the gateway used during the attack.
    pub(crate) cpu: f64,
    pub(crate) deeds: Result<Deeds, String>,
    /// What the gateway counted meanwhile.
    pub(crate) counted: BTreeMap<String, i64>,
}

impl Trial {
    /// Attacks a fresh gateway beside the well-behaved client.
    pub(crate) fn hold(ground: &Ground, attack: &Attack, length: Duration) -> Self {
        let mut gateway = ground.fresh_gateway();
        let bystander = Bystander::call(ground);
        let begin = Instant::now();
        sleep(PEACE);
        let meter = gateway.meter();
        let (counters, mark) = (gateway.counters(), gateway.log.mark());
        let before = meter.resident_kib();
        meter.forget_peak();
        let (attacked, cpu) = (Instant::now(), meter.cpu());
        let deeds = assailant::send(ground, attack, length);
        let ended = Instant::now();
        let cpu = (meter.cpu() - cpu).as_secs_f64() / (ended - attacked).as_secs_f64();
        sleep(PEACE);
        let over = Instant::now();
        let resident = [before, meter.peak_resident_kib(), meter.resident_kib()];
        let mut counted = differences(&counters, &gateway.counters());
        counted.extend(refusals(&gateway, mark));
        let seen = bystander.ask();
        gateway.assert_sound();
        let moments = [begin, attacked, ended, over];
        let phases = [0, 1, 2].map(|at| Phase::between(&seen, moments[at], moments[at + 1]));
        Self { phases, resident, cpu, deeds, counted }
    }
}

/// The counters that tell of an answer and have changed.
fn differences(before: &Counters, after: &Counters) -> BTreeMap<String, i64> {
    let tells = |name: &str| {
        ["limit_", "dropped_", "denied", "refused_", "banned", "bans"]
            .iter()
            .any(|begin| name.starts_with(begin))
    };
    after.since(before).into_iter().filter(|(name, _)| tells(name)).collect()
}

/// How often somebody was refused according to the log, lines that were left out included.
fn refusals(gateway: &Gateway<'_>, mark: usize) -> impl Iterator<Item = (String, i64)> {
    REFUSALS.into_iter().filter_map(move |message| {
        let events = gateway.log.events(mark, message);
        let left_out = events.iter().filter_map(|event| event["suppressed"].as_i64());
        let count = left_out.sum::<i64>() + i64::try_from(events.len()).unwrap_or(i64::MAX);
        (count > 0).then(|| (message.to_owned(), count))
    })
}

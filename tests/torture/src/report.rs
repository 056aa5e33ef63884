use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mqtt::QoS;

use crate::torture::Bridge;

/// Evidence that is shown of a kind.
const SHOWN: usize = 20;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub(crate) bridge: Bridge,
    pub(crate) seed: u64,
    pub(crate) qos: QoS,
    pub(crate) devices: usize,
    pub(crate) cuts: BTreeMap<&'static str, u64>,
    pub(crate) time: Duration,
    /// Messages that devices sent.
    pub(crate) published: u64,
    /// Messages that devices sent again.
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
    /// Messages that the edge acknowledged.
    pub acknowledged: u64,
    /// Different messages that arrived.
    pub arrived: u64,
    pub(crate) duplicates: u64,
    pub(crate) redelivered: u64,
    /// From the end of the last fault to the last arrival.
    pub(crate) drained: Duration,
    /// How many of those that were lost were acknowledged before a cut of this kind, and after the one before that.
    pub(crate) lost_before: BTreeMap<&'static str, u64>,
    /// Messages that were acknowledged and did not arrive, with what is known of them.
    pub lost: Vec<String>,
    /// Messages that came for the first time after a later one of the same topic.
    pub disorder: Vec<String>,
    /// Messages that nobody sent.
    pub foreign: Vec<String>,
}

impl Report {
    /// Whether nothing was lost, everything came in order, and at QoS 2 once.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        let once = self.qos != QoS::ExactlyOnce || self.duplicates == 0;
        self.lost.is_empty() && self.disorder.is_empty() && self.foreign.is_empty() && once
    }

    /// The head of a table of reports.
    pub const HEAD: &'static str = "\
| bridge | QoS | cuts | acknowledged | lost | duplicates | order violations | drained after | minutes |
|---|---|---|---|---|---|---|---|---|";

    /// A row of it.
    #[must_use]
    pub fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.1} s | {:.1} |",
            self.bridge,
            self.qos.as_u8(),
            self.cuts.values().sum::<u64>(),
            self.acknowledged,
            self.lost.len(),
            self.duplicates,
            self.disorder.len(),
            self.drained.as_secs_f64(),
            self.time.as_secs_f64() / 60.0,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, all) in [
            ("acknowledged and not arrived", &self.lost),
            ("out of order", &self.disorder),
            ("sent by nobody", &self.foreign),
        ] {
            for one in all.iter().take(SHOWN) {
                writeln!(f, "{what}: {one}")?;
            }
            if all.len() > SHOWN {
                writeln!(f, "{what}: {} more", all.len() - SHOWN)?;
            }
        }
        let listed = |all: &BTreeMap<&str, u64>| {
            let all = all.iter().map(|(kind, count)| format!("{kind} {count}"));
            all.collect::<Vec<_>>().join(", ")
        };
        if !self.lost_before.is_empty() {
            writeln!(f, "lost before: {}", listed(&self.lost_before))?;
        }
        let total: u64 = self.cuts.values().sum();
        writeln!(f, "cuts: {}", listed(&self.cuts))?;
        write!(
            f,
            "torture bridge={} seed={} qos={} cuts={total} devices={} s={} published={} sent_again_by_devices={} refused={} \
             acknowledged={} arrived={} lost={} duplicates={} redelivered_to_reader={} disorder={} drained_ms={}",
            self.bridge,
            self.seed,
            self.qos.as_u8(),
            self.devices,
            self.time.as_secs(),
            self.published,
            self.repeated,
            self.refused,
            self.acknowledged,
            self.arrived,
            self.lost.len(),
            self.duplicates,
            self.redelivered,
            self.disorder.len(),
            self.drained.as_millis(),
        )
    }
}

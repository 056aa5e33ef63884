use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::load::Load;

const MIB: f64 = 1024.0 * 1024.0;

/// A number of a run: its name, how it is told, and the digits behind the point.
type Column = (&'static str, fn(&Sample) -> f64, usize);

const COLUMNS: [Column; 15] = [
    ("in/s", |s| s.filled_per_s, 0),
    ("out/s", |s| s.drained_per_s, 0),
    ("PUBACK p50 ms", |s| s.p50_us / 1e3, 1),
    ("p99 ms", |s| s.p99_us / 1e3, 1),
    ("RSS MiB before", |s| s.rss_before / MIB, 1),
    ("full", |s| s.rss_full / MIB, 1),
    ("after", |s| s.rss_after / MIB, 1),
    ("peak", |s| s.rss_peak / MIB, 1),
    ("written B per payload B, filling", |s| s.device_filling / s.payload, 2),
    ("all", |s| s.device / s.payload, 2),
    ("whole disk", |s| s.disk / s.payload, 2),
    ("own meter", |s| s.meter / s.payload, 2),
    ("written B per message", |s| s.device / s.messages, 0),
    ("store MiB at most", |s| s.store_largest / MIB, 1),
    ("drained", |s| s.store_drained / MIB, 1),
];

/// One run. Sizes are in bytes; what was not measured is NaN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) messages: f64,
    pub(super) payload: f64,
    pub(super) filled_per_s: f64,
    pub(super) drained_per_s: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) rss_before: f64,
    pub(super) rss_full: f64,
    pub(super) rss_after: f64,
    pub(super) rss_peak: f64,
    /// Written by the broker until the queue was full, as the kernel counts.
    pub(super) device_filling: f64,
    /// And until it was drained.
    pub(super) device: f64,
    /// Written to log and database, as the broker itself counts.
    pub(super) meter: f64,
    /// Written to the disk meanwhile, by everybody.
    pub(super) disk: f64,
    pub(super) store_largest: f64,
    pub(super) store_drained: f64,
    /// For how long what is acknowledged is not on disk.
    pub(super) unsaved_s: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told =
            COLUMNS.map(|(name, value, digits)| format!("{name} {}", number(value(self), digits)));
        f.write_str(&told.join(", "))?;
        if self.unsaved_s > 0.0 {
            write!(
                f,
                "; up to {:.1} s between snapshots, so a crash or a power cut loses up to {:.0} acknowledged messages",
                self.unsaved_s,
                (self.unsaved_s * self.filled_per_s).min(self.messages)
            )?;
        }
        Ok(())
    }
}

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// All samples by load and broker.
#[derive(Debug, Default)]
pub(super) struct Report(BTreeMap<Load, BTreeMap<&'static str, Vec<Sample>>>);

impl Report {
    pub(super) fn add(&mut self, load: Load, broker: &'static str, sample: Sample) {
        self.0.entry(load).or_default().entry(broker).or_default().push(sample);
    }

    /// Each column's median by itself, as a table of Markdown.
    pub(super) fn table(&self) -> String {
        let names = COLUMNS.map(|(name, ..)| name).join(" | ");
        let mut table = format!("\n| load | broker | {names} |\n");
        let _ = writeln!(table, "|{}", "---|".repeat(COLUMNS.len() + 2));
        for (load, brokers) in &self.0 {
            for (broker, samples) in brokers {
                let cells =
                    COLUMNS.map(|(_, value, digits)| number(median(samples, value), digits));
                let _ = writeln!(table, "| {load} | {broker} | {} |", cells.join(" | "));
            }
        }
        table
    }
}

fn median(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64) -> Sample {
        Sample {
            messages: 10.0,
            payload: 2560.0,
            filled_per_s: rate,
            drained_per_s: 1.0,
            p50_us: 1000.0,
            p99_us: 2000.0,
            rss_before: MIB,
            rss_full: MIB,
            rss_after: MIB,
            rss_peak: MIB,
            device_filling: 2560.0,
            device: 5120.0,
            meter: f64::NAN,
            disk: 0.0,
            store_largest: MIB,
            store_drained: 0.0,
            unsaved_s: 0.0,
        }
    }

    #[test]
    fn the_table_has_medians_and_gaps() {
        let mut report = Report::default();
        let load = Load { messages: 10, publishers: 1, rate: None };
        for rate in [3.0, 9.0, 5.0] {
            report.add(load, "b", sample(rate));
        }
        let table = report.table();
        let row = table.lines().last().unwrap();
        assert!(row.starts_with("| 10 messages from 1 | b | 5 | 1 | 1.0 | 2.0 |"), "{table}");
        assert!(row.contains("| 1.00 | 2.00 | 0.00 | - | 512 |"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        let mut lines = table.lines().skip(1).map(columns);
        let first = lines.next();
        assert!(lines.all(|line| Some(line) == first), "{table}");
    }

    #[test]
    fn what_a_broker_loses_is_told() {
        let lossy = Sample { unsaved_s: 2.0, ..sample(3.0) };
        assert!(lossy.to_string().ends_with("loses up to 6 acknowledged messages"), "{lossy}");
        assert!(!sample(3.0).to_string().contains("loses"));
    }
}

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::failure::Failure;

/// What one run of the load generator found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Messages delivered per second.
    rate: f64,
    /// CPU microseconds of the broker for each.
    cpu_us: f64,
    /// Median latency in microseconds.
    p50_us: f64,
}

impl Sample {
    /// Reads the JSON object on the last line of mqload's output. A run that lost messages is no sample.
    pub(super) fn from_output(text: &str) -> Result<Self, Failure> {
        let line = text.lines().last().unwrap_or_default();
        let json: Value = serde_json::from_str(line).map_err(|error| {
            Failure::Other(format!("the last line of mqload is no JSON ({error}): {line}"))
        })?;
        let number = |pointer: &str| {
            json.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| {
                Failure::Other(format!("mqload's report has no number {pointer}: {line}"))
            })
        };
        let (lost, errors) = (number("/lost")?, number("/errors")?);
        if lost > 0.0 || errors > 0.0 {
            return Err(Failure::Other(format!(
                "mqload lost {lost} messages and saw {errors} errors: {line}"
            )));
        }
        Ok(Self {
            rate: number("/recv_per_s")?,
            cpu_us: number("/broker/cpu_us_per_msg")?,
            p50_us: number("/lat_us/p50")?,
        })
    }

    fn median(samples: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| median(samples.iter().map(field));
        Self { rate: of(|s| s.rate), cpu_us: of(|s| s.cpu_us), p50_us: of(|s| s.p50_us) }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} msg/s, {:.2} us CPU, p50 {:.0} us", self.rate, self.cpu_us, self.p50_us)
    }
}

/// The middle one, or the upper of two; not a number if there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All samples by case and broker.
#[derive(Debug, Default)]
pub(super) struct Report(BTreeMap<String, BTreeMap<&'static str, Vec<Sample>>>);

impl Report {
    pub(super) fn add(&mut self, case: String, broker: &'static str, sample: Sample) {
        self.0.entry(case).or_default().entry(broker).or_default().push(sample);
    }

    /// Medians and their ratios, with the median of the ratios of the rounds, in which both met the same machine: above 1 in rate, and
    /// under 1 in CPU, is in favour of `ours`.
    pub(super) fn table(&self, ours: &str, theirs: &str) -> String {
        let mut table = format!("\nmedians, {ours} / {theirs}\n");
        for (case, brokers) in &self.0 {
            if let (Some(ours), Some(theirs)) = (brokers.get(ours), brokers.get(theirs)) {
                let rounds = median(ours.iter().zip(theirs).map(|(o, t)| o.rate / t.rate));
                let (ours, theirs) = (Sample::median(ours), Sample::median(theirs));
                let _ = writeln!(
                    table,
                    "{case}: rate {:.0} / {:.0} = {:.2} (rounds {rounds:.2}), CPU us per message {:.2} / {:.2} = {:.2}, \
                     p50 us {:.0} / {:.0} = {:.2}",
                    ours.rate,
                    theirs.rate,
                    ours.rate / theirs.rate,
                    ours.cpu_us,
                    theirs.cpu_us,
                    ours.cpu_us / theirs.cpu_us,
                    ours.p50_us,
                    theirs.p50_us,
                    ours.p50_us / theirs.p50_us,
                );
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"recv_per_s":1000.0,"lost":0,"errors":0,"lat_us":{"p50":80.0},"broker":{"cpu_us_per_msg":2.5}}"#;

    #[test]
    fn the_last_line_is_the_sample() {
        let sample = Sample::from_output(&format!("for people\n{LINE}")).unwrap();
        assert_eq!(sample, Sample { rate: 1000.0, cpu_us: 2.5, p50_us: 80.0 });
    }

    #[test]
    fn a_run_with_losses_or_without_the_brokers_cpu_is_no_sample() {
        assert!(Sample::from_output(&LINE.replace("\"lost\":0", "\"lost\":1")).is_err());
        assert!(Sample::from_output(&LINE.replace("{\"cpu_us_per_msg\":2.5}", "null")).is_err());
        assert!(Sample::from_output("").is_err());
    }

    #[test]
    fn ratios_are_of_medians() {
        let mut report = Report::default();
        for (rate, cpu_us) in [(10.0, 9.0), (30.0, 1.0), (20.0, 2.0)] {
            report.add("case".to_owned(), "a", Sample { rate, cpu_us, p50_us: 1.0 });
        }
        for rate in [10.0, 10.0, 40.0] {
            report.add("case".to_owned(), "b", Sample { rate, cpu_us: 4.0, p50_us: 1.0 });
        }
        let table = report.table("a", "b");
        assert!(table.contains("rate 20 / 10 = 2.00 (rounds 1.00)"), "{table}");
        assert!(table.contains("2.00 / 4.00 = 0.50"), "{table}");
    }
}

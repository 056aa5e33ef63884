//! The numbers that an extension shows to the operator.

use std::collections::BTreeMap;

/// Names with labels of one extension at most: each becomes a series for ever.
const SERIES_MAX: usize = 64;
/// Labels of a series, and bytes of a label's name and value together, at most.
const LABELS_MAX: usize = 8;
const LABEL_BYTES_MAX: usize = 128;
/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 64;

/// The series of one extension.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    series: BTreeMap<(String, Labels), Value>,
}

/// Names and values, sorted.
type Labels = Vec<(String, String)>;

/// One number of an extension.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What it is called.
    pub name: String,
    /// What tells it from others of the same name, sorted.
    pub labels: Vec<(String, String)>,
    /// How much it is.
    pub value: Value,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Only grows, from 0 at the start of the gateway.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
}

/// What a guest does to a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Add(u64),
    Set(f64),
}

impl Metrics {
    /// Applies a change; nothing where the name is no good, is of the other kind, or one too many.
    pub(crate) fn note(&mut self, name: String, mut labels: Labels, change: Change) -> Option<()> {
        labels.sort();
        let good = is_name(&name)
            && labels.len() <= LABELS_MAX
            && labels.windows(2).all(|pair| pair[0].0 != pair[1].0)
            && labels.iter().all(|(n, v)| is_name(n) && n.len() + v.len() <= LABEL_BYTES_MAX);
        if !good {
            return None;
        }
        let full = self.series.len() >= SERIES_MAX;
        let kind = self.series.iter().find(|((other, _), _)| *other == name).map(|(_, v)| *v);
        match (kind, change) {
            (Some(Value::Gauge(_)), Change::Add(_)) | (Some(Value::Counter(_)), Change::Set(_)) => {
                return None;
            }
            _ => {}
        }
        let key = (name, labels);
        if full && !self.series.contains_key(&key) {
            return None;
        }
        let value = self.series.entry(key).or_insert(match change {
            Change::Add(_) => Value::Counter(0),
            Change::Set(_) => Value::Gauge(0.0),
        });
        match (value, change) {
            (Value::Counter(sum), Change::Add(n)) => *sum = sum.saturating_add(n),
            (Value::Gauge(level), Change::Set(to)) => *level = to,
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn all(&self) -> Vec<Metric> {
        let metric = |((name, labels), value): (&(String, Labels), &Value)| Metric {
            name: name.clone(),
            labels: labels.clone(),
            value: *value,
        };
        self.series.iter().map(metric).collect()
    }
}

fn is_name(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(value: &str) -> Labels {
        vec![("site".into(), value.into())]
    }

    #[test]
    fn counters_add_and_gauges_are_set() {
        let mut metrics = Metrics::default();
        for _ in 0..2 {
            metrics.note("denied".into(), label("a"), Change::Add(2)).unwrap();
            metrics.note("load".into(), Vec::new(), Change::Set(0.5)).unwrap();
        }
        let all = metrics.all();
        let denied = Metric { name: "denied".into(), labels: label("a"), value: Value::Counter(4) };
        let load = Metric { name: "load".into(), labels: vec![], value: Value::Gauge(0.5) };
        assert_eq!(all, [denied, load]);
    }

    #[test]
    fn a_name_has_one_kind_and_the_number_of_series_a_limit() {
        let mut metrics = Metrics::default();
        for n in 0..SERIES_MAX {
            assert!(metrics.note("n".into(), label(&n.to_string()), Change::Add(1)).is_some());
        }
        assert!(metrics.note("n".into(), label("one more"), Change::Add(1)).is_none());
        assert!(metrics.note("n".into(), label("0"), Change::Add(1)).is_some());
        assert!(metrics.note("n".into(), label("0"), Change::Set(1.0)).is_none());
        for bad in ["", "N", "1a", "a b", "a\n", &"x".repeat(65)] {
            assert!(Metrics::default().note(bad.into(), vec![], Change::Add(1)).is_none(), "{bad}");
        }
        let twice = vec![("a".into(), "1".into()), ("a".into(), "2".into())];
        assert!(Metrics::default().note("n".into(), twice, Change::Add(1)).is_none());
    }
}

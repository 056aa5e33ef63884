use std::collections::BTreeMap;
use std::fmt;

use portcullis_tests::Received;

/// How many kinds of outcome are told apart.
const KINDS_MAX: usize = 64;

/// What came of an attack: how often each outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts an outcome.
    pub fn note(&mut self, outcome: &str) {
        self.add(outcome, 1);
    }

    /// Counts an outcome several times.
    pub fn add(&mut self, outcome: &str, times: u64) {
        if times == 0 {
            return;
        }
        if let Some(count) = self.0.get_mut(outcome) {
            *count += times;
        } else if self.0.len() < KINDS_MAX {
            self.0.insert(outcome.to_owned(), times);
        }
    }

    /// Counts what the gateway said. What says no more than that all is well is counted as one.
    pub(crate) fn hear(&mut self, received: &Received) {
        self.note(&outcome(received));
        if let Received::SubAck(codes) = received {
            for code in codes.iter().filter(|code| code.is_error()) {
                self.note(&format!("SUBACK {:#04x}", code.as_u8()));
            }
        }
    }

    /// How often this was the outcome.
    #[must_use]
    pub fn count(&self, outcome: &str) -> u64 {
        self.0.get(outcome).copied().unwrap_or(0)
    }

    /// All outcomes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(outcome, count)| (outcome.as_str(), *count))
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (outcome, count) in other.iter() {
            self.add(outcome, count);
        }
    }
}

/// The name of what the gateway said.
pub(crate) fn outcome(received: &Received) -> String {
    match received {
        Received::ConnAck(code, _) if code.is_error() => format!("CONNACK {:#04x}", code.as_u8()),
        Received::ConnAck(..) => "let in".to_owned(),
        Received::Publish(_) => "delivered".to_owned(),
        Received::Ack(kind, _, code) if code.is_error() => {
            format!("{} {:#04x}", format!("{kind:?}").to_uppercase(), code.as_u8())
        }
        Received::Ack(..) | Received::SubAck(_) => "acknowledged".to_owned(),
        Received::Pong => "PINGRESP".to_owned(),
        Received::Disconnect(code) => format!("DISCONNECT {:#04x}", code.as_u8()),
        Received::Other(kind) => format!("{kind:?}"),
        Received::Closed => "closed".to_owned(),
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (outcome, count)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{outcome}: {count}")?;
        }
        Ok(())
    }
}

impl FromIterator<(String, u64)> for Tally {
    fn from_iter<T: IntoIterator<Item = (String, u64)>>(outcomes: T) -> Self {
        let mut tally = Self::default();
        for (outcome, count) in outcomes {
            tally.add(&outcome, count);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_bounded() {
        let mut tally = Tally::default();
        tally.note("closed");
        tally.add("closed", 2);
        tally.add("never", 0);
        assert_eq!(tally.to_string(), "closed: 3");
        for number in 0..1000 {
            tally.note(&number.to_string());
        }
        assert_eq!(tally.iter().count(), KINDS_MAX);
        assert_eq!(tally.count("closed"), 3);
    }
}

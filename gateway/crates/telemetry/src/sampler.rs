//! Repeated lines, thinned out.

use std::collections::BTreeMap;
use std::time::Duration;

/// Decides which of many like lines are worth writing, for each key (a client, an address) on its
/// own, so that one refused client cannot fill the log. Time is an argument: any clock that does
/// not run backwards, counted from any moment.
#[derive(Debug)]
pub struct Sampler {
    settings: SamplerSettings,
    keys: BTreeMap<String, Window>,
    /// Shared by the keys for which there is no room: a client that changes its name with every
    /// attempt gains nothing.
    others: Window,
    swept: Duration,
}

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerSettings {
    /// Lines per key and interval that are written.
    pub burst: u32,
    /// The interval.
    pub interval: Duration,
    /// Keys that are told apart; all further ones count as one.
    pub max_keys: usize,
}

impl Default for SamplerSettings {
    /// 5 lines in 10 seconds, for each of 1024 keys: a fault is seen at once, and one client
    /// causes less than 50,000 lines a day.
    fn default() -> Self {
        Self { burst: 5, interval: Duration::from_secs(10), max_keys: 1024 }
    }
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Write it, and say how many were left out since the one before.
    Write {
        /// Lines left out.
        suppressed: u64,
    },
    /// Leave it out.
    Suppress,
}

impl Sampler {
    /// Nothing has been written yet.
    pub fn new(settings: SamplerSettings) -> Self {
        Self { settings, keys: BTreeMap::new(), others: Window::default(), swept: Duration::ZERO }
    }

    /// What to do with one more line about `key`.
    pub fn sample(&mut self, key: &str, now: Duration) -> Sample {
        let settings = self.settings;
        if let Some(window) = self.keys.get_mut(key) {
            return window.sample(now, &settings);
        }
        if self.keys.len() >= settings.max_keys {
            self.sweep(now);
        }
        if self.keys.len() >= settings.max_keys {
            return self.others.sample(now, &settings);
        }
        self.keys.entry(key.to_owned()).or_default().sample(now, &settings)
    }

    /// Forgets the keys that have been silent for an interval; not more often than that, for it
    /// looks at all of them.
    fn sweep(&mut self, now: Duration) {
        let interval = self.settings.interval;
        if now.saturating_sub(self.swept) < interval {
            return;
        }
        self.swept = now;
        let mut suppressed = 0;
        self.keys.retain(|_, window| {
            let current = now.saturating_sub(window.start) < interval;
            if !current {
                suppressed += window.suppressed;
            }
            current
        });
        self.others.suppressed += suppressed;
    }
}

/// One key's interval.
#[derive(Debug, Default)]
struct Window {
    start: Duration,
    written: u32,
    suppressed: u64,
}

impl Window {
    fn sample(&mut self, now: Duration, settings: &SamplerSettings) -> Sample {
        if now.saturating_sub(self.start) >= settings.interval {
            self.start = now;
            self.written = 0;
        }
        if self.written >= settings.burst {
            self.suppressed += 1;
            return Sample::Suppress;
        }
        self.written += 1;
        Sample::Write { suppressed: std::mem::take(&mut self.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sampler(burst: u32, max_keys: usize) -> Sampler {
        Sampler::new(SamplerSettings { burst, interval: SECOND * 10, max_keys })
    }

    fn write(suppressed: u64) -> Sample {
        Sample::Write { suppressed }
    }

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let mut sampler = sampler(2, 8);
        let seen: Vec<_> = (0..5).map(|n| sampler.sample("c1", SECOND * n)).collect();
        assert_eq!(
            seen,
            [write(0), write(0), Sample::Suppress, Sample::Suppress, Sample::Suppress]
        );
        assert_eq!(sampler.sample("c2", SECOND * 5), write(0));
        assert_eq!(sampler.sample("c1", SECOND * 10), write(3));
        assert_eq!(sampler.sample("c1", SECOND * 10), write(0));
    }

    #[test]
    fn changing_the_key_gains_nothing() {
        let mut sampler = sampler(2, 10);
        let written = (0..100_000)
            .filter(|n| sampler.sample(&format!("c{n}"), SECOND) != Sample::Suppress)
            .count();
        assert_eq!(written, 10 + 2);
        assert_eq!(sampler.keys.len(), 10);
    }

    #[test]
    fn silent_keys_make_room_and_what_they_left_out_is_told() {
        let mut sampler = sampler(1, 1);
        assert_eq!(sampler.sample("old", SECOND), write(0));
        assert_eq!(sampler.sample("old", SECOND), Sample::Suppress);
        assert_eq!(sampler.sample("new", SECOND * 2), write(0));
        assert_eq!(sampler.sample("new", SECOND * 3), Sample::Suppress);
        assert_eq!(sampler.sample("new", SECOND * 20), write(0));
        assert!(sampler.keys.contains_key("new"));
        assert_eq!(sampler.others.suppressed, 2);
    }

    #[test]
    fn a_clock_that_runs_backwards_does_no_harm() {
        let mut sampler = sampler(1, 1);
        assert_eq!(sampler.sample("c", SECOND * 100), write(0));
        assert_eq!(sampler.sample("c", SECOND), Sample::Suppress);
    }
}

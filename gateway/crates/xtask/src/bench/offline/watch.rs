use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::bench::process::{Process, occupied};
use crate::failure::Failure;

const PAUSE: Duration = Duration::from_millis(100);

/// Looks at a broker and its store every now and then, while something is done to it.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen meanwhile.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When, what had been written to the device, and what the store occupied.
    moments: Vec<(Duration, u64, u64)>,
    /// When each snapshot was seen first.
    snapshots: Vec<Duration>,
}

impl Watch {
    /// Watches until told otherwise. `snapshot` is a file that a broker replaces to save what it has.
    pub(super) fn begin(process: Process, store: PathBuf, snapshot: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            let (mut seen, mut newest) = (Seen::default(), saved_at(&snapshot));
            while !stopped.load(Ordering::Relaxed) {
                // A process that is gone is found out by who began this.
                if let Ok(written) = process.device_bytes() {
                    seen.moments.push((begin.elapsed(), written, occupied(&store)));
                }
                let saved = saved_at(&snapshot);
                if saved != newest {
                    seen.snapshots.push(begin.elapsed());
                    newest = saved;
                }
                thread::sleep(PAUSE);
            }
            seen
        });
        Self { stop, thread }
    }

    pub(super) fn end(self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let failed = |_| Failure::Other("the watch of a broker's store panicked".to_owned());
        self.thread.join().map_err(failed)
    }
}

impl Seen {
    /// What had been written by `moment`.
    pub(super) fn written_by(&self, moment: Duration) -> u64 {
        let before = self.moments.iter().take_while(|(at, ..)| *at <= moment).last();
        before.map_or(0, |(_, written, _)| *written)
    }

    /// The most that the store occupied.
    pub(super) fn largest(&self) -> u64 {
        self.moments.iter().map(|(.., occupied)| *occupied).max().unwrap_or(0)
    }

    /// The longest time from one snapshot to the next until `moment`, the one under way included.
    pub(super) fn between_snapshots(&self, moment: Duration) -> Duration {
        let until = self.snapshots.iter().copied().take_while(|at| *at < moment);
        let ends: Vec<Duration> =
            [Duration::ZERO].into_iter().chain(until).chain([moment]).collect();
        ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
    }
}

fn saved_at(snapshot: &Path) -> Option<SystemTime> {
    fs::metadata(snapshot).and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_looked_up() {
        let s = Duration::from_secs;
        let seen = Seen {
            moments: vec![(s(0), 10, 1), (s(1), 20, 7), (s(3), 30, 2)],
            snapshots: vec![s(2), s(3), s(7)],
        };
        assert_eq!((seen.written_by(s(2)), seen.largest()), (20, 7));
        assert_eq!(seen.between_snapshots(s(4)), s(2));
        assert_eq!(seen.between_snapshots(s(9)), s(4));
    }
}

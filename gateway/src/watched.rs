use std::time::{Duration, Instant};

use transport::Stamp;

/// How often files are looked at. What has changed is read when it looks the same for as long.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is known of files that may change at any time.
#[derive(Debug)]
pub(crate) struct Watched {
    /// How they looked when they were read last, whatever came of it.
    read: Stamp,
    /// How they look since when, if that is otherwise.
    fresh: Option<(Stamp, Instant)>,
}

impl Watched {
    /// Files that looked so just before they were read.
    pub(crate) fn new(read: Stamp) -> Self {
        Self { read, fresh: None }
    }

    /// Since when the files look as they do now, if they looked otherwise when they were read and this at
    /// the last look already: a file that is being written looks different each time.
    pub(crate) fn changed_since(&mut self, now: Stamp) -> Option<Instant> {
        if now == self.read {
            self.fresh = None;
            return None;
        }
        match &self.fresh {
            Some((stamp, since)) if *stamp == now => Some(*since),
            _ => {
                self.fresh = Some((now, Instant::now()));
                None
            }
        }
    }

    /// What there is has been read, whatever came of it.
    pub(crate) fn settle(&mut self) {
        if let Some((stamp, _)) = self.fresh.take() {
            self.read = stamp;
        }
    }
}

use std::time::Duration;

use bridge::{Opening, Timetable};

use crate::clock;

/// How long at a time an edge is slept towards. The clock may be set meanwhile, and a machine that was suspended has slept for longer.
const LOOK: Duration = Duration::from_secs(10);

/// A timetable by the clock on the wall.
pub(super) struct Schedule(Timetable);

impl Schedule {
    pub(super) fn new(timetable: &Timetable) -> Self {
        Self(timetable.clone())
    }

    /// What is open now.
    pub(super) fn look(&self) -> Opening {
        self.0.at(clock::trusted_s())
    }

    /// Waits until it is worth to look again.
    pub(super) async fn passes(&self) {
        if self.0 == Timetable::default() {
            return std::future::pending().await;
        }
        let edge = self.look().next_edge().map(|s| s.saturating_mul(1000));
        let wait = edge.map(|ms| Duration::from_millis(ms.saturating_sub(clock::wall_ms()).max(1)));
        tokio::time::sleep(wait.unwrap_or(LOOK).min(LOOK)).await;
    }

    /// Waits until the bridge is to have no connection.
    pub(super) async fn closes(&self) {
        while self.look().link.open {
            self.passes().await;
        }
    }
}

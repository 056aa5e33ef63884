//! What an agent does by the time of day.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bridge::{Backoff, Opening};

use super::Agent;
use crate::bridges::conversation::Conversation;
use crate::bridges::wish::{Wishes, changed};
use crate::secret;

/// How long what is on its way at the end of a window may take to come to its end.
const GRACE: Duration = Duration::from_secs(10);

/// Sessions that rest are looked after so often in the time for which one is kept without a conversation.
const RESTED_PART: u32 = 8;

/// What came of waiting for a window.
pub(super) enum Waited {
    /// There is one.
    Not,
    /// There was none, and now there is.
    Long,
    /// Something else is wished.
    Wished,
}

impl Agent {
    /// Has no connection while no window is open.
    pub(super) async fn await_window(&mut self, wishes: &mut Wishes) -> Waited {
        let mut waited = Waited::Not;
        loop {
            let opening = self.schedule.look();
            if opening.link.open {
                break;
            }
            waited = Waited::Long;
            self.status.closed(opening.link.until);
            self.keep_sessions();
            tokio::select! {
                () = self.schedule.passes() => {}
                () = changed(wishes) => return Waited::Wished,
            }
        }
        if matches!(waited, Waited::Long) {
            // All of a fleet have the same windows. What failed in the one before says nothing of this one.
            self.backoff = Backoff::new(self.bridge.retry_min, self.bridge.retry_max);
            let random = u64::from_ne_bytes(secret::random().unwrap_or_default());
            tokio::select! {
                () = tokio::time::sleep(self.backoff.next_wait(random)) => {}
                () = changed(wishes) => return Waited::Wished,
            }
        }
        waited
    }

    /// What is open now; messages of a priority that is not wait in their session, which the next connection leaves alone.
    pub(super) fn open_up(&mut self) -> Opening {
        let opening = self.schedule.look();
        self.sessions.admit(&opening.priorities);
        self.status.resting(opening.priorities);
        if self.rested.elapsed() > self.sessions.kept_for / RESTED_PART {
            self.sessions.keep_resting();
            self.rested = Instant::now();
        }
        opening
    }

    /// Waits until something is open that was not, or the other way round.
    pub(super) async fn edge(&self, from: &Opening) {
        loop {
            let opening = self.schedule.look();
            if !opening.is_as(from) {
                return;
            }
            // The clock may have been set.
            self.status.resting(opening.priorities);
            self.schedule.passes().await;
        }
    }

    /// Sees that sessions of priorities that rest do not come to their end while the connection goes on.
    pub(super) async fn keep_resting(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.sessions.kept_for / RESTED_PART).await;
            self.sessions.keep_resting();
        }
    }

    /// Has what is on its way come to its end, if that is soon; answers whether something else is wished.
    pub(super) async fn finish(talk: &mut Conversation<'_>, wishes: &mut Wishes) -> bool {
        tokio::select! {
            // What is not done by then comes again over the next connection.
            _ = tokio::time::timeout(GRACE, talk.finish()) => false,
            () = changed(wishes) => true,
        }
    }
}

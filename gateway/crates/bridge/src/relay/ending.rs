use session::Timestamp;

use super::{Phase, Relay};
use crate::End;

/// An end that leaves nothing half done.
impl Relay {
    /// Sends no further message of the local broker upstream; what is on its way there, and here, comes to its end.
    ///
    /// # Errors
    /// The end of all conversations.
    pub fn wind_up(&mut self, now: Timestamp) -> Result<(), End> {
        self.winds_up = true;
        // What is in a batch has had its turn. Left behind, all of it would come again.
        self.send_all_batches(now)
    }

    /// Whether nothing is on its way any more, what is to be sent included, so that the end of the connection is noticed by no
    /// message.
    #[must_use]
    pub fn is_wound_up(&self) -> bool {
        if self.phase != Phase::Running {
            return true;
        }
        let sent = self.upstream.output.is_empty()
            && self.locals.iter().all(|local| local.output.is_empty());
        let outward = self.in_flight.is_empty() && self.review.split.is_none();
        let inward = self.unanswered.is_empty() && self.unpacking.is_none();
        sent && outward && inward && self.letters.len() == 0
    }
}

//! What leaves by a bridge is published by it to a broker elsewhere, and shown as what clients publish is. There is nobody to
//! refuse it to when an extension fails, so a failure is told apart.

use std::sync::Arc;

use broker::{Draft, Interception};
use config::OnFailure;
use extension_host::{Failure, PublishAction};

use super::{Interceptor, Said, Screened, Seats};

/// What came of a message for upstream.
pub(crate) enum Forwarded {
    /// The interceptors have decided.
    Made(Interception),
    /// One of them failed.
    Failed {
        /// The version that is at fault.
        by: Arc<str>,
        why: String,
        /// It was asked and failed, and did not only happen to be away.
        is_its_own: bool,
    },
}

impl Screened {
    /// What becomes of what a bridge sends. Blocks.
    pub(crate) fn forward(&self, draft: &Draft) -> Forwarded {
        let mut failed = None;
        let made = self.put_through(draft, &mut |_, interceptor, shown| {
            let answer =
                interceptor.extension.intercept_publish(&self.who, &self.connecting, shown);
            tolerated(interceptor, (answer.by, answer.result), &mut failed)
        });
        made.map(Forwarded::Made).or(failed).unwrap_or(Forwarded::Made(Interception::Pass))
    }

    /// The same without waiting, if all who want to see it answer at once.
    pub(crate) fn forward_now(&self, draft: &Draft) -> Option<Forwarded> {
        let (mut seats, mut failed) = (Seats::default(), None);
        let made = self.put_through(draft, &mut |at, interceptor, shown| {
            let seat = seats.of(at, interceptor, self)?;
            let said = (Arc::clone(seat.by()), seat.intercept_publish(shown)?);
            tolerated(interceptor, said, &mut failed)
        });
        made.map(Forwarded::Made).or(failed)
    }
}

/// An answer, or a failure with which messages pass; the other failures end it.
fn tolerated(
    interceptor: &Interceptor,
    (by, result): Said<PublishAction>,
    failed: &mut Option<Forwarded>,
) -> Option<Said<PublishAction>> {
    match (&result, interceptor.grant.on_failure) {
        (Err(failure), OnFailure::Refuse) => {
            *failed = Some(Forwarded::Failed {
                by,
                why: failure.to_string(),
                is_its_own: matches!(
                    failure,
                    Failure::Trap(_)
                        | Failure::Deadline
                        | Failure::Memory
                        | Failure::InvalidAnswer(_)
                        | Failure::ClientTooLarge { .. }
                ),
            });
            None
        }
        _ => Some((by, result)),
    }
}

use std::time::Duration;

use mqtt::ReasonCode;

/// What the operator may want to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upstream did not grant a subscription.
    NotSubscribed {
        /// The filter, as upstream knows it.
        filter: String,
        /// What it said.
        code: ReasonCode,
    },
    /// Upstream did not give up a subscription.
    NotUnsubscribed {
        /// The filter, as upstream knows it.
        filter: String,
        /// What it said.
        code: ReasonCode,
    },
    /// A message for upstream went to the dead letters.
    Refused {
        /// Where it was published here.
        topic: String,
        /// Why, with the code of upstream where it is that.
        why: String,
    },
    /// The local broker could not keep a dead letter either.
    LetterLost {
        /// What it said.
        code: ReasonCode,
    },
    /// A message from upstream could not be published here.
    RefusedHere {
        /// Why.
        why: String,
    },
    /// A message was not passed on because it had been here, or there, before.
    Looped {
        /// Where it was published.
        topic: String,
    },
    /// A probe is out for longer than its interval.
    Degraded,
    /// Probes come back, for the first time or again.
    Healthy {
        /// From here through upstream and back.
        round_trip: Duration,
    },
    /// A message from upstream is for no rule.
    Unmatched {
        /// Where it was published there.
        topic: String,
    },
}

//! What extensions said, in the words of the broker.

use std::sync::Arc;
use std::time::Duration;

use broker::{Asked, Grounds, Verdict};
use extension_host::{Failure, Validity};
use mqtt::ReasonCode;

/// What `by` said of a publish, in so much time.
pub(crate) fn publish_verdict(
    by: &Arc<str>,
    took: Duration,
    result: Result<extension_host::Verdict, Failure>,
) -> (Verdict, Option<Validity>) {
    match result {
        Ok(given) => verdict(by, took, given),
        Err(failure) => (failed(by, took, &failure.to_string()), None),
    }
}

pub(crate) fn verdict(
    by: &Arc<str>,
    took: Duration,
    given: extension_host::Verdict,
) -> (Verdict, Option<Validity>) {
    match given {
        extension_host::Verdict::Allow { validity, .. } => (Verdict::Allow, validity),
        extension_host::Verdict::Deny { code, reason, validity } => {
            let why = reason.as_deref().unwrap_or("denied without a reason");
            (Verdict::Deny { code, why: grounds(by, took, why) }, validity)
        }
        extension_host::Verdict::Abstain => {
            let why = grounds(by, took, "the extension abstained");
            (Verdict::Deny { code: ReasonCode::NotAuthorized, why }, None)
        }
    }
}

/// The extension gave no verdict. The packets that answer have no code for a server that is not available; this one
/// does not say that asking again is useless.
pub(crate) fn failed(by: &Arc<str>, took: Duration, why: &str) -> Verdict {
    let code = ReasonCode::ImplementationSpecificError;
    Verdict::Deny { code, why: grounds(by, took, why) }
}

fn grounds(by: &Arc<str>, took: Duration, why: &str) -> Box<Grounds> {
    let asked = Asked { by: Arc::clone(by), took, cached: false };
    Box::new(Grounds { why: format!("{by}: {why}"), asked: Some(asked) })
}

//! What extensions said, in the words of the broker.

use broker::Verdict;
use extension_host::{Failure, Validity};
use mqtt::ReasonCode;

pub(crate) fn publish_verdict(
    by: &str,
    result: Result<extension_host::Verdict, Failure>,
) -> (Verdict, Option<Validity>) {
    match result {
        Ok(given) => verdict(by, given),
        Err(failure) => (failed(by, &failure.to_string()), None),
    }
}

pub(crate) fn verdict(by: &str, given: extension_host::Verdict) -> (Verdict, Option<Validity>) {
    match given {
        extension_host::Verdict::Allow { validity, .. } => (Verdict::Allow, validity),
        extension_host::Verdict::Deny { code, reason, validity } => {
            let why = reason.as_deref().unwrap_or("denied without a reason");
            (Verdict::Deny { code, why: format!("{by}: {why}") }, validity)
        }
        extension_host::Verdict::Abstain => {
            let why = format!("{by}: the extension abstained");
            (Verdict::Deny { code: ReasonCode::NotAuthorized, why }, None)
        }
    }
}

/// The extension gave no verdict. The packets that answer have no code for a server that is not available; this one
/// does not say that asking again is useless.
pub(crate) fn failed(by: &str, why: &str) -> Verdict {
    let code = ReasonCode::ImplementationSpecificError;
    Verdict::Deny { code, why: format!("{by}: {why}") }
}

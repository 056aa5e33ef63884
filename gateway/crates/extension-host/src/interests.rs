//! What the interceptors of an extension want to see.

use std::sync::Arc;

use mqtt::{TopicFilter, TopicFilterBuf};
use wasmtime::Store;

use crate::bindings::portcullis::gateway::interception;
use crate::guest::{Guest, Subject};
use crate::instance::{BoundHooks, BuildError, Instance, Plan};
use crate::interception::{Interest, MAX_INTEREST_FILTERS};

/// What each kind of interceptor wants to see; none for an extension without it.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    pub(crate) publish: Option<Arc<Interest>>,
    pub(crate) delivery: Option<Arc<Interest>>,
}

impl Interests {
    /// Asks an instance that was just made, or has just taken new settings. They decide, and do not change.
    pub(crate) fn of(instance: &mut Instance, plan: &Plan) -> Result<Self, BuildError> {
        let publish = match plan.exports.publish_interceptor {
            None => None,
            Some(_) => Some(asked(instance, plan, "publish-interceptor", |hooks, store| {
                Some(hooks.publish_interceptor.as_ref()?.call_wants(store))
            })?),
        };
        let delivery = match plan.exports.delivery_interceptor {
            None => None,
            Some(_) => Some(asked(instance, plan, "delivery-interceptor", |hooks, store| {
                Some(hooks.delivery_interceptor.as_ref()?.call_wants(store))
            })?),
        };
        Ok(Self { publish, delivery })
    }
}

fn asked(
    instance: &mut Instance,
    plan: &Plan,
    hook: &'static str,
    call: impl FnOnce(
        &BoundHooks,
        &mut Store<Guest>,
    ) -> Option<wasmtime::Result<interception::Interest>>,
) -> Result<Arc<Interest>, BuildError> {
    let (budget, subject) = (plan.limits.deadline_init, Subject::default());
    let given = instance.call(plan, "wants", budget, subject, call).map_err(BuildError::Failed)?;
    let interest = checked(&given.filters, given.payload_bytes);
    interest.map(Arc::new).map_err(|why| BuildError::BadInterest(hook, why))
}

fn checked(filters: &[String], payload_bytes: u32) -> Result<Interest, String> {
    if filters.is_empty() || filters.len() > MAX_INTEREST_FILTERS {
        return Err(format!("it has {} filters, not 1 to {MAX_INTEREST_FILTERS}", filters.len()));
    }
    let filters = filters.iter().map(|text| filter(text)).collect::<Result<_, _>>()?;
    Ok(Interest { filters, payload_bytes: usize::try_from(payload_bytes).unwrap_or(usize::MAX) })
}

fn filter(text: &str) -> Result<TopicFilterBuf, String> {
    let filter = TopicFilter::new(text)
        .map_err(|error| format!("{text:?} is not a topic filter: {error}"))?;
    match filter.share_group() {
        Some(_) => {
            Err(format!("{text:?} names a group; what is shared is no matter of interceptors"))
        }
        None => Ok(filter.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(filters: &[&str]) -> Result<Interest, String> {
        let filters: Vec<_> = filters.iter().map(|text| (*text).to_owned()).collect();
        checked(&filters, 7)
    }

    #[test]
    fn filters_are_some_valid_and_of_no_group() {
        let good = said(&["a/#", "+/b"]).expect("two filters");
        assert_eq!((good.filters.len(), good.payload_bytes), (2, 7));
        assert!(said(&["a"; MAX_INTEREST_FILTERS]).is_ok());
        for (bad, why) in [
            (&[][..], "0 filters, not 1 to 64"),
            (&["a"; MAX_INTEREST_FILTERS + 1][..], "65 filters"),
            (&["a", ""][..], "\"\" is not a topic filter"),
            (&["a/#/b"][..], "not a topic filter"),
            (&["$share/g/a"][..], "names a group"),
        ] {
            let error = said(bad).expect_err("no interest");
            assert!(error.contains(why), "{bad:?}: {error}");
        }
    }
}

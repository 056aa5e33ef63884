//! The methods of enhanced authentication that an extension offers.

use std::collections::BTreeSet;

use crate::guest::Subject;
use crate::instance::{BuildError, Instance, Plan};

/// Methods that one extension may offer at most.
const METHODS_MAX: usize = 16;
/// Bytes of a method's name at most.
const NAME_BYTES_MAX: usize = 256;

/// Names of methods; none for an extension without enhanced authentication.
#[derive(Debug, Default)]
pub(crate) struct Methods(BTreeSet<String>);

impl Methods {
    /// Asks an instance that was just made. Its configuration decides, and that does not change.
    pub(crate) fn of(instance: &mut Instance, plan: &Plan) -> Result<Self, BuildError> {
        if plan.exports.enhanced_authenticator.is_none() {
            return Ok(Self::default());
        }
        let (budget, subject) = (plan.limits.deadline_init, Subject::default());
        let names = instance
            .call(plan, "methods", budget, subject, |hooks, store| {
                Some(hooks.enhanced_authenticator.as_ref()?.call_methods(store))
            })
            .map_err(BuildError::Failed)?;
        Self::checked(names).map_err(BuildError::BadMethods)
    }

    pub(crate) fn contains(&self, method: &str) -> bool {
        self.0.contains(method)
    }

    fn checked(names: Vec<String>) -> Result<Self, String> {
        if names.is_empty() || names.len() > METHODS_MAX {
            return Err(format!("it names {} methods, not 1 to {METHODS_MAX}", names.len()));
        }
        let mut known = BTreeSet::new();
        for name in names {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                let bytes = name.len();
                return Err(format!(
                    "the name of a method has {bytes} bytes, not 1 to {NAME_BYTES_MAX}"
                ));
            }
            if name.chars().any(char::is_control) {
                return Err(format!("method {name:?} contains control characters"));
            }
            if known.contains(&name) {
                return Err(format!("method {name:?} is named twice"));
            }
            known.insert(name);
        }
        Ok(Self(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_short_printable_and_different() {
        let checked =
            |names: &[&str]| Methods::checked(names.iter().map(|n| (*n).into()).collect());
        let good = checked(&["SCRAM-SHA-256", "K"]).expect("two names");
        assert!(good.contains("K") && !good.contains("k"));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in [&[][..], &[""], &["a", "a"], &["a\n"], &[&long], &["a"; METHODS_MAX + 1]] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}

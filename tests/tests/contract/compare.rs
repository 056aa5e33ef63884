//! Whether one contract keeps what another promised.

use crate::contract::Contract;

/// What components that were built for `frozen` would miss in `now`: a sentence each, with the item, what is
/// wrong with it, the rule, and what helps.
pub(crate) fn compare(frozen: &Contract, now: &Contract) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, was) in &frozen.items {
        let why = match now.items.get(path) {
            Some(is) => was.broken_by(is, path),
            None => Some(
                "is gone, or has another name; what was published stays: put it back, and add the new one beside it"
                    .to_owned(),
            ),
        };
        if let Some(why) = why {
            broken.push(format!("{path} (frozen in {}) {why}", frozen.version));
        }
    }
    broken
}

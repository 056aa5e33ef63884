//! Equal permissions share one compiled set.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use crate::{PermissionSet, Permissions, RuleError};

/// The compiled sets in use. Equal [`Permissions`] give the same set, so that a thousand devices
/// with one role cost one; a set goes when the last client that has it goes.
#[derive(Debug, Default)]
pub struct PermissionSets {
    /// By hash of the permissions.
    sets: BTreeMap<u64, Vec<Weak<PermissionSet>>>,
    /// How many entries there may be before those of dropped sets are swept out.
    sweep_at: usize,
    entries: usize,
}

impl PermissionSets {
    /// No sets yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set for these permissions: the one that is in use for equal ones, or a new one.
    ///
    /// # Errors
    /// Those of [`PermissionSet::compile`].
    pub fn intern(&mut self, permissions: &Permissions) -> Result<Arc<PermissionSet>, RuleError> {
        let hash = hash(permissions);
        let equal = self.sets.get(&hash).and_then(|sets| {
            sets.iter().filter_map(Weak::upgrade).find(|set| set.permissions() == permissions)
        });
        if let Some(set) = equal {
            return Ok(set);
        }
        let set = Arc::new(PermissionSet::compile(permissions)?);
        if self.entries >= self.sweep_at {
            self.sweep();
        }
        self.sets.entry(hash).or_default().push(Arc::downgrade(&set));
        self.entries += 1;
        Ok(set)
    }

    /// How many sets are in use.
    pub fn len(&self) -> usize {
        self.sets.values().flatten().filter(|set| set.strong_count() > 0).count()
    }

    /// Whether no set is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each sweep waits until the entries have doubled: what it costs is shared by the
    /// insertions since the one before.
    fn sweep(&mut self) {
        self.sets.retain(|_, sets| {
            sets.retain(|set| set.strong_count() > 0);
            !sets.is_empty()
        });
        self.entries = self.sets.values().map(Vec::len).sum();
        self.sweep_at = (self.entries * 2).max(MIN_SWEEP);
    }
}

/// Below this many entries a sweep frees too little to be worth it.
const MIN_SWEEP: usize = 16;

/// The same in every process: nothing here may depend on chance.
fn hash(permissions: &Permissions) -> u64 {
    let mut state = DefaultHasher::new();
    permissions.source.hash(&mut state);
    (permissions.fallback as u8).hash(&mut state);
    for rule in &permissions.rules {
        (rule.effect as u8).hash(&mut state);
        (rule.actions.publish, rule.actions.subscribe).hash(&mut state);
        rule.filter.hash(&mut state);
        (rule.max_qos as u8).hash(&mut state);
        rule.retain.hash(&mut state);
        rule.label.hash(&mut state);
    }
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actions, Effect, Fallback, Rule};
    use mqtt::QoS;

    fn role(topic: &str) -> Permissions {
        let rule = Rule {
            effect: Effect::Allow,
            actions: Actions::BOTH,
            filter: topic.to_owned(),
            max_qos: QoS::AtLeastOnce,
            retain: false,
            label: None,
        };
        Permissions { rules: vec![rule], fallback: Fallback::Deny, source: "acl@1a2b".into() }
    }

    #[test]
    fn equal_permissions_are_one_set() {
        let mut sets = PermissionSets::new();
        let first = sets.intern(&role("a")).unwrap();
        let second = sets.intern(&role("a")).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let mut other = role("a");
        other.rules[0].retain = true;
        assert!(!Arc::ptr_eq(&first, &sets.intern(&other).unwrap()));
        other = role("a");
        other.source = "acl@9999".into();
        assert!(!Arc::ptr_eq(&first, &sets.intern(&other).unwrap()));
        assert_eq!(sets.len(), 1);
    }

    #[test]
    fn what_nobody_uses_is_dropped() {
        let mut sets = PermissionSets::new();
        let kept = sets.intern(&role("kept")).unwrap();
        for n in 0..10_000 {
            drop(sets.intern(&role(&format!("role{n}"))).unwrap());
        }
        assert_eq!(sets.len(), 1);
        assert!(sets.entries <= MIN_SWEEP, "{} entries remain", sets.entries);
        assert!(Arc::ptr_eq(&kept, &sets.intern(&role("kept")).unwrap()));
    }

    #[test]
    fn a_fault_leaves_nothing_behind() {
        let mut sets = PermissionSets::new();
        assert!(sets.intern(&role("a/#/b")).is_err());
        assert!(sets.is_empty());
    }
}

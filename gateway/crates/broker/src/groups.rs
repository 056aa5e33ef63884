use std::collections::HashMap;

use foldhash::fast::FixedState;
use mqtt::{TopicFilter, TopicFilterBuf};
use slab::Slab;

use crate::durable::{GROUP, Subscription};
use crate::subscriptions::Entry;

/// The shared subscriptions (MQTT 5, 4.8.2): sessions that named the same share and the same
/// filter are members of one group, and each message goes to one of them.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By `$share/NAME/FILTER`.
    by_filter: HashMap<TopicFilterBuf, u32, FixedState>,
    groups: Slab<Group>,
    members: usize,
}

/// The members of one shared subscription.
#[derive(Debug)]
pub(crate) struct Group {
    /// `$share/NAME/FILTER`.
    pub(crate) filter: TopicFilterBuf,
    /// In the order in which they joined.
    pub(crate) members: Vec<Entry>,
    /// Messages that went to the group, which decides whose turn it is.
    turns: usize,
}

/// A number by which a queue entry on disk names the group that it came of, above every subscription
/// identifier. Should two groups of one session have the same, one may get what was the other's.
pub(crate) fn mark(filter: &TopicFilterBuf) -> u32 {
    // FNV-1a, which is the same in every version of the gateway.
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    filter.as_str().as_bytes().iter().fold(0x811C_9DC5, step) | GROUP
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is a new group of this number.
    Begun(u32),
    /// The group's members are others, or want something else.
    Changed,
    /// The last member has left the group of this number.
    Ended(u32),
    /// It is all as it was.
    Nothing,
}

impl Groups {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            by_filter: HashMap::with_hasher(FixedState::with_seed(seed)),
            groups: Slab::new(),
            members: 0,
        }
    }

    /// Makes a session a member, or changes what it asked for.
    pub(crate) fn join(
        &mut self,
        filter: TopicFilter<'_>,
        session: u32,
        subscription: Subscription,
    ) -> Change {
        let entry = Entry { session, subscription };
        if let Some(&number) = self.by_filter.get(filter.as_str()) {
            if let Some(group) = self.groups.get_mut(number as usize) {
                match group.members.iter_mut().find(|member| member.session == session) {
                    Some(member) => *member = entry,
                    None => {
                        group.members.push(entry);
                        self.members += 1;
                    }
                }
            }
            return Change::Changed;
        }
        let filter = filter.to_owned();
        let group = Group { filter: filter.clone(), members: vec![entry], turns: 0 };
        let number = u32::try_from(self.groups.insert(group)).unwrap_or(u32::MAX);
        self.by_filter.insert(filter, number);
        self.members += 1;
        Change::Begun(number)
    }

    /// A session leaves its group.
    pub(crate) fn leave(&mut self, filter: TopicFilter<'_>, session: u32) -> Change {
        let Some(&number) = self.by_filter.get(filter.as_str()) else { return Change::Nothing };
        let Some(group) = self.groups.get_mut(number as usize) else { return Change::Nothing };
        let before = group.members.len();
        group.members.retain(|member| member.session != session);
        if group.members.len() == before {
            return Change::Nothing;
        }
        self.members -= 1;
        if !group.members.is_empty() {
            return Change::Changed;
        }
        self.groups.remove(number as usize);
        self.by_filter.remove(filter.as_str());
        Change::Ended(number)
    }

    /// The group of this number.
    pub(crate) fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }

    /// The number of the group of `filter`, which names its share.
    pub(crate) fn number(&self, filter: &TopicFilterBuf) -> Option<u32> {
        self.by_filter.get(filter.as_str()).copied()
    }

    /// Whose turn it is, as a number that goes up by one with each message to the group.
    pub(crate) fn next_turn(&mut self, number: u32) -> usize {
        let Some(group) = self.groups.get_mut(number as usize) else { return 0 };
        group.turns = group.turns.wrapping_add(1);
        group.turns
    }

    /// Number of shared subscriptions, each member's counted.
    pub(crate) fn members(&self) -> usize {
        self.members
    }
}

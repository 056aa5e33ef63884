use std::collections::HashMap;

use foldhash::fast::FixedState;
use mqtt::TopicFilter;

use crate::durable::Subscription;
use crate::groups::{Change, Groups};

/// Every subscription of every session, as a tree of topic levels.
///
/// The generation changes with each change of the tree or of what its sessions may
/// receive, so that results of [`for_each_match`](Self::for_each_match) can be kept
/// until then.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    nodes: Vec<Node>,
    free: Vec<u32>,
    hasher: FixedState,
    pub(crate) groups: Groups,
    generation: u64,
    count: usize,
}

/// One level of filters. Looked up by key only, never iterated, so that the order of
/// a map decides nothing.
#[derive(Debug, Default)]
struct Node {
    parent: Option<(u32, Step)>,
    children: HashMap<Box<str>, u32, FixedState>,
    single: Option<u32>,
    /// Filters that end here.
    here: Vec<Entry>,
    /// Filters that go on with `#`; it matches the parent level too (MQTT-4.7.1-2).
    below: Vec<Entry>,
    /// The same for groups that share a subscription, by number.
    shared_here: Vec<u32>,
    shared_below: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Level(Box<str>),
    Single,
}

/// Who subscribed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) session: u32,
    pub(crate) subscription: Subscription,
}

/// Who gets a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Match<'a> {
    /// A session by itself.
    Session(&'a Entry),
    /// One member of the group of this number.
    Group(u32),
}

const ROOT: u32 = 0;

impl Subscriptions {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            nodes: vec![Node {
                children: HashMap::with_hasher(FixedState::with_seed(seed)),
                ..Node::default()
            }],
            free: Vec::new(),
            hasher: FixedState::with_seed(seed),
            groups: Groups::new(seed),
            generation: 1,
            count: 0,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Something else that decides who gets what has changed.
    pub(crate) fn invalidate(&mut self) {
        self.generation += 1;
    }

    /// Number of subscriptions, shared ones included.
    pub(crate) fn len(&self) -> usize {
        self.count + self.groups.members()
    }

    /// Adds a subscription, or replaces what was asked for with the same filter. One that is
    /// shared makes the session a member of a group.
    pub(crate) fn insert(
        &mut self,
        filter: TopicFilter<'_>,
        session: u32,
        subscription: Subscription,
    ) {
        self.generation += 1;
        if filter.share_group().is_some() {
            if let Change::Begun(group) = self.groups.join(filter, session, subscription) {
                let (at, multi) = self.place(filter);
                self.shared(at, multi).push(group);
            }
            return;
        }
        let (at, multi) = self.place(filter);
        let entries = self.entries(at, multi);
        match entries.iter_mut().find(|e| e.session == session) {
            Some(entry) => entry.subscription = subscription,
            None => {
                entries.push(Entry { session, subscription });
                self.count += 1;
            }
        }
    }

    /// Removes a subscription; false if there is none.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>, session: u32) -> bool {
        if filter.share_group().is_some() {
            return self.leave(filter, session);
        }
        let Some((at, multi)) = self.find(filter) else { return false };
        let entries = self.entries(at, multi);
        let Some(position) = entries.iter().position(|e| e.session == session) else {
            return false;
        };
        entries.remove(position);
        self.count -= 1;
        self.generation += 1;
        self.prune(at);
        true
    }

    fn leave(&mut self, filter: TopicFilter<'_>, session: u32) -> bool {
        let change = self.groups.leave(filter, session);
        if change == Change::Nothing {
            return false;
        }
        self.generation += 1;
        if let (Change::Ended(group), Some((at, multi))) = (change, self.find(filter)) {
            self.shared(at, multi).retain(|known| *known != group);
            self.prune(at);
        }
        true
    }

    /// The node at which `filter` ends, and whether it goes on with `#`; made if need be.
    fn place(&mut self, filter: TopicFilter<'_>) -> (u32, bool) {
        let (levels, multi) = split(filter.matcher());
        let mut at = ROOT;
        for level in levels {
            at = self.child_or_new(at, level);
        }
        (at, multi)
    }

    /// As [`place`](Self::place), where that node exists.
    fn find(&self, filter: TopicFilter<'_>) -> Option<(u32, bool)> {
        let (levels, multi) = split(filter.matcher());
        let mut at = ROOT;
        for level in levels {
            at = self.child(at, level)?;
        }
        Some((at, multi))
    }

    /// Calls `each` for every subscription that matches `topic`, overlapping ones of
    /// one session included.
    pub(crate) fn for_each_match(&self, topic: &str, mut each: impl FnMut(Match<'_>)) {
        self.walk(ROOT, Some(topic), true, &mut each);
    }

    /// `rest` is what is left of the topic; `None` when `at` is its last level. The depth of
    /// the recursion is that of the longest filter, which the limit on filter levels bounds.
    fn walk(&self, at: u32, rest: Option<&str>, first: bool, each: &mut impl FnMut(Match<'_>)) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        // MQTT-4.7.2-1: a leading wildcard does not match a topic that begins with `$`.
        let wildcards = !(first && rest.is_some_and(|t| t.starts_with('$')));
        if wildcards {
            node.below.iter().for_each(|entry| each(Match::Session(entry)));
            node.shared_below.iter().for_each(|group| each(Match::Group(*group)));
        }
        let Some(rest) = rest else {
            node.here.iter().for_each(|entry| each(Match::Session(entry)));
            node.shared_here.iter().for_each(|group| each(Match::Group(*group)));
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(&child) = node.children.get(level) {
            self.walk(child, rest, false, each);
        }
        if wildcards && let Some(child) = node.single {
            self.walk(child, rest, false, each);
        }
    }

    fn child(&self, at: u32, level: &str) -> Option<u32> {
        let node = self.nodes.get(at as usize)?;
        if level == "+" { node.single } else { node.children.get(level).copied() }
    }

    fn child_or_new(&mut self, at: u32, level: &str) -> u32 {
        if let Some(child) = self.child(at, level) {
            return child;
        }
        let step = if level == "+" { Step::Single } else { Step::Level(level.into()) };
        let node = Node {
            parent: Some((at, step.clone())),
            children: HashMap::with_hasher(self.hasher.clone()),
            ..Node::default()
        };
        let child = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let parent = &mut self.nodes[at as usize];
        match step {
            Step::Single => parent.single = Some(child),
            Step::Level(level) => {
                parent.children.insert(level, child);
            }
        }
        child
    }

    fn entries(&mut self, at: u32, multi: bool) -> &mut Vec<Entry> {
        let node = &mut self.nodes[at as usize];
        if multi { &mut node.below } else { &mut node.here }
    }

    fn shared(&mut self, at: u32, multi: bool) -> &mut Vec<u32> {
        let node = &mut self.nodes[at as usize];
        if multi { &mut node.shared_below } else { &mut node.shared_here }
    }

    /// Gives back nodes that hold nothing, from `at` upwards.
    fn prune(&mut self, mut at: u32) {
        loop {
            let node = &self.nodes[at as usize];
            let leaf = node.children.is_empty() && node.single.is_none();
            let alone = node.here.is_empty() && node.below.is_empty();
            let unshared = node.shared_here.is_empty() && node.shared_below.is_empty();
            if !(leaf && alone && unshared) {
                return;
            }
            let Some((parent, step)) = self.nodes[at as usize].parent.take() else { return };
            match step {
                Step::Single => self.nodes[parent as usize].single = None,
                Step::Level(level) => {
                    self.nodes[parent as usize].children.remove(&level);
                }
            }
            self.nodes[at as usize] = Node::default();
            self.free.push(at);
            at = parent;
        }
    }
}

/// The levels of a filter without a final `#`, and whether it had one.
fn split(filter: &str) -> (impl Iterator<Item = &str>, bool) {
    let (levels, multi) = match filter.strip_suffix('#') {
        Some(rest) => (rest.strip_suffix('/'), true),
        None => (Some(filter), false),
    };
    (levels.into_iter().flat_map(|levels| levels.split('/')), multi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::SubscribeOptions;

    fn tree(filters: &[&str]) -> Subscriptions {
        let mut tree = Subscriptions::new(7);
        for (n, filter) in (0..).zip(filters) {
            let filter = TopicFilter::new(filter).expect("valid filter");
            let options = SubscribeOptions::default();
            tree.insert(filter, n, Subscription { options, id: None });
        }
        tree
    }

    /// The sessions whose filter matches, in ascending order.
    fn check(filters: &[&str], topic: &str, expected: &[u32]) {
        let mut found = Vec::new();
        let tree = tree(filters);
        tree.for_each_match(topic, |found_now| match found_now {
            Match::Session(entry) => found.push(entry.session),
            Match::Group(group) => {
                let members = &tree.groups.get(group).expect("a group that exists").members;
                found.extend(members.iter().map(|member| member.session));
            }
        });
        found.sort_unstable();
        assert_eq!(found, expected, "{filters:?} on {topic}");
    }

    #[test]
    fn filters_match_as_section_4_7_says() {
        let filters =
            ["sport/tennis/player1/#", "sport/#", "#", "+", "+/tennis/#", "sport/+", "/+", "+/+"];
        check(&filters, "sport/tennis/player1", &[0, 1, 2, 4]);
        check(&filters, "sport/tennis/player1/ranking", &[0, 1, 2, 4]);
        check(&filters, "sport", &[1, 2, 3]);
        check(&filters, "sport/", &[1, 2, 5, 7]);
        check(&filters, "/finance", &[2, 6, 7]);
        check(&["a//b", "a/+/b", "a/#"], "a//b", &[0, 1, 2]);
    }

    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        check(&["#", "+/uptime", "$SYS/#", "$SYS/+"], "$SYS/uptime", &[2, 3]);
        check(&["a/#", "a/+"], "a/$x", &[0, 1]);
    }

    #[test]
    fn a_shared_filter_matches_as_the_filter_in_it() {
        let filters = ["$share/g/a/+", "$share/h/a/+", "$share/g/#", "$share/g/a/b"];
        check(&filters, "a/b", &[0, 1, 2, 3]);
        check(&filters, "$SYS/b", &[]);
        check(&["$share/g/$SYS/#"], "$SYS/b", &[0]);
    }

    #[test]
    fn removing_gives_every_node_back() {
        let filters = ["a/b/c", "a/+/c", "a/#", "#", "a/b", "$share/g/a/#", "$share/g/x/+"];
        let mut tree = tree(&filters);
        for (n, filter) in (0..).zip(&filters) {
            let filter = TopicFilter::new(filter).expect("valid filter");
            assert!(tree.remove(filter, n));
            assert!(!tree.remove(filter, n), "only once");
        }
        assert_eq!(tree.len(), 0);
        assert_eq!(tree.free.len(), tree.nodes.len() - 1, "only the root is in use");
    }
}

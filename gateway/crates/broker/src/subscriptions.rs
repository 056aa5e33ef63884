use std::collections::HashMap;

use foldhash::fast::FixedState;
use mqtt::TopicFilter;

use crate::durable::Subscription;
use crate::groups::{Change, Groups};

/// Every subscription of every session, as a tree of topic levels. Levels at which nothing ends or parts are one step of it:
/// a filter takes two nodes at most, however many levels it has, and a look at it no more than a comparison of texts.
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

/// Where filters end or part. Looked up by key only, never iterated, so that the order of
/// a map decides nothing.
#[derive(Debug, Default)]
struct Node {
    /// The node above, and the first level of the way from there.
    parent: Option<(u32, Step)>,
    /// The further levels of that way, each behind a `/`.
    way: Box<str>,
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

#[derive(Clone, Debug, PartialEq, Eq)]
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
        let (mut path, multi) = split(filter.matcher());
        let mut at = ROOT;
        while let Some(rest) = path {
            let (level, behind) = first_level(rest);
            let Some(child) = self.child(at, level) else {
                return (self.grow(at, Step::of(level), behind), multi);
            };
            let (shared, left) = self.common(child, behind);
            at = self.part(child, shared);
            path = left;
        }
        (at, multi)
    }

    /// As [`place`](Self::place), where that node exists.
    fn find(&self, filter: TopicFilter<'_>) -> Option<(u32, bool)> {
        let (mut path, multi) = split(filter.matcher());
        let mut at = ROOT;
        while let Some(rest) = path {
            let (level, behind) = first_level(rest);
            at = self.child(at, level)?;
            let (shared, left) = self.common(at, behind);
            if shared < self.nodes.get(at as usize)?.way.len() {
                return None;
            }
            path = left;
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
        let (level, rest) = first_level(rest);
        if let Some(&child) = node.children.get(level) {
            self.go(child, rest, each);
        }
        if wildcards && let Some(child) = node.single {
            self.go(child, rest, each);
        }
    }

    /// Walks on from a node whose first level has matched, if the others of its way match too.
    fn go(&self, to: u32, rest: Option<&str>, each: &mut impl FnMut(Match<'_>)) {
        let Some(node) = self.nodes.get(to as usize) else { return };
        if let Some(rest) = follow(&node.way, rest) {
            self.walk(to, rest, false, each);
        }
    }

    fn child(&self, at: u32, level: &str) -> Option<u32> {
        let node = self.nodes.get(at as usize)?;
        if level == "+" { node.single } else { node.children.get(level).copied() }
    }

    /// How much of a node's way `path` shares, in bytes, and what is left of `path` then.
    fn common<'p>(&self, node: u32, mut path: Option<&'p str>) -> (usize, Option<&'p str>) {
        let way = self.nodes.get(node as usize).map_or("", |node| &node.way);
        let mut shared = 0;
        for level in levels(way) {
            let Some((own, behind)) = path.map(first_level) else { break };
            if own != level {
                break;
            }
            shared += 1 + level.len();
            path = behind;
        }
        (shared, path)
    }

    /// Makes a node below `at`.
    fn grow(&mut self, at: u32, step: Step, path: Option<&str>) -> u32 {
        let way = path.map(|path| format!("/{path}")).unwrap_or_default();
        let parent = Some((at, step.clone()));
        let child = self.add(Node { parent, way: way.into(), ..self.bare() });
        self.link(at, step, child);
        child
    }

    /// The node that lies so many bytes down the way to `node`; made unless that is `node` itself.
    fn part(&mut self, node: u32, at: usize) -> u32 {
        let lower = &mut self.nodes[node as usize];
        let Some((upper_way, rest)) = lower.way.split_at_checked(at) else { return node };
        let Some((level, way)) = rest.strip_prefix('/').map(cut) else { return node };
        let (step, upper_way, way) = (Step::of(level), Box::from(upper_way), Box::from(way));
        lower.way = way;
        let parent = lower.parent.take();
        let upper = self.add(Node { parent: parent.clone(), way: upper_way, ..self.bare() });
        self.nodes[node as usize].parent = Some((upper, step.clone()));
        self.link(upper, step, node);
        if let Some((above, step)) = parent {
            self.link(above, step, upper);
        }
        upper
    }

    fn bare(&self) -> Node {
        Node { children: HashMap::with_hasher(self.hasher.clone()), ..Node::default() }
    }

    fn add(&mut self, node: Node) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    fn link(&mut self, parent: u32, step: Step, child: u32) {
        let parent = &mut self.nodes[parent as usize];
        match step {
            Step::Single => parent.single = Some(child),
            Step::Level(level) => {
                parent.children.insert(level, child);
            }
        }
    }

    fn entries(&mut self, at: u32, multi: bool) -> &mut Vec<Entry> {
        let node = &mut self.nodes[at as usize];
        if multi { &mut node.below } else { &mut node.here }
    }

    fn shared(&mut self, at: u32, multi: bool) -> &mut Vec<u32> {
        let node = &mut self.nodes[at as usize];
        if multi { &mut node.shared_below } else { &mut node.shared_here }
    }

    /// Gives back `at` if it holds nothing, and the one above if nothing parts there any more.
    fn prune(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        if node.holds_something() {
            return;
        }
        match node.only_child() {
            Ok(None) => {
                let Some((parent, step)) = self.nodes[at as usize].parent.take() else { return };
                match step {
                    Step::Single => self.nodes[parent as usize].single = None,
                    Step::Level(level) => {
                        self.nodes[parent as usize].children.remove(&level);
                    }
                }
                self.give_back(at);
                self.prune(parent);
            }
            Ok(Some(child)) => self.join(at, child),
            Err(Several) => {}
        }
    }

    /// Makes the way to `child` begin where that to `at` does, which is above it and has no other.
    fn join(&mut self, at: u32, child: u32) {
        // The root has no way.
        let Some((above, step)) = self.nodes[at as usize].parent.take() else { return };
        let upper = std::mem::take(&mut self.nodes[at as usize].way);
        let lower = &mut self.nodes[child as usize];
        let level = match &lower.parent {
            Some((_, Step::Level(level))) => level,
            _ => "+",
        };
        lower.way = format!("{upper}/{level}{}", lower.way).into();
        lower.parent = Some((above, step.clone()));
        self.link(above, step, child);
        self.give_back(at);
    }

    fn give_back(&mut self, at: u32) {
        self.nodes[at as usize] = Node::default();
        self.free.push(at);
    }
}

/// More than one.
struct Several;

impl Node {
    fn holds_something(&self) -> bool {
        !(self.here.is_empty()
            && self.below.is_empty()
            && self.shared_here.is_empty()
            && self.shared_below.is_empty())
    }

    fn only_child(&self) -> Result<Option<u32>, Several> {
        match (self.children.len(), self.single) {
            (0, single) => Ok(single),
            // Of one there is no order.
            (1, None) => Ok(self.children.values().next().copied()),
            _ => Err(Several),
        }
    }
}

impl Step {
    fn of(level: &str) -> Self {
        if level == "+" { Self::Single } else { Self::Level(level.into()) }
    }
}

/// The levels of a filter without a final `#`, none for `#` itself, and whether it had one.
fn split(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix('#') {
        Some(rest) => (rest.strip_suffix('/'), true),
        None => (Some(filter), false),
    }
}

/// The first level of a topic or filter, and those behind it.
fn first_level(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, behind)) => (level, Some(behind)),
        None => (text, None),
    }
}

/// The first level of what is left of a way, and the further ones with the `/` before them.
fn cut(text: &str) -> (&str, &str) {
    text.split_at(text.find('/').unwrap_or(text.len()))
}

/// What is left of a topic behind the levels of `way`, if they match. Byte by byte: a client may have a thousand ways of as
/// many levels as a topic may have, and all of them are looked at for a topic that nobody has published to before.
fn follow<'t>(way: &str, rest: Option<&'t str>) -> Option<Option<&'t str>> {
    let Some(way) = way.strip_prefix('/') else { return Some(rest) };
    let topic = rest?;
    let bytes = topic.as_bytes();
    let mut at = 0;
    for wanted in way.bytes() {
        // A wildcard is a whole level (MQTT-4.7.1-3).
        if wanted == b'+' {
            let left = bytes.get(at..)?;
            at += left.iter().position(|byte| *byte == b'/').unwrap_or(left.len());
        } else if bytes.get(at) == Some(&wanted) {
            at += 1;
        } else {
            return None;
        }
    }
    match bytes.get(at) {
        None => Some(None),
        Some(b'/') => Some(topic.get(at + 1..)),
        Some(_) => None,
    }
}

/// The levels of a way, each of which is behind a `/`.
fn levels(way: &str) -> impl Iterator<Item = &str> {
    // Before the first `/` there is nothing.
    way.split('/').skip(1)
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

    /// A client with a thousand filters of 128 levels made others wait for seconds, and took tens of MiB.
    #[test]
    fn a_filter_takes_two_nodes_however_deep_it_is() {
        let mut dice = 7_u64;
        let mut filter = || {
            let mut level = |_| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if dice >> 63 == 0 { "/a" } else { "/+" }
            };
            format!("x{}", (0..127).map(&mut level).collect::<String>())
        };
        let filters: Vec<String> = (0..1000).map(|_| filter()).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let tree = tree(&filters);
        assert!(tree.nodes.len() <= 1 + 2 * filters.len(), "{} nodes", tree.nodes.len());
        let mut found = 0;
        tree.for_each_match(&format!("x{}", "/a".repeat(127)), |_| found += 1);
        assert_eq!(found, filters.len());
    }

    /// Filters come and go in any order; what matches is what matches one by one, and nothing is left of them.
    #[test]
    fn ways_part_and_join_again() {
        let mut dice = 11_u64;
        let mut roll = |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut text = |words: &[&str]| {
            let count = 1 + roll(5);
            let levels = (0..count).map(|_| words[roll(words.len() as u64) as usize]);
            levels.collect::<Vec<_>>().join("/")
        };
        let mut tree = Subscriptions::new(7);
        let mut known: Vec<(u32, String)> = Vec::new();
        for session in 0..3000 {
            let mut filter = text(&["a", "b", "", "+"]);
            if session % 4 == 0 {
                filter = if session % 8 == 0 { format!("{filter}/#") } else { "#".to_owned() };
            }
            let subscription = Subscription { options: SubscribeOptions::default(), id: None };
            if let Ok(valid) = TopicFilter::new(&filter) {
                tree.insert(valid, session, subscription);
                known.push((session, filter));
            }
            if known.len() > 20 {
                let (session, filter) = known.swap_remove(session as usize * 7 % known.len());
                assert!(tree.remove(TopicFilter::new(&filter).expect("it was"), session));
            }
            let topic = text(&["a", "b", "", "c"]);
            let Ok(name) = mqtt::TopicName::new(&topic) else { continue };
            let mut found = Vec::new();
            tree.for_each_match(&topic, |it| match it {
                Match::Session(entry) => found.push(entry.session),
                Match::Group(group) => panic!("group {group}"),
            });
            found.sort_unstable();
            let matches = |filter: &str| TopicFilter::new(filter).expect("it was").matches(name);
            let mut expected: Vec<u32> =
                known.iter().filter(|(_, f)| matches(f)).map(|(session, _)| *session).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic} of {known:?}");
            assert!(tree.nodes.len() - tree.free.len() <= 1 + 2 * known.len());
        }
        for (session, filter) in known {
            assert!(tree.remove(TopicFilter::new(&filter).expect("it was"), session));
        }
        assert_eq!(tree.free.len(), tree.nodes.len() - 1, "only the root is in use");
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

//! Finding the first rule that matches without trying each.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::Identity;
use crate::template::{Fit, Level, Pattern, Placeholder, Template};

/// The most rules in a permission set: more than any hand-written list, and few enough that the
/// slowest possible check stays below a millisecond on the smallest supported box.
pub(crate) const MAX_RULES: usize = 10_000;

/// The rules of one action as a tree by topic level.
///
/// One walk serves topics and filters alike: a rule covers a filter without wildcards exactly
/// when it matches it as a topic. Of a filter with wildcards, `+` is covered by `+` and `#` only,
/// and `#` by `#` only.
///
/// Every node knows the lowest rule beneath it, so that a walk leaves out whatever could not come
/// before the match that it has.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex {
    root: Node,
}

impl RuleIndex {
    /// Adds a rule. Of two with the same template the first added counts.
    pub(crate) fn insert(&mut self, template: &Template, rule: u16) {
        // `+/#` and `#` match the same topics: those with at least one level, `$` topics
        // excluded. With one form for both, each covers the other.
        let levels = match template.levels() {
            [Level::Any, Level::Rest] => &[Level::Rest],
            levels => levels,
        };
        self.root.insert(levels, rule);
    }

    /// The first rule that matches every topic that `filter` matches. A topic is a filter that
    /// matches itself alone.
    pub(crate) fn first(&self, filter: &str, who: &Identity) -> Option<u16> {
        if self.root.lowest == NONE {
            return None;
        }
        let mut walk = Walk { who, best: NONE, passed_over: None };
        walk.root(&self.root, filter);
        some(walk.best)
    }

    /// The lowest rule before `first` that has a placeholder for which the client has no usable value, and that might
    /// have matched otherwise. Looks at each placeholder on the way, so it is for denials, which are told with their
    /// reason.
    pub(crate) fn passed_over(
        &self,
        filter: &str,
        who: &Identity,
        first: Option<u16>,
    ) -> Option<u16> {
        let mut walk = Walk { who, best: NONE, passed_over: Some(NONE) };
        walk.root(&self.root, filter);
        walk.passed_over.filter(|rule| *rule < first.unwrap_or(NONE))
    }
}

/// Stands for "no rule", above each number that a rule can have.
const NONE: u16 = u16::MAX;
const _: () = assert!(MAX_RULES < NONE as usize);

fn some(rule: u16) -> Option<u16> {
    (rule != NONE).then_some(rule)
}

#[derive(Debug)]
struct Node {
    /// The lowest rule here or beneath.
    lowest: u16,
    /// The rule that ends here.
    end: u16,
    /// The rule that ends in `#` here.
    rest: u16,
    /// Below `+`.
    any: Option<Box<Node>>,
    /// Below a literal level. Only ever looked up, so that its order does not matter; whoever
    /// writes the rules chooses the keys, so that the hash needs no secret.
    literals: HashMap<Box<str>, Node, FixedState>,
    /// Below a level that is one placeholder.
    values: Option<Box<Values>>,
    /// Below a level that is more than one placeholder.
    patterns: Vec<(Pattern, Node)>,
}

/// What is below levels that are one placeholder each. A client has few values, and a set may have many placeholders:
/// so the values of the client are looked up, and not the placeholders tried.
#[derive(Debug, Default)]
struct Values {
    /// In the order in which they were added.
    nodes: Vec<(Placeholder, Node)>,
    client_id: Option<usize>,
    principal: Option<usize>,
    attributes: HashMap<Box<str>, usize, FixedState>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            lowest: NONE,
            end: NONE,
            rest: NONE,
            any: None,
            literals: HashMap::default(),
            values: None,
            patterns: Vec::new(),
        }
    }
}

impl Node {
    fn insert(&mut self, levels: &[Level], rule: u16) {
        self.lowest = self.lowest.min(rule);
        let Some((level, below)) = levels.split_first() else {
            self.end = self.end.min(rule);
            return;
        };
        match level {
            Level::Rest => self.rest = self.rest.min(rule),
            Level::Any => self.any.get_or_insert_default().insert(below, rule),
            Level::Literal(text) => {
                self.literals.entry(text.clone()).or_default().insert(below, rule);
            }
            Level::Pattern(pattern) if let Some(placeholder) = pattern.alone() => {
                self.values.get_or_insert_default().insert(placeholder, below, rule);
            }
            Level::Pattern(pattern) => {
                if let Some((_, node)) = self.patterns.iter_mut().find(|(key, _)| key == pattern) {
                    node.insert(below, rule);
                } else {
                    let mut node = Self::default();
                    node.insert(below, rule);
                    self.patterns.push((pattern.clone(), node));
                }
            }
        }
    }
}

impl Values {
    fn insert(&mut self, placeholder: &Placeholder, below: &[Level], rule: u16) {
        let next = self.nodes.len();
        let at = match placeholder {
            Placeholder::ClientId => *self.client_id.get_or_insert(next),
            Placeholder::Principal => *self.principal.get_or_insert(next),
            Placeholder::Attribute(name) => *self.attributes.entry(name.clone()).or_insert(next),
        };
        if let Some((_, node)) = self.nodes.get_mut(at) {
            node.insert(below, rule);
        } else {
            let mut node = Node::default();
            node.insert(below, rule);
            self.nodes.push((placeholder.clone(), node));
        }
    }

    fn at(&self, place: Option<usize>) -> Option<&Node> {
        self.nodes.get(place?).map(|(_, node)| node)
    }
}

struct Walk<'a> {
    who: &'a Identity,
    best: u16,
    /// The lowest rule so far whose placeholder has no usable value; `None` where nobody asks.
    passed_over: Option<u16>,
}

impl Walk<'_> {
    /// The first level differs from the others in two ways: a leading `$` is reached by literals
    /// only (MQTT 5.0, 4.7.2), and `+/#` counts as `#`.
    fn root(&mut self, root: &Node, filter: &str) {
        if filter == "+/#" || filter == "#" {
            self.best = root.rest;
        } else if filter.starts_with('$') {
            let (level, tail) = split(filter);
            if let Some(node) = root.literals.get(level) {
                self.node(node, tail);
            }
            // A pattern that starts with text may well start with `$`.
            self.patterns(root, level, tail, true);
            self.values(root, level, tail, true);
        } else {
            self.best = root.rest;
            if root.lowest < self.best {
                self.below(root, filter, true);
            }
        }
    }

    fn node(&mut self, node: &Node, remaining: Option<&str>) {
        if node.lowest >= self.best {
            return;
        }
        // `a/#` matches `a` too.
        self.best = self.best.min(node.rest);
        match remaining {
            None => self.best = self.best.min(node.end),
            Some("#") => {}
            Some(levels) => self.below(node, levels, false),
        }
    }

    fn below(&mut self, node: &Node, levels: &str, first: bool) {
        let (level, tail) = split(levels);
        if level != "+" {
            if let Some(node) = node.literals.get(level) {
                self.node(node, tail);
            }
            self.patterns(node, level, tail, first);
            self.values(node, level, tail, first);
        }
        if let Some(node) = &node.any {
            self.node(node, tail);
        }
    }

    fn patterns(&mut self, node: &Node, level: &str, tail: Option<&str>, first: bool) {
        for (pattern, node) in &node.patterns {
            if node.lowest >= self.best {
                continue;
            }
            match pattern.fit(level, first, self.who) {
                Fit::Equal => self.node(node, tail),
                Fit::Different => {}
                Fit::Unusable => self.pass_over(node),
            }
        }
    }

    fn values(&mut self, node: &Node, level: &str, tail: Option<&str>, first: bool) {
        let Some(values) = &node.values else { return };
        let who = self.who;
        if self.passed_over.is_some() {
            for (placeholder, node) in &values.nodes {
                if placeholder.value(who, first).is_none() {
                    self.pass_over(node);
                }
            }
        }
        // No level holds what makes a value unusable, but for these two.
        if level.is_empty() || (first && level.starts_with('$')) {
            return;
        }
        if let Some(node) = values.at(values.client_id)
            && *who.client_id == *level
        {
            self.node(node, tail);
        }
        if let Some(node) = values.at(values.principal)
            && *who.principal == *level
        {
            self.node(node, tail);
        }
        if values.attributes.is_empty() {
            return;
        }
        for (name, value) in &who.attributes {
            if value == level
                && let Some(node) = values.at(values.attributes.get(name.as_str()).copied())
                // Of two with one name the first counts.
                && who.attribute(name) == Some(level)
            {
                self.node(node, tail);
            }
        }
    }

    fn pass_over(&mut self, node: &Node) {
        if let Some(lowest) = &mut self.passed_over {
            *lowest = node.lowest.min(*lowest);
        }
    }
}

/// The first level, and the others if there are any.
fn split(levels: &str) -> (&str, Option<&str>) {
    // Levels are short: a plain loop is quicker than a search set up for long texts.
    match levels.bytes().position(|byte| byte == b'/') {
        Some(at) => (levels.get(..at).unwrap_or(levels), levels.get(at + 1..)),
        None => (levels, None),
    }
}

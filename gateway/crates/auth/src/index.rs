//! Finding the first rule that matches without trying each.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::Identity;
use crate::template::{Fit, Level, Pattern, Template};

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

/// The first rule that matches, and what was in the way of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The number of the rule.
    pub(crate) rule: Option<u16>,
    /// The lowest rule before `rule` that has a placeholder for which the client has no usable
    /// value.
    pub(crate) passed_over: Option<u16>,
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
    pub(crate) fn first(&self, filter: &str, who: &Identity) -> Found {
        let mut walk = Walk { who, best: NONE, passed_over: NONE };
        walk.root(&self.root, filter);
        let passed_over = if walk.passed_over < walk.best { walk.passed_over } else { NONE };
        Found { rule: some(walk.best), passed_over: some(passed_over) }
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
    /// Below a level with placeholders.
    patterns: Vec<(Pattern, Node)>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            lowest: NONE,
            end: NONE,
            rest: NONE,
            any: None,
            literals: HashMap::default(),
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

struct Walk<'a> {
    who: &'a Identity,
    best: u16,
    passed_over: u16,
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
                Fit::Unusable => self.passed_over = self.passed_over.min(node.lowest),
            }
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

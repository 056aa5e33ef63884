//! The rules file: what it means as a whole. A line is told in [`line`](crate::line).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::limit::Limit;
use crate::line::{Line, Malformed, Rule, Who};

/// The rules of a file, in their order, and who is in which group.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    limits: Vec<Limit>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Rules {
    /// Reads a rules file.
    ///
    /// # Errors
    /// All faults at once, each with its line.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let (mut rules, mut limits) = (Vec::new(), Vec::new());
        let mut groups = BTreeMap::new();
        let mut group_lines = BTreeMap::new();
        let mut faults = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            match Line::parse(number, text) {
                Ok(Line::Empty) => {}
                Ok(Line::Rule(rule)) => rules.push(rule),
                Ok(Line::Limit(limit)) => limits.push(limit),
                Ok(Line::Group { name, members }) => {
                    if let Some(&first) = group_lines.get(&name) {
                        faults.push((number, Fault::RepeatedGroup { name, first }));
                    } else {
                        group_lines.insert(name.clone(), number);
                        groups.insert(name, members);
                    }
                }
                Err(malformed) => faults.push((number, Fault::Malformed(malformed))),
            }
        }
        let whom = rules.iter().map(|rule| (rule.line, &rule.who));
        for (line, who) in whom.chain(limits.iter().map(|limit| (limit.line, &limit.who))) {
            if let Who::Group(name) = who
                && !groups.contains_key(name)
            {
                faults.push((line, Fault::UnknownGroup(name.clone())));
            }
        }
        if faults.is_empty() {
            Ok(Self { rules, limits, groups })
        } else {
            faults.sort_by_key(|(number, _)| *number);
            Err(Faults(faults))
        }
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules that speak of `principal`, in the order of the file.
    pub(crate) fn of<'a>(&'a self, principal: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| self.speaks_of(&rule.who, principal))
    }

    fn speaks_of(&self, who: &Who, principal: &str) -> bool {
        match who {
            Who::Everyone => true,
            Who::User(name) => name == principal,
            Who::Group(name) => {
                self.groups.get(name).is_some_and(|members| members.contains(principal))
            }
        }
    }

    /// How much `principal` may do: what the first limit says that speaks of it.
    #[must_use]
    pub fn limits_of(&self, principal: &str) -> portcullis_extension::Limits {
        let limit = self.limits.iter().find(|limit| self.speaks_of(&limit.who, principal));
        limit.map_or(portcullis_extension::Limits::none(), Into::into)
    }

    /// The same as the gateway takes them.
    #[must_use]
    pub fn granted_to(&self, principal: &str) -> Vec<portcullis_extension::Rule> {
        self.of(principal).map(portcullis_extension::Rule::from).collect()
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }
}

/// Each fault of a rules file, by line.
#[derive(Debug)]
pub struct Faults(Vec<(usize, Fault)>);

#[derive(Debug)]
enum Fault {
    Malformed(Malformed),
    RepeatedGroup { name: String, first: usize },
    UnknownGroup(String),
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (line, fault)) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "rules line {line}: {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::RepeatedGroup { name, first } => write!(
                f,
                "group \"{name}\" is defined on line {first} already; put all its members on one line"
            ),
            Self::UnknownGroup(name) => {
                write!(f, "group \"{name}\" is not defined; add a line `group {name} MEMBER...`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "\
# effect  actions            who                 filter
group operators alice bob

allow  publish,subscribe     user:demo           demo/#
allow  publish               *                   devices/${client-id}/#   qos<=1  no-retain
deny   *                     group:operators     secret/#
";

    fn labels(rules: &Rules, principal: &str) -> Vec<String> {
        rules.of(principal).map(|rule| rule.label.clone()).collect()
    }

    #[test]
    fn each_principal_gets_its_rules_in_the_order_of_the_file() {
        let rules = Rules::parse(SITE).unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(
            labels(&rules, "demo"),
            [
                "line 4: allow publish,subscribe user:demo demo/#",
                "line 5: allow publish * devices/${client-id}/# qos<=1 no-retain"
            ]
        );
        assert_eq!(
            labels(&rules, "bob"),
            [
                "line 5: allow publish * devices/${client-id}/# qos<=1 no-retain",
                "line 6: deny * group:operators secret/#"
            ]
        );
        assert_eq!(labels(&rules, "operators").len(), 1, "a group's name is not a member");
    }

    #[test]
    fn a_group_may_be_defined_after_its_use() {
        let rules = Rules::parse("allow * group:staff #\ngroup staff eve\n").unwrap();
        assert_eq!(labels(&rules, "eve").len(), 1);
        assert!(labels(&rules, "mallory").is_empty());
    }

    #[test]
    fn the_first_limit_that_speaks_of_a_principal_counts() {
        let text = "limit user:pump messages=100/s\nlimit group:staff inflight=9\nlimit * messages=5/s\n\
                    group staff eve pump\n";
        let rules = Rules::parse(text).unwrap();
        let rate = |principal| rules.limits_of(principal).messages.map(|rate| rate.per_second);
        assert_eq!((rate("pump"), rate("eve"), rate("bob")), (Some(100), None, Some(5)));
        assert_eq!(rules.limits_of("eve").max_inflight, Some(9));
        assert_eq!(rules.len(), 0);
        let unknown = Rules::parse("limit group:nobody messages=1/s\n").unwrap_err();
        assert!(unknown.to_string().contains("group \"nobody\" is not defined"), "{unknown}");
    }

    #[test]
    fn an_empty_file_has_no_rules() {
        assert_eq!(Rules::parse("\n# nothing\n").unwrap().len(), 0);
    }

    #[test]
    fn all_faults_are_reported_at_once_in_order_of_lines() {
        let text = "allow publish group:nobody a/b\ngroup a x\nallow\ngroup a y\npermit * * #\n";
        let report = Rules::parse(text).unwrap_err().to_string();
        let faults: Vec<_> = report.split("; rules line ").collect();
        assert_eq!(faults.len(), 4, "{report}");
        assert!(faults[0].starts_with("rules line 1: group \"nobody\" is not defined"), "{report}");
        assert!(faults[1].starts_with("3: "), "{report}");
        assert!(faults[2].starts_with("4: group \"a\" is defined on line 2"), "{report}");
        assert!(faults[3].starts_with("5: \"permit\""), "{report}");
    }
}

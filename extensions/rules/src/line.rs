//! One line of a rules file.
//!
//! ```text
//! # a line that begins with `#` is a comment
//! group operators alice bob
//! allow  publish,subscribe  user:demo        demo/#
//! allow  publish            *                devices/${client-id}/#  qos<=1  no-retain
//! deny   *                  group:operators  secret/#
//! limit  user:demo          messages=100/s   bytes=64KiB/s
//! ```
//!
//! Words are separated by blanks; one that holds blanks stands between `"`.

use std::collections::BTreeSet;
use std::fmt;

use crate::filter::{self, BadFilter};
use crate::limit::{BadLimit, Limit};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing: blank or a comment.
    Empty,
    /// Who is in a group.
    Group {
        /// Name of the group.
        name: String,
        /// Principals in it.
        members: BTreeSet<String>,
    },
    /// Who may or may not do what.
    Rule(Rule),
    /// Who may do how much.
    Limit(Limit),
}

/// A rule as its line states it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Number of its line, from 1.
    pub(crate) line: usize,
    pub(crate) allow: bool,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
    pub(crate) who: Who,
    /// Topic filter with placeholders.
    pub(crate) filter: String,
    /// 0, 1 or 2.
    pub(crate) max_qos: u8,
    pub(crate) retain: bool,
    /// What the log says when the rule decides: `line 4: allow publish * a/#`.
    pub(crate) label: String,
}

/// Of whom a rule speaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Everyone,
    User(String),
    Group(String),
}

impl Line {
    /// Reads line `number`, counted from 1.
    pub(crate) fn parse(number: usize, text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(Self::Empty);
        }
        let words = words(text)?;
        match words.split_first() {
            None => Ok(Self::Empty),
            Some((&"group", rest)) => group(rest),
            Some((&"allow", rest)) => rule(number, true, rest, &words).map(Self::Rule),
            Some((&"deny", rest)) => rule(number, false, rest, &words).map(Self::Rule),
            Some((&"limit", [])) => Err(Malformed::NoLimit),
            Some((&"limit", [who, rest @ ..])) => {
                Limit::parse(number, parse_who(who)?, rest).map(Self::Limit)
            }
            Some((&other, _)) => Err(Malformed::Effect(other.to_owned())),
        }
    }
}

fn words(text: &str) -> Result<Vec<&str>, Malformed> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(Malformed::OpenQuote)?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        if word.is_empty() {
            return Err(Malformed::EmptyWord);
        }
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn group(words: &[&str]) -> Result<Line, Malformed> {
    match words.split_first() {
        Some((name, members)) if !members.is_empty() => Ok(Line::Group {
            name: (*name).to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
        }),
        _ => Err(Malformed::Group),
    }
}

fn rule(line: usize, allow: bool, rest: &[&str], words: &[&str]) -> Result<Rule, Malformed> {
    let [actions, who, filter, options @ ..] = rest else {
        return Err(Malformed::Missing);
    };
    let (publish, subscribe) = parse_actions(actions)?;
    let who = parse_who(who)?;
    filter::check(filter).map_err(|fault| Malformed::Filter((*filter).to_owned(), fault))?;
    let (max_qos, retain) = parse_options(allow, options)?;
    Ok(Rule {
        line,
        allow,
        publish,
        subscribe,
        who,
        filter: (*filter).to_owned(),
        max_qos,
        retain,
        label: format!("line {line}: {}", words.join(" ")),
    })
}

fn parse_actions(text: &str) -> Result<(bool, bool), Malformed> {
    let (mut publish, mut subscribe) = (false, false);
    for action in text.split(',') {
        match action {
            "publish" => publish = true,
            "subscribe" => subscribe = true,
            "*" => (publish, subscribe) = (true, true),
            other => return Err(Malformed::Action(other.to_owned())),
        }
    }
    Ok((publish, subscribe))
}

fn parse_who(text: &str) -> Result<Who, Malformed> {
    match text.split_once(':') {
        None if text == "*" => Ok(Who::Everyone),
        Some(("user", name)) if !name.is_empty() => Ok(Who::User(name.to_owned())),
        Some(("group", name)) if !name.is_empty() => Ok(Who::Group(name.to_owned())),
        _ => Err(Malformed::Who(text.to_owned())),
    }
}

/// Highest QoS and retain. Only an allow rule is narrowed: a deny rule refuses whatever the QoS.
fn parse_options(allow: bool, options: &[&str]) -> Result<(u8, bool), Malformed> {
    let (mut max_qos, mut retain) = (2, true);
    for option in options {
        match *option {
            _ if !allow => return Err(Malformed::OptionOfDeny((*option).to_owned())),
            "qos<=0" => max_qos = 0,
            "qos<=1" => max_qos = 1,
            "qos<=2" => max_qos = 2,
            "no-retain" => retain = false,
            other => return Err(Malformed::Option(other.to_owned())),
        }
    }
    Ok((max_qos, retain))
}

/// Why a line says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    OpenQuote,
    EmptyWord,
    Group,
    Effect(String),
    Missing,
    Action(String),
    Who(String),
    Filter(String, BadFilter),
    Option(String),
    OptionOfDeny(String),
    NoLimit,
    Limit(String, BadLimit),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("a `\"` has no second one on the line"),
            Self::EmptyWord => f.write_str("`\"\"` stands for nothing; write a word"),
            Self::Group => f.write_str("a group has a name and members: `group NAME MEMBER...`"),
            Self::Effect(word) => {
                write!(
                    f,
                    "\"{word}\" begins no line; a line begins with `allow`, `deny`, `limit` or `group`"
                )
            }
            Self::Missing => f.write_str(
                "a rule has actions, who and a filter: `allow publish user:NAME devices/#`",
            ),
            Self::Action(word) => {
                write!(f, "\"{word}\" is no action; there are `publish`, `subscribe` and `*`")
            }
            Self::Who(word) => {
                write!(f, "\"{word}\" is nobody; write `*`, `user:NAME` or `group:NAME`")
            }
            Self::Filter(filter, fault) => write!(f, "filter \"{filter}\" {fault}"),
            Self::NoLimit => f.write_str(
                "a limit has who and how much: `limit user:NAME messages=100/s bytes=64KiB/s`",
            ),
            Self::Limit(word, fault) => write!(f, "\"{word}\" {fault}"),
            Self::Option(word) => write!(
                f,
                "\"{word}\" is no option; there are `qos<=0`, `qos<=1`, `qos<=2` and `no-retain`"
            ),
            Self::OptionOfDeny(word) => write!(
                f,
                "\"{word}\" stands on a deny rule, which refuses whatever the QoS and retain; remove it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Rule {
        match Line::parse(7, text) {
            Ok(Line::Rule(rule)) => rule,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_rule_is_read_with_its_options() {
        let rule = read("  allow\tpublish   user:demo  devices/${client-id}/#  no-retain qos<=1 ");
        assert!(rule.allow && rule.publish && !rule.subscribe && !rule.retain);
        assert_eq!((rule.line, rule.max_qos), (7, 1));
        assert_eq!(rule.who, Who::User("demo".to_owned()));
        assert_eq!(rule.filter, "devices/${client-id}/#");
        assert_eq!(
            rule.label,
            "line 7: allow publish user:demo devices/${client-id}/# no-retain qos<=1"
        );
    }

    #[test]
    fn a_star_is_both_actions_and_everyone() {
        let rule = read("deny * * #");
        assert!(!rule.allow && rule.publish && rule.subscribe);
        assert_eq!((rule.who, rule.max_qos, rule.retain), (Who::Everyone, 2, true));
        let both = read("allow subscribe,publish user:a:b #");
        assert!(both.publish && both.subscribe);
        assert_eq!(both.who, Who::User("a:b".to_owned()), "a name may hold a colon");
    }

    #[test]
    fn quoted_words_may_hold_blanks() {
        let rule = read("allow publish \"user:Ann Lee\" \"hall 3/#\"");
        assert_eq!(rule.who, Who::User("Ann Lee".to_owned()));
        assert_eq!(rule.filter, "hall 3/#");
    }

    #[test]
    fn a_hash_at_the_start_is_a_comment_and_nowhere_else() {
        assert_eq!(Line::parse(1, "   # allow * * #"), Ok(Line::Empty));
        assert_eq!(Line::parse(1, ""), Ok(Line::Empty));
        assert_eq!(Line::parse(1, "allow * * a # comment"), Err(Malformed::Option("#".to_owned())));
    }

    #[test]
    fn malformed_lines_say_what_is_wrong() {
        for (text, expected) in [
            ("allow", Malformed::Missing),
            ("deny * *", Malformed::Missing),
            ("Allow * * #", Malformed::Effect("Allow".to_owned())),
            ("allow read * #", Malformed::Action("read".to_owned())),
            ("allow publish, * #", Malformed::Action(String::new())),
            ("allow * demo #", Malformed::Who("demo".to_owned())),
            ("allow * user: #", Malformed::Who("user:".to_owned())),
            ("allow * role:x #", Malformed::Who("role:x".to_owned())),
            ("allow * * a/b#", Malformed::Filter("a/b#".to_owned(), BadFilter::Hash)),
            ("allow * * # qos<=3", Malformed::Option("qos<=3".to_owned())),
            ("deny * * # qos<=1", Malformed::OptionOfDeny("qos<=1".to_owned())),
            ("allow * \"user:x #", Malformed::OpenQuote),
            ("allow * * \"\"", Malformed::EmptyWord),
            ("group", Malformed::Group),
            ("group empty", Malformed::Group),
            ("limit", Malformed::NoLimit),
            ("limit *", Malformed::NoLimit),
            ("limit demo messages=1/s", Malformed::Who("demo".to_owned())),
        ] {
            assert_eq!(Line::parse(1, text), Err(expected), "{text}");
        }
    }
}

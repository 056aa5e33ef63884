use std::fmt;

use mqtt::{QoS, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf, levels};

use crate::template::{Template, TemplateFault};
use crate::{Packing, Priority};

/// Which topics pass, under which names, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    filter: TopicFilterBuf,
    naming: Naming,
    /// The highest QoS at which messages pass.
    pub qos: QoS,
    /// Whether messages keep the RETAIN flag.
    pub retain: bool,
    /// How they are packed for their way.
    pub packing: Packing,
    /// How soon they go upstream; of no meaning for what comes from there.
    pub priority: Priority,
    /// Bytes of the largest payload that passes; any if `None`.
    pub payload_max: Option<u32>,
    /// Seconds of the longest Message Expiry Interval (MQTT 5, 3.3.2.3.3) that they have afterwards: longer ones, and none, become
    /// this. As they are, if `None`.
    pub expiry: Option<u32>,
}

/// How a topic comes to its name on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Naming {
    /// It loses the levels of `strip` at its front and gets those of `prefix`.
    Levels {
        strip: String,
        prefix: String,
    },
    Template(Template),
}

/// Why a rule cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleFault {
    /// The filter is none, or one of a shared subscription.
    Filter,
    /// What is to be stripped or put before is no topic.
    Levels(&'static str),
    /// Not every topic of the filter begins with what is to be stripped.
    Strip,
    /// Nothing is left of the filter.
    Nothing,
    /// The template is none for the filter.
    Template(TemplateFault),
}

impl Rule {
    /// `strip` and `prefix` are whole levels, `site/a`; empty ones change nothing.
    ///
    /// # Errors
    /// If the parts do not fit each other.
    pub fn new(
        filter: &str,
        strip: &str,
        prefix: &str,
        qos: QoS,
        retain: bool,
    ) -> Result<Self, RuleFault> {
        let filter = plain(filter)?;
        for (name, text) in [("strip", strip), ("prefix", prefix)] {
            if !text.is_empty() && (TopicNameBuf::new(text).is_err() || text.ends_with('/')) {
                return Err(RuleFault::Levels(name));
            }
        }
        let rest = without(strip, filter.as_str()).ok_or(RuleFault::Strip)?;
        if rest.is_none() && prefix.is_empty() {
            return Err(RuleFault::Nothing);
        }
        let naming = Naming::Levels { strip: strip.to_owned(), prefix: prefix.to_owned() };
        Ok(Self::named(filter, naming, qos, retain))
    }

    /// One whose names are made by a [`Template`].
    ///
    /// # Errors
    /// If the parts do not fit each other.
    pub fn with_template(
        filter: &str,
        template: &str,
        qos: QoS,
        retain: bool,
    ) -> Result<Self, RuleFault> {
        let filter = plain(filter)?;
        let template = Template::new(template, filter.as_filter()).map_err(RuleFault::Template)?;
        Ok(Self::named(filter, Naming::Template(template), qos, retain))
    }

    fn named(filter: TopicFilterBuf, naming: Naming, qos: QoS, retain: bool) -> Self {
        Self {
            filter,
            naming,
            qos,
            retain,
            packing: Packing::default(),
            priority: Priority::Normal,
            payload_max: None,
            expiry: None,
        }
    }

    /// The topics that it is for.
    #[must_use]
    pub fn filter(&self) -> TopicFilter<'_> {
        self.filter.as_filter()
    }

    /// The filter of the names under which they pass.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.naming {
            Naming::Levels { strip, prefix } => {
                join(prefix, without(strip, self.filter.as_str()).flatten())
            }
            Naming::Template(template) => template.target(),
        }
    }

    /// The name under which a topic that matches passes by a gateway of this identifier; `None` where nothing is left of it.
    #[must_use]
    pub fn map(&self, topic: TopicName<'_>, gateway: &str) -> Option<String> {
        let mapped = match &self.naming {
            Naming::Levels { strip, prefix } => join(prefix, without(strip, topic.as_str())?),
            Naming::Template(template) => template.map(topic, self.filter(), gateway),
        };
        (!mapped.is_empty()).then_some(mapped)
    }

    /// Whether a payload of so many bytes may pass; in words, why not.
    pub(crate) fn admits(&self, payload: usize) -> Result<(), String> {
        match self.payload_max {
            Some(most) if usize::try_from(most).is_ok_and(|most| payload > most) => {
                Err(format!("its payload has {payload} bytes, and payload-max is {most}"))
            }
            _ => Ok(()),
        }
    }

    /// The Message Expiry Interval with which a message passes that has this one.
    pub(crate) fn expires(&self, interval: Option<u32>) -> Option<u32> {
        match (interval, self.expiry) {
            (Some(interval), Some(most)) => Some(interval.min(most)),
            (interval, most) => interval.or(most),
        }
    }

    /// The first of `rules` that is for this topic.
    pub(crate) fn of<'r>(rules: &'r [Self], topic: TopicName<'_>) -> Option<&'r Self> {
        rules.iter().find(|rule| rule.filter().matches(topic))
    }
}

/// A filter that is not one of a shared subscription.
fn plain(filter: &str) -> Result<TopicFilterBuf, RuleFault> {
    let plain = TopicFilter::new(filter).ok().filter(|it| it.share_group().is_none());
    plain.map(TopicFilter::to_owned).ok_or(RuleFault::Filter)
}

/// What follows the levels of `front`: `Some(None)` if nothing does, `None` if `text` does not begin with them.
fn without<'t>(front: &str, text: &'t str) -> Option<Option<&'t str>> {
    if front.is_empty() {
        return Some(Some(text));
    }
    match text.strip_prefix(front)? {
        "" => Some(None),
        rest => rest.strip_prefix('/').map(Some),
    }
}

fn join(front: &str, rest: Option<&str>) -> String {
    match (front, rest) {
        ("", rest) => rest.unwrap_or_default().to_owned(),
        (front, None) => front.to_owned(),
        (front, Some(rest)) => format!("{front}/{rest}"),
    }
}

/// The first pair of rules, one outward and one inward, by which a message that goes out can come back in: their places. MQTT
/// 3.1.1 has no word to keep it from that.
#[must_use]
pub fn loops(outward: &[Rule], inward: &[Rule]) -> Option<(usize, usize)> {
    let pairs = outward.iter().enumerate();
    pairs
        .flat_map(|(at, out)| inward.iter().enumerate().map(move |(to, back)| (at, out, to, back)))
        .find(|(_, out, _, back)| overlap(&out.target(), back.filter().as_str()))
        .map(|(at, _, to, _)| (at, to))
}

/// Whether one topic can match both filters.
fn overlap(one: &str, other: &str) -> bool {
    let hidden = |filter: &str| filter.starts_with('$');
    let wild = |filter: &str| filter.starts_with(['+', '#']);
    if hidden(one) && wild(other) || hidden(other) && wild(one) {
        return false;
    }
    let (mut ones, mut others) = (levels(one), levels(other));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter => f.write_str("filter is not that of a plain subscription"),
            Self::Levels(name) => {
                write!(
                    f,
                    "{name} is not whole levels of a topic without wildcards, such as \"site/a\""
                )
            }
            Self::Strip => f.write_str("filter does not begin with the levels of strip"),
            Self::Template(fault) => fault.fmt(f),
            Self::Nothing => f.write_str("nothing is left of filter without strip; give a prefix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: &str, strip: &str, prefix: &str) -> Result<Rule, RuleFault> {
        Rule::new(filter, strip, prefix, QoS::ExactlyOnce, false)
    }

    fn mapped(filter: &str, strip: &str, prefix: &str, topic: &str) -> Option<String> {
        let topic = TopicName::new(topic).unwrap();
        rule(filter, strip, prefix).unwrap().map(topic, "gw")
    }

    #[test]
    fn whole_levels_go_and_come() {
        assert_eq!(mapped("a/b/#", "a/b", "x/y", "a/b/c").as_deref(), Some("x/y/c"));
        assert_eq!(mapped("a/b/#", "a/b", "x/y", "a/b").as_deref(), Some("x/y"));
        assert_eq!(mapped("a/b/#", "a/b", "", "a/b/c").as_deref(), Some("c"));
        assert_eq!(mapped("a/b/#", "a/b", "", "a/b"), None);
        assert_eq!(mapped("a//#", "a", "", "a//b").as_deref(), Some("/b"));
        assert_eq!(mapped("#", "", "", "a/b").as_deref(), Some("a/b"));
        assert_eq!(rule("a/+/#", "a", "x").unwrap().target(), "x/+/#");
        assert_eq!(rule("#", "", "x").unwrap().target(), "x/#");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(rule("a/#", "b", ""), Err(RuleFault::Strip));
        assert_eq!(rule("+/a", "x", ""), Err(RuleFault::Strip));
        assert_eq!(rule("ab/c", "a", ""), Err(RuleFault::Strip));
        assert_eq!(rule("a", "a", ""), Err(RuleFault::Nothing));
        assert_eq!(rule("a/#/b", "", ""), Err(RuleFault::Filter));
        assert_eq!(rule("$share/g/a", "", ""), Err(RuleFault::Filter));
        assert_eq!(rule("a", "", "x/"), Err(RuleFault::Levels("prefix")));
        assert_eq!(rule("a", "+", ""), Err(RuleFault::Levels("strip")));
    }

    #[test]
    fn rules_that_feed_each_other_are_found() {
        let rules = |all: &[(&str, &str, &str)]| -> Vec<Rule> {
            all.iter().map(|(f, s, p)| rule(f, s, p).unwrap()).collect()
        };
        let out = rules(&[("$SYS/#", "", ""), ("up/#", "", "site")]);
        assert_eq!(loops(&out, &rules(&[("site/down/+", "", "")])), None);
        assert_eq!(loops(&out, &rules(&[("x", "", ""), ("+/up/a", "", "")])), Some((1, 1)));
        assert_eq!(loops(&out, &rules(&[("#", "", "")])), Some((1, 0)));
        assert_eq!(loops(&out, &rules(&[("site", "", "")])), None);
        assert_eq!(loops(&out, &rules(&[("site/up", "", "")])), Some((1, 0)), "of up/# is up too");
        let made = Rule::with_template("up/+", "site/{gateway}/{1}", QoS::AtLeastOnce, true);
        let made = [made.unwrap()];
        assert_eq!(loops(&made, &rules(&[("site/x", "", ""), ("site/x/#", "", "")])), Some((0, 1)));
    }

    #[test]
    fn a_rule_caps_what_passes() {
        let mut rule = rule("a", "", "x").unwrap();
        assert_eq!((rule.admits(usize::MAX), rule.expires(None)), (Ok(()), None));
        (rule.payload_max, rule.expiry) = (Some(3), Some(60));
        assert!(rule.admits(3).is_ok() && rule.admits(4).is_err());
        assert_eq!(
            [None, Some(59), Some(61)].map(|it| rule.expires(it)),
            [Some(60), Some(59), Some(60)]
        );
    }
}

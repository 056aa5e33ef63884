use std::fmt;

use mqtt::{TopicFilter, TopicName, TopicNameBuf, levels};

/// A name with places for what a rule's filter leaves open: `sites/{gateway}/{1}/{rest}`.
///
/// `{1}`, `{2}` and so on stand for what the first `+` of the filter matches, the second and so on; `{rest}` for the levels that its
/// `#` does, of which there may be none; `{topic}` for the whole topic; `{gateway}` for the identifier of the gateway. `{rest}` and
/// `{topic}` are a level of the template by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    levels: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What the wildcard of one level at this place matches, from 0.
    Level(usize),
    Rest,
    Topic,
    Gateway,
}

/// Why a template cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateFault {
    /// A brace without its other.
    Brace,
    /// In braces stands what has no meaning.
    Name,
    /// The filter has not so many `+`.
    Level,
    /// The filter has no `#`.
    Rest,
    /// `{rest}` or `{topic}` shares its level with something else.
    Whole,
    /// What it makes is no topic.
    Topic,
}

impl Template {
    /// Reads one for topics that match `filter`.
    ///
    /// # Errors
    /// If it means nothing, or asks for what the filter does not leave open.
    pub fn new(text: &str, filter: TopicFilter<'_>) -> Result<Self, TemplateFault> {
        let read = levels(text).map(level).collect::<Result<Vec<_>, _>>()?;
        let wildcards = levels(filter.as_str()).filter(|level| *level == "+").count();
        let open = filter.as_str().ends_with('#');
        for part in read.iter().flatten() {
            match part {
                Part::Level(place) if *place >= wildcards => return Err(TemplateFault::Level),
                Part::Rest if !open => return Err(TemplateFault::Rest),
                _ => {}
            }
        }
        let template = Self { levels: read };
        // Whatever stands in the places, it is part of a topic.
        let example = template.target().replace(['+', '#'], "x");
        TopicNameBuf::new(&example).map(|_| template).map_err(|_| TemplateFault::Topic)
    }

    /// The name for a topic that matches the filter.
    pub(crate) fn map(
        &self,
        topic: TopicName<'_>,
        filter: TopicFilter<'_>,
        gateway: &str,
    ) -> String {
        let open = Open::of(topic.as_str(), filter.as_str());
        let mut name = String::with_capacity(topic.len() + gateway.len());
        let mut first = true;
        for level in &self.levels {
            if matches!(level.as_slice(), [Part::Rest]) && open.rest.is_none() {
                continue;
            }
            if !std::mem::take(&mut first) {
                name.push('/');
            }
            for part in level {
                name.push_str(match part {
                    Part::Text(text) => text,
                    Part::Level(place) => open.levels.get(*place).copied().unwrap_or_default(),
                    Part::Rest => open.rest.unwrap_or_default(),
                    Part::Topic => topic.as_str(),
                    Part::Gateway => gateway,
                });
            }
        }
        name
    }

    /// A filter that every name matches that it makes, and perhaps others.
    pub(crate) fn target(&self) -> String {
        let mut target: Vec<&str> = Vec::new();
        for level in &self.levels {
            match level.as_slice() {
                [Part::Rest | Part::Topic] => {
                    target.push("#");
                    break;
                }
                [Part::Text(text)] => target.push(text),
                [] => target.push(""),
                _ => target.push("+"),
            }
        }
        target.join("/")
    }
}

/// What a filter leaves open, as a topic has it.
struct Open<'t> {
    levels: Vec<&'t str>,
    rest: Option<&'t str>,
}

impl<'t> Open<'t> {
    fn of(topic: &'t str, filter: &str) -> Self {
        let (mut found, mut rest) = (Vec::new(), Some(topic));
        for wanted in levels(filter) {
            if wanted == "#" {
                return Self { levels: found, rest };
            }
            let Some(here) = rest else { break };
            let (level, behind) =
                here.split_once('/').map_or((here, None), |(level, behind)| (level, Some(behind)));
            if wanted == "+" {
                found.push(level);
            }
            rest = behind;
        }
        Self { levels: found, rest: None }
    }
}

fn level(text: &str) -> Result<Vec<Part>, TemplateFault> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or(TemplateFault::Brace)?;
        if !before.is_empty() {
            parts.push(plain(before)?);
        }
        parts.push(match name {
            "rest" => Part::Rest,
            "topic" => Part::Topic,
            "gateway" => Part::Gateway,
            number => {
                let number: usize = number.parse().map_err(|_| TemplateFault::Name)?;
                Part::Level(number.checked_sub(1).ok_or(TemplateFault::Name)?)
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(plain(rest)?);
    }
    let whole = |part: &Part| matches!(part, Part::Rest | Part::Topic);
    if parts.len() > 1 && parts.iter().any(whole) {
        return Err(TemplateFault::Whole);
    }
    Ok(parts)
}

fn plain(text: &str) -> Result<Part, TemplateFault> {
    match text {
        text if text.contains(['{', '}']) => Err(TemplateFault::Brace),
        text if text.contains(['+', '#']) => Err(TemplateFault::Topic),
        text => Ok(Part::Text(text.to_owned())),
    }
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brace => "template has a brace without its other; write {1}, {rest}",
            Self::Name => {
                "template knows {1} and so on, {rest}, {topic} and {gateway}, and no other names"
            }
            Self::Level => "template asks for more levels than filter has \"+\"",
            Self::Rest => "template has {rest}, and filter does not end with \"#\"",
            Self::Whole => "template has {rest} or {topic} beside something else in its level",
            Self::Topic => "template makes no topic; it has no wildcards, and is not empty",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str, filter: &str) -> Result<Template, TemplateFault> {
        Template::new(text, TopicFilter::new(filter).unwrap())
    }

    fn mapped(text: &str, filter: &str, topic: &str) -> String {
        let filter = TopicFilter::new(filter).unwrap();
        assert!(filter.matches(TopicName::new(topic).unwrap()), "{filter:?} {topic}");
        template(text, filter.as_str()).unwrap().map(TopicName::new(topic).unwrap(), filter, "gw")
    }

    #[test]
    fn places_are_filled_with_what_the_filter_leaves_open() {
        assert_eq!(mapped("s/{gateway}/{2}/{rest}", "+/a/+/#", "x/a/y/b/c"), "s/gw/y/b/c");
        assert_eq!(mapped("s/{2}-{1}", "+/+", "x/y"), "s/y-x");
        assert_eq!(mapped("s/{rest}", "a/#", "a"), "s");
        assert_eq!(mapped("{rest}/s", "a/#", "a/b/c"), "b/c/s");
        assert_eq!(mapped("s/{1}", "a/+/b", "a//b"), "s/");
        assert_eq!(mapped("all/{topic}", "#", "a/b"), "all/a/b");
        assert_eq!(mapped("{rest}", "#", "/a"), "/a");
        assert_eq!(mapped("one", "a/+", "a/b"), "one");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, filter, fault) in [
            ("a/{1", "+", TemplateFault::Brace),
            ("a/1}", "+", TemplateFault::Brace),
            ("a/{name}", "+", TemplateFault::Name),
            ("a/{0}", "+", TemplateFault::Name),
            ("a/{2}", "+/a", TemplateFault::Level),
            ("a/{rest}", "+/a", TemplateFault::Rest),
            ("a/x{rest}", "#", TemplateFault::Whole),
            ("a/+/{1}", "+", TemplateFault::Topic),
            ("", "a", TemplateFault::Topic),
        ] {
            assert_eq!(template(text, filter), Err(fault), "{text} {filter}");
        }
    }

    #[test]
    fn every_name_matches_the_target() {
        for (text, filter, target) in [
            ("s/{gateway}/{1}/{rest}", "+/#", "s/+/+/#"),
            ("s/a-{1}/b", "+", "s/+/b"),
            ("s/{rest}/b", "#", "s/#"),
            ("s//{topic}", "a", "s//#"),
        ] {
            assert_eq!(template(text, filter).unwrap().target(), target);
        }
    }
}

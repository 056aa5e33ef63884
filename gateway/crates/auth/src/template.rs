//! Topic filters with placeholders.

use std::error::Error;
use std::fmt;

use crate::Identity;

/// The most bytes in the filter of a rule: what an MQTT string holds (MQTT 5.0, 1.5.4).
pub const MAX_BYTES: usize = 65_535;

/// The most levels in the filter of a rule. Matching descends a level at a time, so this also
/// bounds the stack that it needs.
pub const MAX_LEVELS: usize = 128;

/// A topic filter in which `${client-id}`, `${principal}` and `${attr.NAME}` stand for what the
/// gateway knows of the client, as a whole level or as a part of one: `devices/${client-id}/#`.
///
/// A level with a placeholder matches by being equal to the text that results. A value can
/// therefore never add a level or a wildcard: one which is missing, empty or contains `+`, `#`,
/// `/` or NUL equals no level, nor does one that would put a `$` in front of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    levels: Box<[Level]>,
}

impl Template {
    /// Reads a topic filter with placeholders.
    ///
    /// # Errors
    /// What makes the text something else than a topic filter (MQTT 5.0, 4.7.1), or which
    /// placeholder is unknown or without its closing brace.
    pub fn parse(filter: &str) -> Result<Self, TemplateError> {
        if filter.is_empty() {
            return Err(TemplateError::Empty);
        }
        if filter.len() > MAX_BYTES {
            return Err(TemplateError::TooLong { bytes: filter.len() });
        }
        if filter.contains('\0') {
            return Err(TemplateError::Nul);
        }
        if filter.starts_with("$share/") {
            return Err(TemplateError::Shared);
        }
        let count = filter.split('/').count();
        if count > MAX_LEVELS {
            return Err(TemplateError::TooDeep { levels: count });
        }
        let mut levels = Vec::with_capacity(count);
        for (at, text) in filter.split('/').enumerate() {
            let level = Level::parse(text)?;
            if level == Level::Rest && at + 1 != count {
                return Err(TemplateError::RestNotLast);
            }
            levels.push(level);
        }
        Ok(Self { levels: levels.into() })
    }

    /// The levels in order: at least one.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The filter for one client, or the first placeholder whose value cannot be used.
    ///
    /// # Errors
    /// The placeholder, if the client's value for it is missing or unsafe.
    pub fn render(&self, who: &Identity) -> Result<String, &Placeholder> {
        let mut filter = String::new();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                filter.push('/');
            }
            match level {
                Level::Literal(text) => filter.push_str(text),
                Level::Any => filter.push('+'),
                Level::Rest => filter.push('#'),
                Level::Pattern(pattern) => {
                    for part in &pattern.parts {
                        match part {
                            Part::Text(text) => filter.push_str(text),
                            Part::Value(placeholder) => filter.push_str(
                                placeholder.value(who, filter.is_empty()).ok_or(placeholder)?,
                            ),
                        }
                    }
                }
            }
        }
        Ok(filter)
    }
}

/// One level of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// This text.
    Literal(Box<str>),
    /// Text with at least one placeholder.
    Pattern(Pattern),
    /// `+`: any one level.
    Any,
    /// `#`: the level before it and all below.
    Rest,
}

impl Level {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        match text {
            "+" => return Ok(Self::Any),
            "#" => return Ok(Self::Rest),
            _ => {}
        }
        if text.contains(['+', '#']) {
            return Err(TemplateError::WildcardInLevel { level: text.to_owned() });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(TemplateError::Unterminated { level: text.to_owned() });
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Value(Placeholder::parse(name)?));
            rest = behind;
        }
        if parts.is_empty() {
            return Ok(Self::Literal(text.into()));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self::Pattern(Pattern { parts: parts.into() }))
    }
}

/// A level with at least one placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Box<[Part]>,
}

/// How a level of a topic compares with a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They are equal for this client.
    Equal,
    /// They differ.
    Different,
    /// The client's value for a placeholder is missing or unsafe, so that nothing is equal.
    Unusable,
}

impl Pattern {
    /// The placeholder, if that is all there is.
    pub(crate) fn alone(&self) -> Option<&Placeholder> {
        match &*self.parts {
            [Part::Value(placeholder)] => Some(placeholder),
            _ => None,
        }
    }

    /// Compares `level`, the `first` of its topic or not, with the pattern for `who`.
    pub fn fit(&self, level: &str, first: bool, who: &Identity) -> Fit {
        let mut remaining = Some(level);
        let mut at_start = first;
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Value(placeholder) => match placeholder.value(who, at_start) {
                    Some(value) => value,
                    None => return Fit::Unusable,
                },
            };
            remaining = remaining.and_then(|level| level.strip_prefix(text));
            at_start = false;
        }
        if remaining == Some("") { Fit::Equal } else { Fit::Different }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Placeholder),
}

/// What stands for a fact about the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `${client-id}`
    ClientId,
    /// `${principal}`
    Principal,
    /// `${attr.NAME}`
    Attribute(Box<str>),
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        match name {
            "client-id" => return Ok(Self::ClientId),
            "principal" => return Ok(Self::Principal),
            _ => {}
        }
        match name.strip_prefix("attr.") {
            Some(attribute) if !attribute.is_empty() && !attribute.contains(['$', '{']) => {
                Ok(Self::Attribute(attribute.into()))
            }
            _ => Err(TemplateError::UnknownPlaceholder { name: name.to_owned() }),
        }
    }

    /// The client's value, unless using it could widen the filter.
    pub(crate) fn value<'a>(&self, who: &'a Identity, at_start: bool) -> Option<&'a str> {
        let value = match self {
            Self::ClientId => &*who.client_id,
            Self::Principal => &*who.principal,
            Self::Attribute(name) => who.attribute(name)?,
        };
        // An empty value would make `${attr.team}-door` speak of everybody's `-door`, and a
        // leading `$` would reach the gateway's own topics, which no client may choose to do.
        let unsafe_value = value.is_empty()
            || value.bytes().any(|byte| matches!(byte, b'+' | b'#' | b'/' | 0))
            || (at_start && value.starts_with('$'));
        (!unsafe_value).then_some(value)
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId => f.write_str("${client-id}"),
            Self::Principal => f.write_str("${principal}"),
            Self::Attribute(name) => write!(f, "${{attr.{name}}}"),
        }
    }
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It has no character.
    Empty,
    /// It has more than [`MAX_BYTES`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has more than [`MAX_LEVELS`].
    TooDeep {
        /// Its levels.
        levels: usize,
    },
    /// It contains U+0000.
    Nul,
    /// It starts with `$share/`.
    Shared,
    /// A `#` is followed by further levels.
    RestNotLast,
    /// A level holds a wildcard and something else.
    WildcardInLevel {
        /// That level.
        level: String,
    },
    /// A `${` has no `}` in its level.
    Unterminated {
        /// That level.
        level: String,
    },
    /// Nothing has this name.
    UnknownPlaceholder {
        /// What stands between the braces.
        name: String,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic filter has at least one character"),
            Self::TooLong { bytes } => {
                write!(f, "the filter has {bytes} bytes; a topic filter has at most {MAX_BYTES}")
            }
            Self::TooDeep { levels } => {
                write!(f, "the filter has {levels} levels; a rule has at most {MAX_LEVELS}")
            }
            Self::Nul => f.write_str("a topic filter cannot contain the character U+0000"),
            Self::Shared => f.write_str(
                "a rule speaks of the filter inside a shared subscription; leave out \
                 \"$share/GROUP/\"",
            ),
            Self::RestNotLast => {
                f.write_str("\"#\" must be the last level; use \"+\" for one level in the middle")
            }
            Self::WildcardInLevel { level } => write!(
                f,
                "level \"{level}\" mixes a wildcard with other characters; \"+\" and \"#\" stand \
                 alone in a level"
            ),
            Self::Unterminated { level } => {
                write!(f, "\"${{\" in level \"{level}\" has no \"}}\" before the level ends")
            }
            Self::UnknownPlaceholder { name } => write!(
                f,
                "placeholder \"${{{name}}}\" is unknown; there are ${{client-id}}, ${{principal}} \
                 and ${{attr.NAME}}"
            ),
        }
    }
}

impl Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(client_id: &str, principal: &str, attributes: &[(&str, &str)]) -> Identity {
        Identity {
            client_id: client_id.into(),
            principal: principal.into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn placeholders_are_whole_levels_or_parts_of_levels() {
        let someone = who("dev7", "meter", &[("site", "north"), ("site", "south")]);
        for (template, filter) in [
            ("a/b", "a/b"),
            ("/", "/"),
            ("${client-id}/#", "dev7/#"),
            ("x/${principal}-${client-id}/+", "x/meter-dev7/+"),
            ("${attr.site}/pre${attr.site}post", "north/prenorthpost"),
            ("costs/$5/}/{", "costs/$5/}/{"),
        ] {
            let rendered =
                Template::parse(template).unwrap().render(&someone).map_err(|p| p.clone());
            assert_eq!(rendered, Ok(filter.to_owned()), "{template}");
        }
    }

    #[test]
    fn a_value_never_makes_levels_or_wildcards() {
        let template = Template::parse("in/${client-id}/x").unwrap();
        for unsafe_value in ["", "+", "#", "a/b", "a+", "\0", "a#b"] {
            let someone = who(unsafe_value, "p", &[]);
            assert_eq!(template.render(&someone), Err(&Placeholder::ClientId), "{unsafe_value:?}");
            let Some(Level::Pattern(pattern)) = template.levels().get(1) else { panic!() };
            assert_eq!(pattern.fit(unsafe_value, false, &someone), Fit::Unusable);
        }
        assert_eq!(template.render(&who("$a", "p", &[])), Ok("in/$a/x".to_owned()));
    }

    #[test]
    fn a_value_never_reaches_the_gateways_own_topics() {
        let template = Template::parse("${client-id}/#").unwrap();
        assert_eq!(template.render(&who("$SYS", "p", &[])), Err(&Placeholder::ClientId));
        let literal = Template::parse("$SYS/${client-id}").unwrap();
        assert_eq!(literal.render(&who("a", "p", &[])), Ok("$SYS/a".to_owned()));
    }

    #[test]
    fn a_missing_attribute_is_unusable() {
        let template = Template::parse("${attr.team}").unwrap();
        let missing = Placeholder::Attribute("team".into());
        assert_eq!(template.render(&who("c", "p", &[("Team", "x")])), Err(&missing));
    }

    #[test]
    fn faults_are_named() {
        let deep = vec!["a"; MAX_LEVELS + 1].join("/");
        for (text, sentence) in [
            ("", "a topic filter has at least one character"),
            ("a/\0", "a topic filter cannot contain the character U+0000"),
            ("#/a", "\"#\" must be the last level; use \"+\" for one level in the middle"),
            (
                "a/b+",
                "level \"b+\" mixes a wildcard with other characters; \"+\" and \"#\" stand alone \
                 in a level",
            ),
            ("a/${client-id", "\"${\" in level \"${client-id\" has no \"}\" before the level ends"),
            ("${attr.a/b}", "\"${\" in level \"${attr.a\" has no \"}\" before the level ends"),
            (
                "${user}",
                "placeholder \"${user}\" is unknown; there are ${client-id}, ${principal} and \
                 ${attr.NAME}",
            ),
            (
                "${attr.}",
                "placeholder \"${attr.}\" is unknown; there are ${client-id}, ${principal} and \
                 ${attr.NAME}",
            ),
            (
                "$share/g/a",
                "a rule speaks of the filter inside a shared subscription; leave out \
                 \"$share/GROUP/\"",
            ),
            (&deep, "the filter has 129 levels; a rule has at most 128"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err().to_string(), sentence);
        }
    }
}

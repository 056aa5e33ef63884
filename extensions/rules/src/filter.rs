//! What a rule's topic filter may look like, so that a mistake is told with its line when the file is read.

use std::fmt;

/// A filter that no rule can use, and why.
#[derive(Debug, PartialEq, Eq)]
pub enum BadFilter {
    /// It is that of a shared subscription.
    Shared,
    /// `#` is not a level of its own at the end.
    Hash,
    /// `+` is not a level of its own.
    Plus,
    /// A placeholder has no end.
    OpenPlaceholder,
    /// There is no such placeholder.
    UnknownPlaceholder(String),
    /// It holds U+0000.
    Nul,
}

/// Checks a topic filter with placeholders (MQTT 5.0 section 4.7.1), which is not empty.
///
/// # Errors
/// What about it is not as it must be.
pub fn check(filter: &str) -> Result<(), BadFilter> {
    if filter.starts_with("$share/") {
        return Err(BadFilter::Shared);
    }
    if filter.contains('\0') {
        return Err(BadFilter::Nul);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(BadFilter::Hash);
        }
        if level.contains('+') && level != "+" {
            return Err(BadFilter::Plus);
        }
        placeholders(level)?;
    }
    Ok(())
}

fn placeholders(level: &str) -> Result<(), BadFilter> {
    let mut rest = level;
    while let Some((_, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(BadFilter::OpenPlaceholder)?;
        let attribute = name.strip_prefix("attr.").is_some_and(|attribute| !attribute.is_empty());
        if !attribute && !matches!(name, "client-id" | "principal") {
            return Err(BadFilter::UnknownPlaceholder(name.to_owned()));
        }
        rest = after;
    }
    Ok(())
}

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared => f.write_str(
                "holds a shared subscription; write the part after `$share/GROUP/`, which is what a rule is matched with",
            ),
            Self::Hash => f.write_str("has a `#` that is not a whole level at the end"),
            Self::Plus => f.write_str("has a `+` that is not a whole level"),
            Self::OpenPlaceholder => f.write_str("has a `${` without a `}` in the same level"),
            Self::UnknownPlaceholder(name) => write!(
                f,
                "has the placeholder ${{{name}}}; there are ${{client-id}}, ${{principal}} and ${{attr.NAME}}"
            ),
            Self::Nul => f.write_str("holds U+0000, which no topic can"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_what_is_wrong_with_them() {
        use BadFilter::{Hash, Nul, OpenPlaceholder, Plus, Shared, UnknownPlaceholder};
        let unknown = |name: &str| Err(UnknownPlaceholder(name.to_owned()));
        for (filter, expected) in [
            ("#", Ok(())),
            ("/", Ok(())),
            ("+/a//#", Ok(())),
            ("$SYS/#", Ok(())),
            ("devices/${client-id}/x-${principal}-${attr.site}", Ok(())),
            ("a/$", Ok(())),
            ("$share/g/a", Err(Shared)),
            ("#/a", Err(Hash)),
            ("a/b#", Err(Hash)),
            ("a+/b", Err(Plus)),
            ("${client-id", Err(OpenPlaceholder)),
            ("${client-id/}", Err(OpenPlaceholder)),
            ("${user}", unknown("user")),
            ("${}", unknown("")),
            ("${attr.}", unknown("attr.")),
            ("${principal}${Principal}", unknown("Principal")),
            ("a\0b", Err(Nul)),
        ] {
            assert_eq!(check(filter), expected, "{filter}");
        }
    }
}

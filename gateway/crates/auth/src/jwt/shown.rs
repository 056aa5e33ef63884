//! What others wrote, made fit for a sentence.

/// Characters of a foreign text that are shown.
const MAX_CHARS: usize = 64;

/// A foreign text in quotes, with control characters escaped and its end cut off: a name in an
/// error must neither break a line of a log nor fill it.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and more", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_on_its_line() {
        assert_eq!(shown("key-1"), "\"key-1\"");
        assert_eq!(shown("a\n\u{1b}[2J"), "\"a\\n\\u{1b}[2J\"");
        let long = shown(&"ü".repeat(10_000));
        assert!(long.len() < 200 && long.ends_with("and more"), "{long}");
    }
}

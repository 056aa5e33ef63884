//! A Rust file, read closely enough to count.

use std::path::Path;

/// A source file.
pub(crate) struct Source {
    name: String,
    text: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// From its name to its last brace, without blank lines and comments.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, text }
    }

    /// Path from the root of the repository.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text before the unit tests.
    pub(crate) fn without_tests(&self) -> &str {
        let tests = self.text.match_indices("#[cfg(test)]\n").find(|(at, mark)| {
            let rest = self.text[at + mark.len()..].trim_start();
            let starts_line = *at == 0 || self.text.as_bytes()[at - 1] == b'\n';
            starts_line
                && rest.starts_with("mod ")
                && rest.lines().next().is_some_and(|l| l.ends_with('{'))
        });
        tests.map_or(&self.text, |(at, _)| &self.text[..at])
    }

    pub(crate) fn lines_without_tests(&self) -> usize {
        self.without_tests().trim_end().lines().count()
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        functions(&self.text)
    }
}

/// All functions with a body, nested ones too.
fn functions(text: &str) -> Vec<Function> {
    let code = code_only(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word = at == 0
            || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && code.as_bytes()[at - 1] != b'_';
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(rest) {
            let line = code[..at].matches('\n').count() + 1;
            let lines = rest[..end].lines().filter(|line| !line.trim().is_empty()).count();
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// Where the body ends that follows a function's name; none for a declaration without one.
fn body_end(rest: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && brackets == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The text with comments and the insides of literals blanked; the lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = comment_or_literal(rest, code.chars().next_back());
        if skip == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (gone, after) = rest.split_at(skip);
            code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// Length of the comment or literal that `rest` begins with; 0 when it begins with neither.
fn comment_or_literal(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(after) = rest.strip_prefix('"') {
        return 1 + quoted(after, '"');
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let (false, Some(raw)) = (in_word, raw) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let opened = rest.len() - raw.len() + hashes + 1;
            return rest[opened..].find(&close).map_or(rest.len(), |at| opened + at + close.len());
        }
    }
    if let Some(after) = rest.strip_prefix('\'') {
        let mut chars = after.chars();
        return match (chars.next(), chars.next()) {
            (Some('\\'), _) => 1 + quoted(after, '\''),
            (Some(one), Some('\'')) => 2 + one.len_utf8(),
            // A lifetime or a label.
            _ => 0,
        };
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length up to and with the closing `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = r##"a("}", '{', '\'', b'}', r#"}"}"#, 'x: /* } /* { */ */ 1) // }"##;
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains(['{', '}']), "{code}");
    assert!(code.contains("'x:"), "a lifetime is code: {code}");
}

#[test]
fn functions_are_found_and_measured() {
    let text = "trait T { fn declared(a: [u8; 2]); }\n\nfn one() -> [u8; 2] {\n    // aside\n\n    [1, 2]\n}\n\
                impl X {\n    async fn two(f: impl Fn(u8) -> u8)\n    where\n        X: Y,\n    { if a { \"}\" } else { b } }\n}\n";
    let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("one".to_owned(), 3, 3), ("two".to_owned(), 9, 4)]);
}

#[test]
fn unit_tests_do_not_count_as_lines_of_a_file() {
    let source = |text: &str| Source { name: String::new(), text: text.to_owned() };
    assert_eq!(source("a\n\n#[cfg(test)]\nmod tests {\n}\n").lines_without_tests(), 1);
    assert_eq!(source("#[cfg(test)]\nmod tests;\nb\n").lines_without_tests(), 3);
    assert_eq!(source("#[cfg(test)]\nuse a;\nb\n").lines_without_tests(), 3);
}

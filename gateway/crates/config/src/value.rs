//! The values of a table, by type.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::duration::{self, Span};
use crate::section::{Located, Section, kind};
use crate::size::{self, Size};

/// Each of these reports a value that is wrong, and goes on with the default.
impl<'a> Section<'a> {
    pub(crate) fn text(&self, key: &'static str) -> Option<Located<&'a str>> {
        let found = self.value(key)?;
        match found.value {
            DeValue::String(text) => Some(Located { value: text, line: found.line }),
            other => {
                self.wrong_type(key, &found, other, "a text in quotes");
                None
            }
        }
    }

    /// A text that must be there. `hint` ends the sentence "... is missing; ".
    pub(crate) fn required(&self, key: &'static str, hint: &str) -> Option<Located<&'a str>> {
        if !self.has(key) {
            self.missing(key, hint);
        }
        self.text(key)
    }

    /// A file that must be there and readable.
    pub(crate) fn required_file(&self, key: &'static str, hint: &str) -> Option<PathBuf> {
        self.required(key, hint).map(|path| self.readable(key, &path))
    }

    /// A file that, if it is named, must be readable.
    pub(crate) fn file(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(|path| self.readable(key, &path))
    }

    /// A directory, relative to the configuration file; it need not exist yet.
    pub(crate) fn directory(&self, key: &'static str, default: PathBuf) -> PathBuf {
        let Some(found) = self.text(key) else { return default };
        let path = self.reader.resolve(found.value);
        if let Err(why) = self.reader.check_directory(&path) {
            self.fault(found.line, key, &format!("\"{}\" {why}", found.value));
        }
        path
    }

    /// A path that the file states, which must be readable.
    pub(crate) fn readable(&self, key: &str, path: &Located<&str>) -> PathBuf {
        let resolved = self.reader.resolve(path.value);
        if let Err(why) = self.reader.check_file(&resolved) {
            self.fault(path.line, key, &format!("\"{}\" {why}", path.value));
        }
        resolved
    }

    pub(crate) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(found) = self.value(key) else { return default };
        match found.value {
            DeValue::Boolean(flag) => *flag,
            other => {
                self.wrong_type(key, &found, other, "true or false");
                default
            }
        }
    }

    pub(crate) fn number<T>(&self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<u64>,
    {
        let Some(found) = self.value(key) else { return default };
        let DeValue::Integer(integer) = found.value else {
            self.wrong_type(key, &found, found.value, &format!("a whole number such as {default}"));
            return default;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.fault(found.line, key, &format!("{integer} is not from {least} to {most}"));
            default
        })
    }

    pub(crate) fn size(&self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.with_unit(key, default, &range, size::parse, Size)
    }

    pub(crate) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.with_unit(key, default, &range, duration::parse, Span)
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &'static str,
        default: T,
        options: &[(&'static str, T)],
    ) -> T {
        let Some(found) = self.text(key) else { return default };
        self.chosen(key, &found, options).unwrap_or(default)
    }

    /// What a word of the file stands for; a fault if it stands for nothing.
    pub(crate) fn chosen<T: Copy>(
        &self,
        key: &str,
        word: &Located<&str>,
        options: &[(&'static str, T)],
    ) -> Option<T> {
        let option = options.iter().find(|(name, _)| *name == word.value);
        if option.is_none() {
            let names: Vec<String> =
                options.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let message = format!("\"{}\" is none of {}", word.value, names.join(", "));
            self.fault(word.line, key, &message);
        }
        option.map(|(_, value)| *value)
    }

    /// A list of texts, each with its line; `None` where there is no list.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<Located<&'a str>>> {
        let found = self.value(key)?;
        let DeValue::Array(array) = found.value else {
            self.wrong_type(key, &found, found.value, "a list such as [\"one\", \"two\"]");
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            let line = self.reader.line(item.span().start);
            match item.get_ref() {
                DeValue::String(text) => texts.push(Located { value: &**text, line }),
                other => {
                    self.fault(line, key, &format!("holds {}; put it in quotes", kind(other)));
                }
            }
        }
        Some(texts)
    }

    /// A table of the operator's own keys; numbers and booleans become their text.
    pub(crate) fn free(&self, key: &'static str) -> BTreeMap<String, Located<String>> {
        let table = self.part(key);
        let mut free = BTreeMap::new();
        for (name, value, line) in table.entries() {
            let value = match value {
                DeValue::String(text) => text.to_string(),
                DeValue::Boolean(boolean) => boolean.to_string(),
                DeValue::Integer(integer) => integer.to_string(),
                DeValue::Float(float) => float.to_string(),
                other => {
                    let message = format!(
                        "is {}; an extension reads texts, so write it as one text",
                        kind(other)
                    );
                    table.fault(line, name, &message);
                    continue;
                }
            };
            free.insert(name.to_owned(), Located { value, line });
        }
        free
    }

    /// A number with a unit, which TOML can only say as a text.
    fn with_unit<T: Copy + PartialOrd, D: Display>(
        &self,
        key: &'static str,
        default: T,
        range: &RangeInclusive<T>,
        parse: fn(&str) -> Result<T, &'static str>,
        shown: fn(T) -> D,
    ) -> T {
        let Some(found) = self.value(key) else { return default };
        let DeValue::String(text) = found.value else {
            let example = shown(default);
            let wanted = format!("a number and a unit in quotes, such as \"{example}\"");
            self.wrong_type(key, &found, found.value, &wanted);
            return default;
        };
        match parse(text) {
            Ok(value) if range.contains(&value) => return value,
            Ok(_) => {
                let (least, most) = (shown(*range.start()), shown(*range.end()));
                let message = format!("\"{text}\" is not from {least} to {most}");
                self.fault(found.line, key, &message);
            }
            Err(why) => self.fault(found.line, key, &format!("\"{text}\" {why}")),
        }
        default
    }
}

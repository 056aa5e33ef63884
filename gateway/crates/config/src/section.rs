//! One table of the file, read key by key.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::nearest::suggestion;
use crate::reader::Reader;

/// One table of the file. Each getter asks for a key; [`finish`](Self::finish) then knows which
/// keys there are, and complains about all others. A value that is wrong is reported and replaced
/// by the default, so that reading goes on to the next fault.
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a Reader<'a>,
    /// Absent where the file leaves the table out: then every key has its default.
    table: Option<&'a DeTable<'a>>,
    /// Where the table starts.
    line: Option<usize>,
    /// What messages call it: `listener "plant"`.
    label: String,
    /// What messages put before a key: `tls.`
    prefix: String,
    /// Its keys in the file: `listeners.plant.tls.`
    path: String,
    /// The same with `*` for names.
    pattern: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value of the file, with its line.
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn root(reader: &'a Reader<'a>, table: &'a DeTable<'a>) -> Self {
        Self {
            reader,
            table: Some(table),
            line: None,
            label: String::new(),
            prefix: String::new(),
            path: String::new(),
            pattern: String::new(),
            asked: RefCell::default(),
        }
    }

    /// A table of the file's top level, called by its own name: `[sessions]`.
    pub(crate) fn section(&self, key: &'static str) -> Section<'a> {
        let mut section = self.part(key);
        section.label = format!("[{key}]");
        section.prefix = String::new();
        section
    }

    /// A table that belongs to this one: `tls.cert`.
    pub(crate) fn part(&self, key: &'static str) -> Section<'a> {
        self.reader.note_known(format!("{}{key}", self.pattern));
        let found = self.value(key).and_then(|found| match found.value {
            DeValue::Table(table) => Some((table, found.line)),
            other => {
                self.wrong_type(key, &found, other, "a table");
                None
            }
        });
        Section {
            reader: self.reader,
            table: found.map(|(table, _)| table),
            line: found.map(|(_, line)| line).or(self.line),
            label: self.label.clone(),
            prefix: format!("{}{key}.", self.prefix),
            path: format!("{}{key}.", self.path),
            pattern: format!("{}{key}.", self.pattern),
            asked: RefCell::default(),
        }
    }

    /// The tables under names that the operator chooses: `[listeners.plant]`, each called
    /// `listener "plant"`, or `extension "x": key set "y"` below a table that has a name itself.
    pub(crate) fn named(&self, key: &'static str, noun: &str) -> Vec<(String, Section<'a>)> {
        let all = self.part(key);
        let mut named = Vec::new();
        for (name, value, line) in all.entries() {
            all.reader.note_key(format!("{}{name}", all.path), line);
            let label = match self.label.as_str() {
                "" => format!("{noun} \"{name}\""),
                outer => format!("{outer}: {noun} \"{name}\""),
            };
            let DeValue::Table(table) = value else {
                let message =
                    format!("{label} is {}; make it a table, [{}{name}]", kind(value), all.path);
                self.reader.fault(Some(line), message);
                continue;
            };
            if !is_name(name) {
                let message = format!(
                    "{label}: a name has 1 to {MAX_NAME} letters, digits, \"-\" and \"_\", because \
                     it appears in logs and metrics"
                );
                self.reader.fault(Some(line), message);
            }
            let section = Section {
                reader: self.reader,
                table: Some(table),
                line: Some(line),
                label,
                prefix: String::new(),
                path: format!("{}{name}.", all.path),
                pattern: format!("{}*.", all.pattern),
                asked: RefCell::default(),
            };
            named.push((name.to_owned(), section));
        }
        named
    }

    /// The tables of a list, `[[case]]` or `asks = [{ ... }]`, in their order; each is called by its noun and number.
    pub(crate) fn list(&self, key: &'static str, noun: &str) -> Vec<Section<'a>> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = found.value else {
            self.wrong_type(key, &found, found.value, "a list of tables");
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (number, item) in (1..).zip(array.iter()) {
            let line = self.reader.line(item.span().start);
            let label = match self.label.as_str() {
                "" => format!("{noun} {number}"),
                outer => format!("{outer}: {noun} {number}"),
            };
            let DeValue::Table(table) = item.get_ref() else {
                let message = format!("{label} is {}; make it a table", kind(item.get_ref()));
                self.reader.fault(Some(line), message);
                continue;
            };
            sections.push(Section {
                reader: self.reader,
                table: Some(table),
                line: Some(line),
                label,
                prefix: String::new(),
                path: format!("{}{key}.{number}.", self.path),
                pattern: format!("{}{key}.*.", self.pattern),
                asked: RefCell::default(),
            });
        }
        sections
    }

    /// Puts the name that the file gives a table in the place of its number.
    pub(crate) fn rename(&mut self, label: String) {
        self.label = label;
    }

    /// Where the table starts, if the file has it.
    pub(crate) fn line(&self) -> usize {
        self.line.unwrap_or_default()
    }

    /// A fault about the table as a whole.
    pub(crate) fn fault_of_all(&self, message: &str) {
        self.reader.fault(self.line, self.about(message));
    }

    /// A sentence with the name of the table before it.
    pub(crate) fn about(&self, message: &str) -> String {
        match self.label.as_str() {
            "" => message.to_owned(),
            label => format!("{label}: {message}"),
        }
    }

    /// Every key with its value and line, whatever they are called.
    pub(crate) fn entries(&self) -> Vec<(&'a str, &'a DeValue<'a>, usize)> {
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        entries
            .map(|(key, value)| {
                (&**key.get_ref(), value.get_ref(), self.reader.line(key.span().start))
            })
            .collect()
    }

    /// Whether a table is missing or has no entries.
    pub(crate) fn is_empty_part(&self, key: &str) -> bool {
        match self.table.and_then(|table| table.get(key)) {
            Some(value) => value.get_ref().as_table().is_some_and(|table| table.is_empty()),
            None => true,
        }
    }

    /// Whether the file has this key; does not count as asking for it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The line of a key; does not count as asking for it.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        let (key, _) = self.table?.get_key_value(key)?;
        Some(self.reader.line(key.span().start))
    }

    /// A fault about a key of this table.
    pub(crate) fn fault(&self, line: usize, key: &str, message: &str) {
        self.reader.fault(Some(line), self.sentence(key, message));
    }

    /// A fault about a key that the table lacks.
    pub(crate) fn missing(&self, key: &str, hint: &str) {
        self.reader.fault(self.line, self.sentence(key, &format!("is missing; {hint}")));
    }

    /// Faults for keys that mean something elsewhere but not here. `why` ends the sentence
    /// "... means nothing".
    pub(crate) fn meaningless(&self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(found) = self.value(key) {
                self.fault(found.line, key, &format!("means nothing {why}"));
            }
        }
    }

    /// Keys that cannot be judged.
    pub(crate) fn ignore(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
    }

    /// Complains about every key that nobody asked for.
    pub(crate) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _, line) in self.entries() {
            if !asked.contains(key) {
                let name = format!("{}{key}", self.prefix);
                let hint = suggestion(key, &self.prefix, asked.iter().copied());
                let message = match self.label.as_str() {
                    "" => format!("\"{name}\" is not a known key; {hint}"),
                    label => format!("{label}: \"{name}\" is not a known key; {hint}"),
                };
                self.reader.fault(Some(line), message);
            }
        }
    }

    fn sentence(&self, key: &str, message: &str) -> String {
        match self.label.as_str() {
            "" => format!("{}{key} {message}", self.prefix),
            label => format!("{label}: {}{key} {message}", self.prefix),
        }
    }

    /// The value of a key, which is thereby asked for.
    pub(crate) fn value(&self, key: &'static str) -> Option<Located<&'a DeValue<'a>>> {
        self.reader.note_known(format!("{}{key}", self.pattern));
        self.asked.borrow_mut().insert(key);
        let (key, value) = self.table?.get_key_value(key)?;
        let line = self.reader.line(key.span().start);
        self.reader.note_key(format!("{}{}", self.path, key.get_ref()), line);
        Some(Located { value: value.get_ref(), line })
    }

    /// A fault about a value of another type than the key has.
    pub(crate) fn wrong_type<T>(
        &self,
        key: &str,
        found: &Located<T>,
        value: &DeValue<'_>,
        wanted: &str,
    ) {
        self.fault(found.line, key, &format!("is {}; it must be {wanted}", kind(value)));
    }
}

/// Long enough for any name that a person reads, short enough for a log line.
const MAX_NAME: usize = 64;

pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What a value is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

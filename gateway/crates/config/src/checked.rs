//! The whole configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::reader::Reader;
use crate::section::Section;
use crate::{
    Admin, Bridge, Broker, Compiler, Decisions, Extension, FileProbe, Limits, Listener, Log, Mqtt,
    Report, Sessions, Store, TopicRule, Trust, admin, bridge, broker, compiler, decisions,
    extension, limits, listener, log, mqtt, relations, roster, sessions, store, topics, trust,
};

/// A configuration without faults. Relative paths are resolved against the file's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The directory for all that the gateway itself writes; it need not exist yet.
    pub data: PathBuf,
    /// Where clients connect: at least one, sorted by name.
    pub listeners: Vec<Listener>,
    /// The components that decide, sorted by name.
    pub extensions: Vec<Extension>,
    /// The names of those that are told what happens.
    pub observers: Vec<String>,
    /// Who may vouch for them.
    pub trust: Trust,
    /// How they become code.
    pub compiler: Compiler,
    /// What of MQTT clients may use.
    pub mqtt: Mqtt,
    /// How the messages of some topics are kept, sorted by name.
    pub topics: Vec<TopicRule>,
    /// Brokers elsewhere with which messages are exchanged, sorted by name.
    pub bridges: Vec<Bridge>,
    /// What one client may use.
    pub sessions: Sessions,
    /// What all clients together may use.
    pub broker: Broker,
    /// What one address or name may do, and the whole process.
    pub limits: Limits,
    /// What survives a power cut, and where.
    pub store: Store,
    /// Where the operator reaches it.
    pub admin: Admin,
    /// Where it writes what was decided, if it does.
    pub decisions: Option<Decisions>,
    /// What the gateway says.
    pub log: Log,
}

/// Where Linux systems keep what a service writes (FHS 3.0, 5.8).
const DEFAULT_DATA: &str = "/var/lib/portcullis";

/// The outcome of a check.
pub(crate) struct Outcome {
    pub(crate) result: Result<Checked, Report>,
    /// Every key that was asked for, with `*` for names.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the documentation by a test"))]
    pub(crate) known: BTreeSet<String>,
}

pub(crate) fn check(text: &str, file: &Path, files: &dyn FileProbe) -> Outcome {
    let reader = Reader::new(text, file, files);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        reader.not_toml(&errors);
        let (faults, known) = reader.finish();
        return Outcome { result: Err(Report::new(file, faults)), known };
    }
    let checked = read(&reader, table.get_ref(), file);
    let (faults, known) = reader.finish();
    let result = if faults.is_empty() { Ok(checked) } else { Err(Report::new(file, faults)) };
    Outcome { result, known }
}

fn read(reader: &Reader<'_>, table: &DeTable<'_>, file: &Path) -> Checked {
    let root = Section::root(reader, table);
    let data = root.directory("data", PathBuf::from(DEFAULT_DATA));
    let trust = trust::read(&root);
    let (names, extensions) = extension::read(&root, &trust);
    let checked = Checked {
        file: file.to_owned(),
        listeners: listener::read(&root, &names),
        observers: roster::read(&root, "observers", &names).unwrap_or_default(),
        extensions,
        trust,
        compiler: compiler::read(&root),
        mqtt: mqtt::read(&root),
        topics: topics::read(&root),
        bridges: bridge::read(&root, &names),
        sessions: sessions::read(&root),
        broker: broker::read(&root),
        limits: limits::read(&root),
        store: store::read(&root, &data),
        admin: admin::read(&root, &data),
        decisions: decisions::read(&root),
        log: log::read(&root),
        data,
    };
    root.finish();
    relations::check(reader, &checked);
    checked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;

    /// Each key stands in the reference, in its own table, perhaps as a comment.
    #[test]
    fn every_key_is_documented() {
        let text = include_str!("../../../../examples/gateway.toml");
        let mut documented = BTreeSet::new();
        let mut table = String::new();
        for line in text.lines() {
            let line = line.strip_prefix('#').unwrap_or(line);
            let entry = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]"));
            let entry = entry.map(|name| format!("{name}.*"));
            let named = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
            if let Some(name) = entry.as_deref().or(named) {
                let mut parts: Vec<&str> = name.split('.').collect();
                if let ["listeners" | "extensions" | "topics" | "bridges", name, ..] =
                    parts.as_mut_slice()
                {
                    *name = "*";
                }
                if let ["extensions", _, "key-sets" | "connections", name, ..] =
                    parts.as_mut_slice()
                {
                    *name = "*";
                }
                table = parts.join(".");
                documented.insert(table.clone());
            } else if let Some((key, _)) = line.split_once(" = ")
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"-.0123456789".contains(&byte))
            {
                let dot = if table.is_empty() { "" } else { "." };
                documented.insert(format!("{table}{dot}{key}"));
            }
        }
        let known = check(text, Path::new("gateway.toml"), &Disk).known;
        assert!(known.len() > 40, "only {} keys are known", known.len());
        for key in known {
            let parent = format!("{key}.");
            let shown = documented.contains(&key)
                || documented.iter().any(|documented| documented.starts_with(&parent));
            assert!(shown, "examples/gateway.toml does not document {key}");
        }
    }
}

//! `[extensions.NAME]`: the components that decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::component;
use crate::connection::{self, HttpConnection};
use crate::key_set::{self, KeySet};
use crate::reach::{self, BrokerGrant, KeyValueGrant, MessageGrant};
use crate::section::{Located, Section};
use crate::trust::{self, SignatureRule, Trust};

/// One extension.
#[derive(Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its name in the file, by which chains refer to it.
    pub name: String,
    /// The component: a file, or the directory of an OCI layout.
    pub component: PathBuf,
    /// Tag or digest of the component in an OCI layout; none where there is only one in it.
    pub reference: Option<String>,
    /// The SHA-256 that the component must have.
    pub sha256: Option<[u8; 32]>,
    /// Who must have signed the component.
    pub signature: SignatureRule,
    /// Whether it is loaded again when its files change.
    pub watch: bool,
    /// Bytes of memory of one instance.
    pub memory: u64,
    /// Instances, and so calls at a time.
    pub instances: u32,
    /// Time for each kind of call.
    pub deadlines: Deadlines,
    /// What the component may import from the gateway.
    pub grants: BTreeSet<Grant>,
    /// What the component reads as its configuration. May hold secrets.
    pub config: BTreeMap<String, String>,
    /// Files whose text is added to `config` under the same key; no key is in both.
    pub files: BTreeMap<String, PathBuf>,
    /// Keys that it may have tokens verified with, sorted by name.
    pub key_sets: Vec<KeySet>,
    /// Files with secrets that it may have codes made with, by name. It never sees what is in them.
    pub secrets: BTreeMap<String, PathBuf>,
    /// How much it may keep.
    pub key_value: KeyValueGrant,
    /// Servers that it may use, sorted by name.
    pub connections: Vec<HttpConnection>,
    /// What it may do to clients and messages.
    pub broker: BrokerGrant,
    /// Which messages it may look at on their way.
    pub messages: MessageGrant,
}

/// Leaves out the values of `config`.
impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("name", &self.name)
            .field("component", &self.component)
            .field("reference", &self.reference)
            .field("signature", &self.signature)
            .field("watch", &self.watch)
            .field("memory", &self.memory)
            .field("instances", &self.instances)
            .field("deadlines", &self.deadlines)
            .field("grants", &self.grants)
            .field("config_keys", &self.config.keys().collect::<Vec<_>>())
            .field("files", &self.files)
            .field("key_sets", &self.key_sets)
            .field("secrets", &self.secrets)
            .field("key_value", &self.key_value)
            .field("connections", &self.connections)
            .field("broker", &self.broker)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

/// The time that a call may take before it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// To start and read the configuration.
    pub init: Duration,
    /// To decide who a client is.
    pub authenticate: Duration,
    /// To decide about one publish or subscribe.
    pub authorize: Duration,
    /// To decide what becomes of one message.
    pub intercept: Duration,
    /// To hear about what happened.
    pub observe: Duration,
}

/// A part of the gateway that an extension may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// To write lines to the log.
    Log,
    /// To read its configuration.
    Config,
    /// To have passwords compared with hashes, tokens verified with key sets and codes made with secrets.
    Credentials,
    /// To know the time.
    Clock,
    /// To draw random numbers.
    Random,
    /// To remember values for a while, beyond the life of an instance.
    Cache,
    /// To show numbers to the operator.
    Metrics,
    /// To keep values on disk.
    KeyValue,
    /// To make requests to the servers of its connections.
    Http,
    /// To publish, disconnect clients and change what they may do.
    Broker,
}

impl Grant {
    const NAMES: [(&'static str, Self); 10] = [
        ("log", Self::Log),
        ("config", Self::Config),
        ("credentials", Self::Credentials),
        ("clock", Self::Clock),
        ("random", Self::Random),
        ("cache", Self::Cache),
        ("metrics", Self::Metrics),
        ("key-value", Self::KeyValue),
        ("http", Self::Http),
        ("broker", Self::Broker),
    ];

    /// Its name in the file, which is also the name of the interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Cache => "cache",
            Self::Metrics => "metrics",
            Self::KeyValue => "key-value",
            Self::Http => "http",
            Self::Broker => "broker",
        }
    }
}

/// The tables that belong to a grant.
const TABLES: [(Grant, &[&str]); 4] = [
    (Grant::Credentials, &["key-sets", "secrets"]),
    (Grant::KeyValue, &["key-value"]),
    (Grant::Http, &["connections"]),
    (Grant::Broker, &["broker"]),
];

/// Enough for a guest in Rust or C with thousands of rules.
const DEFAULT_MEMORY: u64 = 16 << 20;

/// One page of WebAssembly memory, below which nothing runs.
const MEMORY_MIN: u64 = 64 << 10;
/// What the engine reserves for each memory; more would not fit often enough into the address
/// space of small boards.
const MEMORY_MAX: u64 = 64 << 20;
/// Two: a call that is slow does not hold up the next, and memory stays small.
const DEFAULT_INSTANCES: u32 = 2;

/// Reading a large users file on a small box.
const DEFAULT_INIT: Duration = Duration::from_secs(5);

/// Several password hashes on a busy small box.
const DEFAULT_AUTHENTICATE: Duration = Duration::from_secs(2);

/// The client's later messages wait for this one.
const DEFAULT_AUTHORIZE: Duration = Duration::from_millis(50);

/// As above, and whoever is to get the message waits too.
const DEFAULT_INTERCEPT: Duration = Duration::from_millis(50);

/// Nobody waits for it; more happens meanwhile.
const DEFAULT_OBSERVE: Duration = Duration::from_secs(2);

/// Reads all extensions: the names that the file has, faulty ones too, and those without faults.
pub(crate) fn read(root: &Section<'_>, trust: &Trust) -> (Vec<String>, Vec<Extension>) {
    let sections = root.named("extensions", "extension");
    let names = sections.iter().map(|(name, _)| name.clone()).collect();
    let read = |(name, section)| read_one(name, &section, trust);
    let extensions = sections.into_iter().filter_map(read).collect();
    (names, extensions)
}

fn read_one(name: String, section: &Section<'_>, trust: &Trust) -> Option<Extension> {
    let component = component::read(section);
    let extension = read_beside(name, section, trust);
    let (component, reference) = component?;
    Some(Extension { component, reference, ..extension })
}

/// Reads what is stated of an extension besides where its component is.
pub(crate) fn read_beside(name: String, section: &Section<'_>, trust: &Trust) -> Extension {
    let sha256 = sha256(section);
    let signature = trust::rule(section, &name, trust);
    let watch = section.flag("watch", false);
    // A 32-bit guest cannot address more than 4 GiB.
    let memory = section.size("memory", DEFAULT_MEMORY, MEMORY_MIN..=MEMORY_MAX);
    let instances = section.number("instances", DEFAULT_INSTANCES, 1..=64);
    let deadlines = deadlines(section);
    let grants = grants(section);
    let config = section.free("config");
    let files = files(section, &config);
    let key_sets = key_set::read(section);
    let secrets = secrets(section);
    let (key_value, connections) = (reach::key_value(section), connection::read(section));
    let (broker, messages) = (reach::broker(section), reach::messages(section));
    for (grant, tables) in TABLES {
        if !grants.contains(&grant) {
            let name = grant.name();
            let why = format!("without the grant \"{name}\"; add it to grants, or remove this");
            section.meaningless(tables, &why);
        }
    }
    section.finish();
    Extension {
        name,
        component: PathBuf::new(),
        reference: None,
        sha256,
        signature,
        watch,
        memory,
        instances,
        deadlines,
        grants,
        config: config.into_iter().map(|(key, found)| (key, found.value)).collect(),
        files,
        key_sets,
        secrets,
        key_value,
        connections,
        broker,
        messages,
    }
}

fn sha256(section: &Section<'_>) -> Option<[u8; 32]> {
    let text = section.text("sha256")?;
    let digest = digest(text.value);
    if digest.is_none() {
        let message = format!(
            "\"{}\" is not a SHA-256; write the 64 hexadecimal digits that sha256sum prints",
            text.value
        );
        section.fault(text.line, "sha256", &message);
    }
    digest
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut digest = [0; 32];
    for byte in &mut digest {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(digest)
}

fn deadlines(section: &Section<'_>) -> Deadlines {
    let deadline = section.part("deadline");
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    let deadlines = Deadlines {
        init: deadline.duration("init", DEFAULT_INIT, range.clone()),
        authenticate: deadline.duration("authenticate", DEFAULT_AUTHENTICATE, range.clone()),
        authorize: deadline.duration("authorize", DEFAULT_AUTHORIZE, range.clone()),
        intercept: deadline.duration("intercept", DEFAULT_INTERCEPT, range.clone()),
        observe: deadline.duration("observe", DEFAULT_OBSERVE, range),
    };
    deadline.finish();
    deadlines
}

fn grants(section: &Section<'_>) -> BTreeSet<Grant> {
    let words = section.texts("grants").unwrap_or_default();
    let grant = |word: &Located<&str>| {
        if connection::NOT_BUILT_IN.contains(&word.value) {
            let message = format!("\"{}\": {}", word.value, connection::not_built_in(word.value));
            section.fault(word.line, "grants", &message);
            return None;
        }
        section.chosen("grants", word, &Grant::NAMES)
    };
    words.iter().filter_map(grant).collect()
}

fn files(
    section: &Section<'_>,
    config: &BTreeMap<String, Located<String>>,
) -> BTreeMap<String, PathBuf> {
    let table = section.part("files");
    let mut files = BTreeMap::new();
    for (key, path) in section.free("files") {
        let located = Located { value: path.value.as_str(), line: path.line };
        files.insert(key.clone(), table.readable(&key, &located));
        if let Some(other) = config.get(&key) {
            let message = format!(
                "is also config.{key} in line {}; an extension sees one value for a key",
                other.line
            );
            table.fault(path.line, &key, &message);
        }
    }
    files
}

fn secrets(section: &Section<'_>) -> BTreeMap<String, PathBuf> {
    let table = section.part("secrets");
    let located = |(key, path): (String, Located<String>)| {
        let path = Located { value: path.value.as_str(), line: path.line };
        (key.clone(), table.readable(&key, &path))
    };
    section.free("secrets").into_iter().map(located).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_have_the_names_that_are_read() {
        for (name, grant) in Grant::NAMES {
            assert_eq!(grant.name(), name);
        }
    }

    #[test]
    fn digests_are_64_digits() {
        let text = "0123456789abcdefABCDEF0000000000000000000000000000000000000000ff";
        let digest = digest(text).unwrap();
        assert_eq!((digest[0], digest[10], digest[31]), (0x01, 0xef, 0xff));
        for text in ["", &text[1..], &format!("{text}0"), &text.replace('a', "g")] {
            assert_eq!(super::digest(text), None, "{text}");
        }
    }
}

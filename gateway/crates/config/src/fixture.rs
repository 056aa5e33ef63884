//! What an extension is tested with: a file of cases, each a CONNECT with what is to come of it.
//!
//! `extensions/README.md` shows such a file and documents its keys. A fault is found as one of `gateway.toml` is: all at
//! once, each with its line, and for an unknown key the nearest known one.

mod ask;
mod bytes;
mod case;
mod connect;
mod event;
mod expect;
mod kept;
mod message;
mod moment;
mod script;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::reader::Reader;
use crate::section::Section;
use crate::{Disk, Extension, Report, Trust, extension};

pub use ask::{Ask, By, Opinion, What};
pub use case::Case;
pub use connect::{Carrier, Certificate, Connect, Known};
pub use event::Event;
pub use expect::{Expect, Fallback, Outcome};
pub use kept::Kept;
pub use message::Message;
pub use script::{HttpFailure, HttpOutcome, Script};
pub use step::Step;

/// A file of cases.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The file.
    pub file: PathBuf,
    /// What `[extension]` gives the extension: all that `[extensions.NAME]` of `gateway.toml` can, without the
    /// component. Its name is that of the file.
    pub extension: Extension,
    /// What servers answer in all cases, as often as they are asked unless a script says how often.
    pub scripts: Vec<Script>,
    /// What the extension has in `key-value` when a case begins.
    pub kept: BTreeMap<String, Vec<u8>>,
    /// The cases, at least one, in their order.
    pub cases: Vec<Case>,
}

/// Reads and checks a file of cases. Relative paths in it are resolved against its directory.
///
/// # Errors
/// Everything that is wrong with the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Fixture, Report> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) => Err(Report::unreadable(path, &error)),
    }
}

fn parse(text: &str, file: &Path) -> Result<Fixture, Report> {
    let reader = Reader::new(text, file, &Disk);
    let (table, errors) = DeTable::parse_recoverable(text);
    let fixture = if errors.is_empty() {
        Some(read(&reader, table.get_ref(), file))
    } else {
        reader.not_toml(&errors);
        None
    };
    let (faults, _) = reader.finish();
    match fixture {
        Some(fixture) if faults.is_empty() => Ok(fixture),
        _ => Err(Report::new(file, faults)),
    }
}

fn read(reader: &Reader<'_>, table: &DeTable<'_>, file: &Path) -> Fixture {
    let root = Section::root(reader, table);
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = extension::read_beside(stem, &root.section("extension"), &Trust::default());
    let usual = connect::read(&root.section("connect"), &Connect::default());
    let scripts = script::read(&root, &extension, false);
    let kept = kept::contents(&root, &extension);
    let cases = case::read(&root, &usual, &extension);
    root.finish();
    Fixture { file: file.to_owned(), extension, scripts, kept, cases }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn faults(text: &str) -> String {
        parse(text, Path::new("f.toml")).expect_err("it has faults").to_string()
    }

    #[test]
    fn a_case_says_who_comes_and_what_is_expected() {
        let text = r#"
[extension]
grants = ["config"]
config = { site = "a" }

[connect]
username = "meter"
password = "secret"

[[case]]
name = "let in"
now = 2026-03-01T00:00:00Z
config = { site = "b" }
connect = { client-id = "m1", version = "3.1.1", password = { hex = "00ff" }, transport = "unix", peer-address = "unix" }
expect = { outcome = "accept", principal = "m1", rules = ["allow publish a/#"], log = ["info *"] }
asks = [
  { publish = "a/b", qos = 1, expect = "allow", by = "rules" },
  { subscribe = ["a/#", "b/#"], expect = ["allow", "deny"], after = "10s" },
]

[[case]]
name = "again"
continues = true
expect = { outcome = "reject", code = 0x86, reason = "*wrong*" }
"#;
        let fixture = parse(text, Path::new("dir/site.toml")).unwrap();
        assert_eq!(fixture.extension.name, "site");
        let [first, second] = fixture.cases.as_slice() else { panic!("{:?}", fixture.cases) };
        assert_eq!((first.name.as_str(), first.line), ("let in", 10));
        assert_eq!(first.now, Duration::from_secs(1_772_323_200));
        assert_eq!(first.config["site"], "b");
        assert_eq!(first.connect.username.as_deref(), Some("meter"));
        assert_eq!(first.connect.password.as_deref(), Some(&[0, 0xff][..]));
        assert_eq!(first.connect.version, mqtt::Version::V3_1_1);
        assert_eq!((first.connect.transport, first.connect.peer_address), (Carrier::Unix, None));
        assert!(second.connect.peer_address.is_some());
        assert_eq!(first.expect.outcome, Outcome::Accept);
        assert_eq!(first.asks[0].by, Some(By::Rules));
        assert_eq!(first.asks[1].expect, [Opinion::Allow, Opinion::Deny]);
        assert_eq!(first.asks[1].after, Duration::from_secs(10));
        assert!(second.continues);
        assert_eq!(second.connect.client_id, Connect::default().client_id);
        assert_eq!((second.expect.code, second.expect.line), (Some(0x86), 24));
    }

    #[test]
    fn a_case_says_what_becomes_of_messages_and_who_is_told() {
        let text = r#"
[[case]]
name = "a"
expect = { outcome = "abstain" }
asks = [
  { intercept-publish = "a/b", qos = 1, payload = "x", content-type = "text/plain", user-properties = { k = "v" }, expiry = "60s", expect = "replace", becomes = ["topic c", "*"] },
  { intercept-delivery = "a/b", payload = { hex = "00" }, response-topic = "r", correlation-data = "7", retain = true, expect = "discard" },
  { observe = [{ kind = "connected", details = { listener = "tls" } }, { kind = "dropped", client-id = "x", principal = "p" }], missed = 3, expect = "taken" },
  { reconfigure = { n = 3 }, expect = "refuse", reason = "n*" },
]
"#;
        let fixture = parse(text, Path::new("f.toml")).unwrap();
        let asks = &fixture.cases[0].asks;
        let What::InterceptPublish(message) = &asks[0].what else { panic!("{:?}", asks[0]) };
        assert_eq!((message.topic.as_str(), &*message.payload), ("a/b", &b"x"[..]));
        assert_eq!((message.qos, message.expiry_seconds), (mqtt::QoS::AtLeastOnce, Some(60)));
        assert_eq!(message.content_type.as_deref(), Some("text/plain"));
        assert_eq!(message.user_properties, [("k".to_owned(), "v".to_owned())]);
        assert_eq!(asks[0].becomes.as_deref().map(<[String]>::len), Some(2));
        let What::InterceptDelivery(message) = &asks[1].what else { panic!("{:?}", asks[1]) };
        assert_eq!((&*message.payload, message.retain), (&[0][..], true));
        assert_eq!(message.response_topic.as_deref(), Some("r"));
        assert_eq!(message.correlation_data.as_deref(), Some(&b"7"[..]));
        assert_eq!(asks[1].expect, [Opinion::Discard]);
        let What::Observe { events, missed: 3 } = &asks[2].what else { panic!("{:?}", asks[2]) };
        assert_eq!(events[0].details, [("listener".to_owned(), "tls".to_owned())]);
        assert_eq!((&*events[1].kind, events[1].client_id.as_deref()), ("dropped", Some("x")));
        let What::Reconfigure(settings) = &asks[3].what else { panic!("{:?}", asks[3]) };
        assert_eq!(settings["n"], "3");
    }

    const REACHING: &str = r#"
[extension]
grants = ["http", "key-value", "broker"]
connections.idp.url = "https://id.example.com/oauth"

[kept]
count = 3
"a b" = { hex = "00ff" }

[[http]]
path = "/introspect*"
answer = { body = "{}", headers = { Content-Type = "application/json" } }

[[case]]
name = "a"
kept = { count = "4" }
http = [
  { connection = "idp", method = "POST", path = "/x", body = "*a*", headers = { Accept = "*" }, fail = "timeout" },
  { path = "/y", times = 2, delay = "300ms", answer = { status = 404 } },
]
expect = { outcome = "accept", requests = ["POST idp /x: *"], orders = [], kept = { count = 4, "a b" = false, x = "*y", z = { hex = "00" } } }
"#;

    #[test]
    fn a_case_says_what_servers_answer_and_what_is_kept() {
        let fixture = parse(REACHING, Path::new("f.toml")).unwrap();
        assert_eq!(fixture.kept["count"], b"3");
        assert_eq!(fixture.kept["a b"], [0, 0xff]);
        let [usual] = fixture.scripts.as_slice() else { panic!("{:?}", fixture.scripts) };
        assert_eq!((&*usual.connection, usual.times, usual.line), ("idp", None, 10));
        let HttpOutcome::Answer { status: 200, headers, body } = &usual.outcome else {
            panic!("{usual:?}")
        };
        assert_eq!(headers[0].0, "content-type");
        assert_eq!(body, b"{}");
        let case = &fixture.cases[0];
        assert_eq!(case.kept["count"], b"4");
        let [fails, answers] = case.scripts.as_slice() else { panic!("{:?}", case.scripts) };
        assert_eq!(fails.outcome, HttpOutcome::Failure(HttpFailure::Timeout));
        assert_eq!((fails.times, fails.method.as_deref()), (Some(1), Some("POST")));
        assert_eq!(fails.headers, [("accept".to_owned(), "*".to_owned())]);
        assert_eq!((answers.times, answers.delay), (Some(2), Duration::from_millis(300)));
        assert_eq!((&*answers.body, answers.method.as_deref()), ("*", None));
        let expect = &case.expect;
        assert_eq!(expect.orders.as_deref(), Some(&[][..]));
        assert_eq!(expect.requests.as_deref(), Some(&["POST idp /x: *".to_owned()][..]));
        assert_eq!(expect.kept["count"], Kept::Text("4".to_owned()));
        assert_eq!(expect.kept["a b"], Kept::Nothing);
        assert_eq!(expect.kept["z"], Kept::Bytes(vec![0]));
    }

    #[test]
    fn faults_of_scripts_have_their_lines() {
        let text = r#"
[extension]
grants = ["http"]
connections.idp.url = "https://id.example.com"

[kept]
x = 1

[[http]]
connection = "other"
answer = {}
fail = "timeout"

[[case]]
name = "a"
http = [{ path = "/", fail = "slow" }, { path = "/", answer = { code = 200 } }, { paths = "/" }]
expect = { outcome = "accept", kept = { a = true, b = { hex = "0" } } }
"#;
        let said = faults(text);
        for line in [
            "f.toml:6: kept means nothing without the grant \"key-value\"",
            "f.toml:10: http 1: connection \"other\" is no connection of the extension",
            "f.toml:9: http 1: has either answer",
            "f.toml:16: case \"a\": http 1: fail \"slow\" is none of \"refused\", \"timeout\"",
            "f.toml:16: case \"a\": http 2: \"answer.code\" is not a known key",
            "f.toml:16: case \"a\": http 3: \"paths\" is not a known key; did you mean \"path\"?",
            "f.toml:16: case \"a\": http 3: has either answer",
            "f.toml:17: case \"a\": expect.kept.a is a boolean; it must be a text",
            "f.toml:17: case \"a\": expect.kept.b is a table; it must be a text",
        ] {
            assert!(said.contains(line), "{line}\nis not in\n{said}");
        }
    }

    #[test]
    fn every_fault_has_its_line_and_its_fix() {
        let text = r#"
[extension]
grant = ["config"]

[[case]]
name = "a"
connect = { user-name = "x" }
expect = { outcome = "acept", principal = 1 }
asks = [{ publish = "a/#", expect = "allow" }, { publish = "a", deliver = "a", expect = "no" },
  { intercept-publish = "a", expect = "allow", becomes = ["*"] }, { reconfigure = {}, expect = "fail" }, { observe = [{}], expect = "taken" }]

[[case]]
name = "a"
expects = { outcome = "accept" }
"#;
        let said = faults(text);
        for line in [
            "f.toml:3: [extension]: \"grant\" is not a known key; did you mean \"grants\"?",
            "f.toml:7: case \"a\": \"connect.user-name\" is not a known key; did you mean \"connect.username\"?",
            "f.toml:8: case \"a\": expect.outcome \"acept\" is none of \"accept\", \"reject\"",
            "f.toml:8: case \"a\": expect.principal is a whole number; it must be a text",
            "f.toml:9: case \"a\": ask 1: publish \"a/#\" is not a topic",
            "f.toml:9: case \"a\": ask 2: asks one thing",
            "f.toml:9: case \"a\": ask 2: expect \"no\" is none of \"allow\", \"deny\", \"pass\"",
            "f.toml:10: case \"a\": ask 3: expect \"allow\" is none of \"pass\", \"discard\", \"refuse\", \"replace\", \"fail\"",
            "f.toml:10: case \"a\": ask 3: becomes means nothing where nothing takes the place",
            "f.toml:10: case \"a\": ask 4: expect \"fail\" is none of \"refuse\", \"taken\"",
            "f.toml:10: case \"a\": ask 5: event 1: kind is missing",
            "f.toml:12: case \"a\": has the name of the case in line 5",
            "f.toml:14: case \"a\": \"expects\" is not a known key; did you mean \"expect\"?",
            "f.toml:12: case \"a\": expect is missing",
        ] {
            assert!(said.contains(line), "{line}\nis not in\n{said}");
        }
        assert!(faults("").contains("case is missing"));
        assert!(faults("[[case]\n").contains("f.toml:1: not TOML"));
    }
}

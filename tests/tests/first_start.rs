//! What somebody meets who starts the gateway for the first time, and what a refusal says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, QoS, ReasonCode, Version};
use portcullis_tests::tools::Tool;
use portcullis_tests::{DEMO, Gateway, PATIENCE, Received, Site};
use serde_json::Value;

/// The port of the first configuration.
const PORT: u16 = 8883;

#[test]
fn the_printed_commands_pass_a_message_as_printed() {
    let site = Site::as_made();
    let commands: Vec<_> =
        site.said.lines().map(str::trim).filter(|line| line.starts_with("mosquitto_")).collect();
    let [subscribe, publish] = commands[..] else { panic!("two commands: {}", site.said) };
    wait_for_the_port();
    let mut gateway = Gateway::start_with(&site, 1);

    let mut subscriber = shell(subscribe);
    let until = Instant::now() + PATIENCE;
    let mut arrived = false;
    while !arrived && Instant::now() < until {
        let out = shell(publish).finish();
        assert!(out.status.success(), "{publish}: {}", String::from_utf8_lossy(&out.stderr));
        // The first may have come before the subscription.
        arrived = subscriber.prints("demo/hello hello", Duration::from_secs(1));
    }
    assert!(arrived, "nothing arrived:\n{}", gateway.log.text());
    println!("first_start: `{}` printed \"demo/hello hello\"", redacted(subscribe, &site));
    gateway.assert_sound();
}

fn shell(line: &str) -> Tool {
    // `exec`, so that the client is the process that is ended in the end.
    Tool::start(Command::new("sh").arg("-c").arg(format!("exec {line}")))
}

fn redacted(command: &str, site: &Site) -> String {
    command.replace(&site.password, "PASSWORD")
}

/// Another gateway may be in use on this machine: that is nothing to fail for at once.
fn wait_for_the_port() {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
        assert!(
            Instant::now() < until,
            "port {PORT}, which the first configuration names, cannot be used ({error}); end what uses it"
        );
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn strangers_are_refused_and_the_log_says_why() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let answer = |options: portcullis_tests::Options| options.try_connect().expect("a CONNACK").1;
    let refused = |code| Received::ConnAck(code, false);

    // On the wire 3.1.1 says 4 for the first and 5 for the second.
    for version in [Version::V5, Version::V3_1_1] {
        let wrong = gateway.options("wrong").user(DEMO, "wrong").version(version);
        assert_eq!(answer(wrong), refused(ReasonCode::BadUserNameOrPassword), "{version:?}");
        let nobody = gateway.options("nobody").anonymous().version(version);
        assert_eq!(answer(nobody), refused(ReasonCode::NotAuthorized), "{version:?}");
    }
    let unknown = gateway.options("unknown").user("mallory", "guess");
    assert_eq!(answer(unknown), refused(ReasonCode::BadUserNameOrPassword));

    let lines = gateway.events(0, "client refused");
    assert_eq!(lines.len(), 5, "one line for each:\n{}", gateway.log.text());
    let about = |client: &str| {
        lines.iter().find(|line| line["client"] == client).unwrap_or_else(|| panic!("{client}"))
    };
    assert_names_extension(about("wrong"), "password");
    assert_names_extension(about("unknown"), "password");
    assert_eq!(about("nobody")["decided_by"], "gateway");
    assert_eq!(
        about("wrong")["why"],
        about("unknown")["why"],
        "it does not tell whether a name exists"
    );
    println!("first_start: {}", about("wrong"));
    println!("first_start: {}", about("nobody"));
    assert!(!gateway.log.text().contains(&site.password), "no password is in the log");
    gateway.assert_sound();
}

fn assert_names_extension(line: &Value, extension: &str) {
    let by = line["decided_by"].as_str().unwrap_or_default();
    assert!(by.starts_with(&format!("{extension}@")), "{line}");
    assert!(line["why"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
    assert!(line["took_us"].is_u64(), "{line}");
}

#[test]
fn a_forbidden_topic_is_refused_and_the_log_names_the_rule() {
    let site = Site::new();
    site.user("watcher", "watching");
    site.rules(
        "deny * user:demo demo/private/#\n\
         allow publish,subscribe user:demo demo/#\n\
         allow subscribe user:watcher #\n",
    );
    let mut gateway = Gateway::start(&site);
    let mut watcher = gateway.options("watcher").user("watcher", "watching").connect();
    assert_eq!(watcher.subscribe("#", QoS::AtMostOnce), ReasonCode::Success);

    let mut v5 = gateway.client("five");
    assert_eq!(v5.publish_and_wait("secret/x", b"1", false), ReasonCode::NotAuthorized);
    assert_eq!(v5.publish_and_wait("demo/private/x", b"2", false), ReasonCode::NotAuthorized);
    let id = v5.publish("secret/x", b"3", QoS::ExactlyOnce, false);
    let refused = Received::Ack(PacketKind::PubRec, id, ReasonCode::NotAuthorized);
    assert_eq!(v5.receive(), refused);
    v5.publish("secret/x", b"4", QoS::AtMostOnce, false);
    assert_eq!(v5.subscribe("secret/#", QoS::AtLeastOnce), ReasonCode::NotAuthorized);

    // 3.1.1 cannot say no to a PUBLISH: it is acknowledged and dropped.
    let mut v3 = gateway.options("three").version(Version::V3_1_1).connect();
    assert_eq!(v3.publish_and_wait("secret/x", b"5", false), ReasonCode::Success);
    assert_eq!(v3.subscribe("secret/#", QoS::AtLeastOnce), ReasonCode::UnspecifiedError);
    assert_eq!(v3.publish_and_wait("demo/open", b"6", false), ReasonCode::Success);
    assert_eq!(watcher.message().payload, b"6", "what was forbidden did not arrive");

    let denied = gateway.events(0, "client denied");
    let line = |client: &str, action: &str, topic: &str| {
        let fits = |line: &&Value| {
            line["client"] == client && line["action"] == action && line["topic"] == topic
        };
        denied.iter().find(fits).unwrap_or_else(|| panic!("{client} {action} {topic}: {denied:#?}"))
    };
    let by_rule = line("five", "publish", "demo/private/x");
    let decision = by_rule["decision"].as_str().expect("a decision");
    assert!(decision.contains("acl@") && decision.contains("line 1"), "{decision}");
    assert_eq!(by_rule["principal"], DEMO);
    for unmatched in [line("five", "publish", "secret/x"), line("three", "subscribe", "secret/#")] {
        let decision = unmatched["decision"].as_str().expect("a decision");
        assert!(decision.contains("acl@"), "{decision}");
    }
    println!("first_start: {by_rule}");
    println!("first_start: {}", line("five", "publish", "secret/x"));
    gateway.assert_sound();
}

#[test]
fn check_reports_all_faults_at_once_with_file_and_line() {
    let site = Site::new();
    let good = site.check();
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));

    site.configure(
        "[sessions]\nmax-inflght = 5\nreceive-maximum = 0\n[store]\nengine = \"tape\"\n",
    );
    let out = site.check();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr);
    println!("first_start: check said\n{said}");
    let text = fs::read_to_string(site.config()).expect("the configuration");
    for fault in ["max-inflght", "receive-maximum", "engine"] {
        let number = text.lines().position(|line| line.starts_with(fault)).expect("our line") + 1;
        let place = format!("gateway.toml:{number}: ");
        let found = said.lines().any(|line| line.contains(&place) && line.contains(fault));
        assert!(found, "{fault} at {place}in\n{said}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn a_second_init_changes_nothing_and_shows_no_password() {
    let site = Site::as_made();
    let before = files(&site.path(""));
    assert!(before.len() >= 7, "{:?}", before.keys());
    let said = site.init();
    assert!(!said.contains(&site.password) && !said.contains("mosquitto_sub"), "{said}");
    assert!(said.contains("was kept") && said.contains("user add"), "{said}");
    assert_eq!(files(&site.path("")), before);
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            let bytes = fs::read(&path).expect("a readable file");
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn a_user_who_is_added_gets_in_after_sighup() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut old = gateway.client("old");
    let new = gateway.options("new").user("alice", "in wonderland");
    let refused = Received::ConnAck(ReasonCode::BadUserNameOrPassword, false);
    assert_eq!(new.try_connect().expect("a CONNACK").1, refused);

    site.user("alice", "in wonderland");
    let taken = gateway.reload();
    assert_eq!(taken.len(), 1, "only one has changed:\n{}", gateway.log.text());
    new.connect();
    assert!(old.pings(), "who was in stays in");

    // A fault keeps what there was.
    fs::write(site.path("acl.txt"), "allow everything to everybody\n").expect("the rules");
    let mark = gateway.log.mark();
    gateway.reload();
    let kept = gateway.log.wait(mark, PATIENCE, |event| event["level"] == "ERROR");
    println!("first_start: {}", kept.expect("the fault is reported"));
    assert_eq!(old.publish_and_wait("demo/still", b"", false), ReasonCode::NoMatchingSubscribers);
    gateway.assert_sound();
}

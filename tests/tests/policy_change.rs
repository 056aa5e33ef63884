//! A change of rules that would lock out a device, found before it counts: by replay of a recording, by a shadow, and
//! explained when somebody asks why.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what is printed can be read as the story that it tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, Gateway, Operator, PATIENCE, Site, program};
use serde_json::Value;

/// What the site's devices do today: pumps and meters, each below its own name.
const BEFORE: &str = "\
group devices pump-1 meter-7
allow publish   group:devices plant/${principal}/#  qos<=1
allow subscribe group:devices plant/${principal}/set
";

/// Somebody means to separate pumps from meters, and forgets that `meter-7` says on plant/meter-7/alarm that it is
/// in trouble.
const AFTER: &str = "\
group pumps  pump-1
group meters meter-7
allow publish   group:pumps  plant/${principal}/#      qos<=1
allow publish   group:meters plant/${principal}/value  qos<=1
allow subscribe group:pumps  plant/${principal}/set
allow subscribe group:meters plant/${principal}/set
";

const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;
const DEVICES: [&str; 2] = ["pump-1", "meter-7"];

/// How long is recorded: long enough for all devices to come once on a busy machine.
const RECORDED: &str = "8s";

fn site() -> Site {
    let site = Site::new();
    site.rules(BEFORE);
    for device in DEVICES {
        site.user(device, &password(device));
    }
    site
}

fn password(device: &str) -> String {
    format!("the secret of {device}")
}

fn device(gateway: &Gateway<'_>, name: &str) -> Client {
    gateway.options(name).user(name, &password(name)).connect()
}

/// A day in the life of both devices.
fn work(gateway: &Gateway<'_>) {
    for name in DEVICES {
        let mut device = device(gateway, name);
        assert_eq!(
            device.subscribe(&format!("plant/{name}/set"), QoS::AtLeastOnce),
            ReasonCode::GrantedQos1
        );
        for what in ["value", "alarm"] {
            let answer = device.publish_and_wait(&format!("plant/{name}/{what}"), b"1", false);
            assert_eq!(answer, NOBODY, "{name} {what}");
        }
        device.leave();
    }
}

/// A command line of the operator, as it is typed and with what it prints.
fn shell(words: &[&str]) -> Output {
    let out = Command::new(&program().portcullis).args(words).output().expect("the command starts");
    println!("$ portcullis {}", words.join(" "));
    print!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("[{}]\n", out.status.code().unwrap_or(-1));
    out
}

fn record(site: &Site, name: &str, file: &str, more: &[&str]) -> Child {
    let config = site.config();
    let mut command = Command::new(&program().portcullis);
    command.args(["extension", "record", name, "--for", RECORDED, "--out"]).arg(site.path(file));
    command.args(more).arg("--config").arg(config).stdout(Stdio::piped());
    command.spawn().expect("the command starts")
}

/// Waits until a recording has begun: its file has a first line when it is flushed, so the log is asked.
fn wait_for_recordings(gateway: &Gateway<'_>, count: usize) {
    let until = Instant::now() + PATIENCE;
    while gateway.log.events(0, "recording begins").len() < count {
        assert!(Instant::now() < until, "{}", gateway.log.text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ends_well(child: Child) -> String {
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("it prints text")
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn a_change_that_would_lock_out_a_device_is_found_before_it_counts() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let operator = Operator::of(&site);
    let recordings =
        [record(&site, "acl", "acl.rec", &[]), record(&site, "password", "password.rec", &[])];
    wait_for_recordings(&gateway, 2);
    work(&gateway);
    recordings.map(ends_well).iter().for_each(|said| print!("{said}"));
    assert_no_secrets(&site);

    // What runs decides again as it did.
    let (rules, users) = (path(&site.path("acl.rec")), path(&site.path("password.rec")));
    let config = path(&site.config());
    for recording in [&rules, &users] {
        let out = shell(&["extension", "replay", recording, "--config", &config]);
        assert_eq!(out.status.code(), Some(0), "{recording}");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains(" 0 differ"), "{said}");
    }

    // The change, in a copy of the configuration.
    fs::write(site.path("acl-new.txt"), AFTER).expect("the rules are written");
    let text = fs::read_to_string(site.config()).expect("a configuration");
    let changed = text.replace("files.rules = \"acl.txt\"", "files.rules = \"acl-new.txt\"");
    assert_ne!(text, changed);
    let new_config = site.path("new.toml");
    fs::write(&new_config, changed).expect("the configuration is written");

    println!("--- replay: the recording against the new rules");
    let out = shell(&["extension", "replay", &rules, "--config", &path(&new_config)]);
    assert_eq!(out.status.code(), Some(1), "it differs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("meter-7 permissions") && said.contains("now:"), "{said}");

    println!("--- shadow: the new rules beside the old, with live devices");
    site.rules(AFTER);
    shell(&["extension", "reload", "acl", "--mode", "shadow", "--config", &config]);
    work(&gateway);
    let candidate = differences(&operator, 2);
    shell(&["extension", "status", "acl", "--config", &config]);
    let clients: Vec<_> = candidate["latest_differences"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|difference| difference["client"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(clients.contains(&"meter-7".to_owned()), "{candidate}");

    explains(&gateway, &site, &operator);

    // The old rules are back at once.
    site.rules(BEFORE);
    shell(&["extension", "reload", "acl", "--config", &config]);
    work(&gateway);
    gateway.assert_sound();
}

/// Asks what becomes of a meter's alarm, before the new rules are promoted and after.
fn explains(gateway: &Gateway<'_>, site: &Site, operator: &Operator) {
    let config = path(&site.config());
    println!("--- explain: what runs, and what would be");
    let connect = site.path("meter-7.json");
    let description = serde_json::json!({"listener": "tls", "client_id": "meter-7",
        "username": "meter-7", "password": password("meter-7")});
    fs::write(&connect, description.to_string()).expect("a description");
    let alarm = [
        "explain",
        "--connect",
        &path(&connect),
        "--qos",
        "1",
        "--publish",
        "plant/meter-7/value",
        "--publish",
        "plant/meter-7/alarm",
        "--config",
        &config,
    ];
    let out = shell(&alarm);
    assert!(!String::from_utf8_lossy(&out.stdout).contains("denied"), "the old rules count");
    shell(&["extension", "promote", "acl", "--config", &config]);
    let out = shell(&alarm);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("publish plant/meter-7/value: allowed"), "{said}");
    assert!(said.contains("publish plant/meter-7/alarm: denied with 0x87"), "{said}");
    let mut meter = device(gateway, "meter-7");
    let answer = meter.publish_and_wait("plant/meter-7/alarm", b"1", false);
    assert_eq!(answer, ReasonCode::NotAuthorized, "explain said so");
    let why =
        operator.asks(&["explain", "--client", "meter-7", "--publish", "plant/meter-7/alarm"]);
    assert!(
        why["decisions"][0]["version"].as_str().is_some_and(|by| by.starts_with("acl@")),
        "{why}"
    );
}

/// What is tried of `acl`, as soon as it has been compared so often.
fn differences(operator: &Operator, least: u64) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = operator.asks(&["extension", "status", "acl"]);
        let candidate = &status["candidate"];
        if candidate["decisions"].as_u64() >= Some(least) {
            return candidate.clone();
        }
        assert!(Instant::now() < until, "{status}");
    }
}

/// The passwords and their hashes are not in the recordings, which nobody else can read anyway.
fn assert_no_secrets(site: &Site) {
    let users = fs::read_to_string(site.path("users.txt")).expect("a users file");
    for file in ["acl.rec", "password.rec"] {
        let recorded = fs::read_to_string(site.path(file)).expect("a recording");
        assert!(recorded.lines().count() > 2, "{recorded}");
        for device in DEVICES {
            assert!(!recorded.contains(&password(device)), "{file} has the password of {device}");
        }
        for hash in users.lines().filter_map(|line| line.split_once(':')) {
            assert!(!recorded.contains(hash.1), "{file} has the hash of {}", hash.0);
        }
        let mode = fs::metadata(site.path(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn secrets_are_recorded_only_where_somebody_says_so() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let recording = record(&site, "password", "secret.rec", &["--secrets"]);
    wait_for_recordings(&gateway, 1);
    let operator = Operator::of(&site);
    let again = site.path("again.rec");
    let words = ["extension", "record", "password", "--for", "1s", "--out", &path(&again)];
    assert!(operator.fails(&words).contains("is being recorded already"));
    work(&gateway);
    ends_well(recording);
    let recorded = fs::read_to_string(site.path("secret.rec")).expect("a recording");
    assert!(recorded.contains(&password("meter-7")), "{recorded}");
    let words = [
        "extension",
        "record",
        "password",
        "--for",
        "1s",
        "--out",
        &path(&site.path("secret.rec")),
    ];
    assert!(
        operator.fails(&words).contains("secret.rec"),
        "a file that is there is not overwritten"
    );
    // A replay with secrets finds a user whose password was changed, for it checks in fact what it has no answer to.
    site.user("meter-7", "another password");
    let config = path(&site.config());
    let out = shell(&[
        "extension",
        "replay",
        &path(&site.path("secret.rec")),
        "--config",
        &config,
        "--json",
    ]);
    assert_eq!(out.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(answer["differences"][0]["client"], "meter-7", "{answer}");
    assert_eq!((&answer["same"], &answer["improvised"]), (&1.into(), &1.into()), "{answer}");

    fs::write(site.path("broken.rec"), recorded.trim_end()).expect("a file is written");
    let out = shell(&["extension", "replay", &path(&site.path("broken.rec")), "--config", &config]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("cut off"));
    fs::write(site.path("broken.rec"), "{}\n").expect("a file is written");
    let out = shell(&["extension", "replay", &path(&site.path("broken.rec")), "--config", &config]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("broken.rec:1: not the first line"));
    gateway.assert_sound();
}

//! What an end in order keeps, and what a damaged disk costs.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{DEMO, Dice, Gateway, Options, Publisher, Received, Site, collect};

/// How long the queue of the absent subscriber may pause before it counts as empty.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn sigterm_loses_nothing() {
    let site = Site::new();
    let mut publisher = Publisher::new("demo/kept", QoS::AtLeastOnce, 64);
    let gateway = Gateway::start(&site);
    subscribe(&site);
    let mut client = gateway.options("publisher").plain().persistent().connect();
    let (status, log) = thread::scope(|scope| {
        let stream = scope.spawn(|| publisher.publish(&mut client, u64::MAX));
        thread::sleep(Duration::from_millis(800));
        let end = gateway.stop();
        assert!(stream.join().expect("the publisher does not fail").is_err(), "it is cut off");
        end
    });
    assert!(status.success(), "{status}:\n{}", log.text());
    assert_eq!(log.events(0, "stopped").len(), 1, "{}", log.text());
    assert!(!publisher.acknowledged.is_empty(), "it was accepted something");

    let mut gateway = Gateway::start(&site);
    assert!(gateway.events(0, "store was repaired").is_empty(), "{}", gateway.log.text());
    let numbers: BTreeSet<_> = returned(&site).into_iter().collect();
    let lost: Vec<_> = publisher.acknowledged.difference(&numbers).collect();
    println!(
        "durability end=SIGTERM acknowledged={} delivered={} lost={}",
        publisher.acknowledged.len(),
        numbers.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    gateway.assert_sound();
}

#[test]
fn a_damaged_store_is_reported_and_the_gateway_starts() {
    const MESSAGES: u64 = 2000;
    let site = Site::new();
    {
        let gateway = Gateway::start(&site);
        subscribe(&site);
        let mut client = gateway.options("publisher").plain().connect();
        let mut publisher = Publisher::new("demo/kept", QoS::AtLeastOnce, 64);
        publisher.publish(&mut client, MESSAGES).expect("nobody stops it");
        assert!(gateway.stop().0.success());
    }
    // In the middle and at the end of the file, so that at one of them there are messages.
    for (round, part) in [(1, 0.5), (2, 0.97)] {
        let file = database(&site.path("data")).expect("the store has a file");
        damage(&file, part);
        let mut gateway = Gateway::start(&site);
        let reports: Vec<_> = gateway
            .events(0, "store incident")
            .into_iter()
            .chain(gateway.events(0, "record damaged and set aside"))
            .chain(gateway.events(0, "store was repaired"))
            .collect();
        println!("durability round={round} damaged_at={part} reports={}", reports.len());
        for report in reports.iter().take(3) {
            println!("durability round={round} {report}");
        }
        assert!(!reports.is_empty(), "damage is reported:\n{}", gateway.log.text());
        // It works, whatever is left.
        let mut client = gateway.client("after");
        client.subscribe("demo/after", QoS::AtLeastOnce);
        client.publish("demo/after", b"works", QoS::AtLeastOnce, false);
        let answers = [client.receive(), client.receive()];
        let arrived = |it: &Received| matches!(it, Received::Publish(m) if m.payload == b"works");
        assert!(answers.iter().any(arrived), "{answers:?}");
        gateway.assert_sound();
        assert!(gateway.stop().0.success());
    }
    let mut gateway = Gateway::start(&site);
    let (mut client, answer) = absent(&site).try_connect().expect("a CONNACK");
    let present = answer == Received::ConnAck(ReasonCode::Success, true);
    let left = if present { collect(&mut client, QUIET) } else { Vec::new() };
    assert!(left.is_sorted(), "what is left is in order");
    println!("durability damaged messages={MESSAGES} session_left={present} left={}", left.len());
    gateway.assert_sound();
}

fn absent(site: &Site) -> Options {
    Options::new("absent", site).user(DEMO, &site.password).plain().persistent()
}

fn subscribe(site: &Site) {
    let mut client = absent(site).connect();
    assert!(!client.subscribe("demo/kept", QoS::AtLeastOnce).is_error());
    client.leave();
}

fn returned(site: &Site) -> Vec<u64> {
    let (mut client, answer) = absent(site).try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true), "the session is still there");
    collect(&mut client, QUIET)
}

/// The database's file.
fn database(folder: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            // What was set aside before is not the store any more.
            if name.to_string_lossy().starts_with("damaged") {
                continue;
            }
            if let Some(found) = database(&path) {
                return Some(found);
            }
        } else if name == "db" {
            return Some(path);
        }
    }
    None
}

/// Flips bits of forty bytes around a part of the file that holds something.
fn damage(file: &Path, part: f64) {
    let mut file = OpenOptions::new().read(true).write(true).open(file).expect("the file opens");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("the file is readable");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something is in it");
    let mut dice = Dice::new(11);
    for _ in 0..40 {
        let at = (used as f64 * part) as u64 + dice.between(0, 4000);
        let at = at.min(used as u64);
        file.seek(SeekFrom::Start(at)).expect("it is in the file");
        file.write_all(&[bytes[at as usize] ^ 0x5A]).expect("the file is writable");
    }
    file.sync_all().expect("the file is written");
}

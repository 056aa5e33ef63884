use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Dice, Gateway, Received, collect};

use crate::scene::{ACCEPTED, KEPT, LIVE, Pair, Scene, payload, publish};

/// Messages of each life of the gateway; each life begins a segment of the log.
const MESSAGES: u64 = 100;
const LIVES: u64 = 3;

/// Whatever of the store is damaged, the gateway starts, says what is lost, and serves with the rest.
#[test]
fn a_damaged_store() {
    let scene = Scene::new("");
    let store = scene.stage.store();
    for life in 0..LIVES {
        let gateway = scene.stage.start();
        if life == 0 {
            scene.absent("absent");
        }
        let mut publisher = scene.client("publisher");
        for number in life * MESSAGES..(life + 1) * MESSAGES {
            let answer = publish(&mut publisher, KEPT, &payload(number, 64), QoS::AtLeastOnce);
            assert_eq!(answer, ACCEPTED);
        }
        if life + 1 < LIVES {
            assert!(gateway.stop().0.success());
        } else {
            gateway.kill();
        }
    }
    let sound = scene.stage.path("sound");
    copy(&store, &sound);
    println!("damaged store: 300 messages in 3 segments");
    let cases: [(&str, &[Damage]); 4] = [
        ("database is garbage", &[database]),
        ("newest segment is cut in half", &[newest]),
        ("middle segment is damaged", &[middle]),
        ("all of it", &[database, newest, middle]),
    ];
    for (name, damage) in cases {
        fs::remove_dir_all(&store).expect("the store of the last case goes");
        copy(&sound, &store);
        damage.iter().for_each(|damage| damage(&store));
        start(&scene, name);
    }
}

fn start(scene: &Scene, name: &str) {
    let mut gateway = scene.stage.start();
    println!("  {name}:");
    let (mut client, answer) =
        scene.stage.options("absent").persistent().try_connect().expect("a CONNACK");
    let there = answer == Received::ConnAck(ReasonCode::Success, true);
    let left = if there { collect(&mut client, Duration::from_millis(700)) } else { Vec::new() };
    let reports = reports(&gateway);
    reports.iter().for_each(|report| println!("    log: {report}"));
    assert!(!reports.is_empty(), "{name}: damage is reported:\n{}", gateway.log.text());
    let dropped = gateway.counters().get("dropped_damaged");
    println!(
        "    session there={there} messages left={} of {} dropped_damaged={dropped}",
        left.len(),
        LIVES * MESSAGES
    );
    assert!(left.is_sorted_by(|one, next| one < next), "{name}: what is left is in order, once");
    Pair::new(scene, "live", true).exchange(LIVE);
    if !there {
        assert!(!client.subscribe("kept/#", QoS::AtLeastOnce).is_error());
    }
    client.leave();
    let mut publisher = scene.client("publisher");
    let kept = publish(&mut publisher, KEPT, &payload(7_000, 64), QoS::AtLeastOnce);
    assert_eq!(kept, ACCEPTED, "{name}: it serves");
    assert!(scene.drain("absent", &[7_000].into()).contains(&7_000), "{name}: it keeps");
    gateway.assert_sound();
    // What was told once is not told again.
    assert!(gateway.stop().0.success());
    let gateway = scene.stage.start();
    let again = self::reports(&gateway);
    println!("    told again at the next start: {}", again.len());
    again.iter().for_each(|report| println!("    log: {report}"));
}

fn reports(gateway: &Gateway<'_>) -> Vec<String> {
    const MESSAGES: [&str; 4] =
        ["store incident", "record damaged and set aside", "store was repaired", "message dropped"];
    gateway.counters();
    let told = MESSAGES.iter().flat_map(|message| gateway.log.events(0, message));
    told.map(|event| event.to_string()).collect()
}

/// Damages a store.
type Damage = fn(&Path);

fn database(store: &Path) {
    let path = store.join("sled/db");
    let mut dice = Dice::new(3);
    let length = fs::metadata(&path).expect("there is a database").len();
    let garbage: Vec<u8> = (0..length).map(|_| dice.between(0, 255) as u8).collect();
    fs::write(path, garbage).expect("the store is ours");
}

/// Half of what is written in it is left.
fn newest(store: &Path) {
    let path = segments(store).pop().expect("there are segments");
    let bytes = fs::read(&path).expect("the store is ours");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something is in it");
    fs::write(path, &bytes[..used / 2]).expect("the store is ours");
}

/// Forty bytes around its middle are changed.
fn middle(store: &Path) {
    let segments = segments(store);
    let path = &segments[segments.len() / 2];
    let mut bytes = fs::read(path).expect("the store is ours");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something is in it");
    let mut dice = Dice::new(5);
    for _ in 0..40 {
        let at = used / 2 + dice.between(0, 2_000) as usize;
        bytes[at.min(used)] ^= 0x5A;
    }
    fs::write(path, bytes).expect("the store is ours");
}

fn segments(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("log")).expect("there is a log");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
    segments.sort();
    segments
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("the file is copied");
        }
    }
}

//! Every case with the clients of every library.

use portcullis_tests::tools::Library;
use portcullis_tests::{Gateway, Site};

use crate::play::Stage;
use crate::script::{Case, cases};

const FILES: [&str; 9] = [
    include_str!("cases/alias.txt"),
    include_str!("cases/connect.txt"),
    include_str!("cases/delivery.txt"),
    include_str!("cases/identifier.txt"),
    include_str!("cases/retained.txt"),
    include_str!("cases/session.txt"),
    include_str!("cases/shared.txt"),
    include_str!("cases/subscribe.txt"),
    include_str!("cases/will.txt"),
];

#[test]
fn paho_with_mqtt_3_1_1() {
    play(&[Library::Paho], 3, true);
}

#[test]
fn paho_with_mqtt_5() {
    play(&[Library::Paho], 5, true);
}

#[test]
fn mqttjs_with_mqtt_3_1_1() {
    play(&[Library::MqttJs], 3, true);
}

#[test]
fn mqttjs_with_mqtt_5() {
    play(&[Library::MqttJs], 5, true);
}

#[test]
fn mqtt5_with_mqtt_3_1_1() {
    play(&[Library::Mqtt5], 3, true);
}

#[test]
fn mqtt5_with_mqtt_5() {
    play(&[Library::Mqtt5], 5, true);
}

/// Clients of different libraries with each other, without TLS.
#[test]
fn all_together_with_mqtt_5() {
    play(&[Library::Paho, Library::MqttJs, Library::Mqtt5], 5, false);
}

/// Plays the cases for a version with the clients of these libraries.
fn play(libraries: &[Library], version: u8, tls: bool) {
    let names: Vec<_> = libraries.iter().map(|library| library.name()).collect();
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut stage = Stage {
        name: format!("{}-{version}", names.join("-")),
        site: &site,
        version,
        tls,
        drivers: libraries.iter().map(|library| library.start()).collect(),
    };
    let all: Vec<Case> = FILES.iter().flat_map(|file| cases(file)).collect();
    let wanted = all.iter().enumerate().filter(|(_, case)| {
        let able = |name: &&str| {
            !case.without.iter().any(|without| without == name)
                && case.only.as_ref().is_none_or(|only| only == name)
        };
        case.versions.contains(&version) && names.iter().all(able)
    });
    let (mut played, mut failures) = (0, Vec::new());
    for (number, case) in wanted {
        played += 1;
        failures.extend(stage.play(case, number).err());
    }
    println!("clients: {} version={version} cases={played}", names.join("+"));
    gateway.assert_sound();
    assert!(failures.is_empty(), "{} of {played} cases:\n{}", failures.len(), failures.join("\n"));
}

/// What is not as a case says is noticed: otherwise all of the above would mean nothing.
#[test]
fn a_case_that_is_not_so_fails() {
    let site = Site::new();
    let _gateway = Gateway::start(&site);
    let drivers = vec![Library::Paho.start()];
    let name = "wrong".to_owned();
    let mut stage = Stage { name, site: &site, version: 5, tls: true, drivers };
    let wrong = [
        ("payload is not", "a< message ~/x other user=a:1"),
        ("qos is not", "a< message ~/x one qos=1 user=a:1"),
        ("it has user=", "a< message ~/x one"),
        ("wrong", "a< nothing"),
        ("at the end", "wait 1500"),
        ("refused", "a> subscribe other/topic"),
        ("code is not", "a> publish ~/x two qos=1 => code=16"),
    ];
    for (number, (complaint, line)) in wrong.into_iter().enumerate() {
        let begin = "a> connect\na> subscribe ~/x\na> publish ~/x one user=a:1";
        let case = &cases(&format!("=== wrong\n{begin}\n{line}\n"))[0];
        let error = stage.play(case, number).expect_err(line);
        assert!(error.contains(complaint), "{line}: {error}");
    }
}

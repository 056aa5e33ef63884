//! Every case with the clients of every library.

use std::thread;

use portcullis_tests::tools::Library;
use portcullis_tests::{Gateway, Site, free_port};

use crate::play::Stage;
use crate::script::{Case, cases};

/// For gateways as they are without configuration.
const USUAL: &[&str] = &[
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

/// For a gateway with [`TIGHT`] limits.
const LIMITS: &[&str] = &[include_str!("cases/limits.txt")];
const TIGHT: &str = "[sessions]\nmax-packet-size = \"2 KiB\"\nreceive-maximum = 5\n\
                     max-expiry = \"60s\"\nmax-keep-alive = \"30s\"\n";

/// So many cases are played at the same time.
const STAGES: usize = 3;

#[test]
fn paho_with_mqtt_3_1() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.config()).expect("the configuration is there");
    let text = text.replace("[listeners.tls]\n", "[listeners.tls]\nmqtt-3-1 = true\n");
    std::fs::write(site.config(), text).expect("the configuration is written");
    play(&site, &[Library::Paho], 31, USUAL);
}

#[test]
fn paho_with_mqtt_3_1_1() {
    play(&Site::new(), &[Library::Paho], 3, USUAL);
}

#[test]
fn paho_with_mqtt_5() {
    play(&Site::new(), &[Library::Paho], 5, USUAL);
}

#[test]
fn mqttjs_with_mqtt_3_1_1() {
    play(&Site::new(), &[Library::MqttJs], 3, USUAL);
}

#[test]
fn mqttjs_with_mqtt_5() {
    play(&Site::new(), &[Library::MqttJs], 5, USUAL);
}

#[test]
fn mqtt5_with_mqtt_3_1_1() {
    play(&Site::new(), &[Library::Mqtt5], 3, USUAL);
}

#[test]
fn mqtt5_with_mqtt_5() {
    play(&Site::new(), &[Library::Mqtt5], 5, USUAL);
}

/// All cases again, each packet inside a WebSocket.
#[test]
fn paho_and_mqttjs_over_websocket() {
    for version in [3, 5] {
        let site = Site::new();
        let port = free_port();
        site.configure(&listener(port));
        play_over(&site, Some(port), &[Library::Paho, Library::MqttJs], version, USUAL);
    }
}

/// Clients of different libraries with each other, without TLS.
#[test]
fn all_together() {
    for version in [3, 5] {
        play(&Site::new(), &[Library::Paho, Library::MqttJs, Library::Mqtt5], version, USUAL);
    }
}

#[test]
fn limits_are_kept_by_all() {
    for version in [3, 5] {
        for library in [Library::Paho, Library::MqttJs, Library::Mqtt5] {
            let site = Site::new();
            site.configure(TIGHT);
            play(&site, &[library], version, LIMITS);
        }
    }
}

/// Plays the cases for a version with the clients of these libraries, over TLS if it is one library.
fn play(site: &Site, libraries: &[Library], version: u8, files: &[&str]) {
    play_over(site, None, libraries, version, files);
}

/// A listener for WebSocket over TLS.
pub(crate) fn listener(port: u16) -> String {
    format!(
        "[listeners.web]\nbind = \"127.0.0.1:{port}\"\ntransport = \"wss\"\ntls.cert = \"pki/server.pem\"\n\
         tls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    )
}

/// As [`play`]; with a port over WebSocket, at the third listener.
fn play_over(site: &Site, web: Option<u16>, libraries: &[Library], version: u8, files: &[&str]) {
    let names: Vec<_> = libraries.iter().map(|library| library.name()).collect();
    let mut gateway = Gateway::start_with(site, if web.is_some() { 3 } else { 2 });
    let all: Vec<Case> = files.iter().flat_map(|file| cases(file)).collect();
    let wanted: Vec<(usize, &Case)> =
        all.iter().enumerate().filter(|(_, case)| case.is_for(version, &names)).collect();
    let stage = || Stage {
        name: format!("{}-{version}", names.join("-")),
        site,
        version,
        tls: libraries.len() == 1 || web.is_some(),
        web,
        drivers: libraries.iter().map(|library| library.start()).collect(),
    };
    let failures: Vec<String> = thread::scope(|scope| {
        // A case is mostly waiting.
        let stages: Vec<_> = (0..STAGES.min(wanted.len()))
            .map(|first| {
                let cases = wanted.iter().skip(first).step_by(STAGES);
                let mut stage = stage();
                scope.spawn(move || {
                    let failure = |(number, case): &(usize, &Case)| stage.play(case, *number).err();
                    cases.filter_map(failure).collect::<Vec<_>>()
                })
            })
            .collect();
        stages.into_iter().flat_map(|stage| stage.join().expect("a stage ends")).collect()
    });
    let played = wanted.len();
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
    let mut stage = Stage { name, site: &site, version: 5, tls: true, web: None, drivers };
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

//! WebSocket to another gateway and to Mosquitto.

use portcullis_tests::{Gateway, PATIENCE, Site, free_port};

use super::{configure, exchange};
use crate::downstream::{counters, wait_until_connected, wait_until_empty};
use crate::upstream::Mosquitto;

fn with_web(path: &str) -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    site.rules("allow publish,subscribe * #\n");
    site.configure(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:{port}\"\ntransport = \"wss\"\npath = \"{path}\"\n\
         tls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    (site, port)
}

#[test]
fn messages_of_any_size_pass_both_ways_over_wss() {
    let site = Site::new();
    let (upstream, port) = with_web("/in/here");
    configure(&site, &upstream, &format!("url = \"wss://localhost:{port}/in/here\""));
    let there = Gateway::start_with(&upstream, 3);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut client = there.client("onlooker");
    for size in [0, 1, 125, 126, 70_000, 1_000_000] {
        exchange(&gateway, &mut client, size);
    }
    wait_until_empty(&gateway);
    assert_eq!(counters(&gateway)["failures"].as_u64(), Some(0));
    gateway.assert_sound();
}

#[test]
fn an_answer_that_opens_no_websocket_is_told() {
    let site = Site::new();
    let (upstream, port) = with_web("/mqtt");
    configure(&site, &upstream, &format!("url = \"wss://localhost:{port}/elsewhere\""));
    let _there = Gateway::start_with(&upstream, 3);
    let gateway = Gateway::start(&site);
    let told = gateway.log.wait(0, PATIENCE, |event| {
        event["cause"].as_str().is_some_and(|cause| cause.contains("404"))
    });
    let told = told.unwrap_or_else(|| panic!("{}", gateway.log.text()));
    let cause = told["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("nothing is at the path of the url"), "{cause}");
}

/// Mosquitto's WebSockets are libwebsockets'.
#[test]
fn messages_pass_both_ways_in_a_websocket_of_mosquitto() {
    let (site, web) = (Site::new(), free_port());
    let more = format!("listener {web} 127.0.0.1\nprotocol websockets\nallow_anonymous true");
    let mosquitto = Mosquitto::start(&site, &more);
    let rules =
        crate::downstream::rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    let quick = crate::downstream::QUICK;
    for version in ["5.0", "3.1.1"] {
        site.configure(&format!(
            "[bridges.up]\nurl = \"ws://127.0.0.1:{web}\"\nversion = \"{version}\"\n{quick}{rules}"
        ));
        let mut gateway = Gateway::start(&site);
        wait_until_connected(&gateway, 1);
        let mut there = mosquitto.client(&site, "onlooker");
        for size in [0, 1, 125, 126, 70_000, 500_000] {
            exchange(&gateway, &mut there, size);
        }
        wait_until_empty(&gateway);
        gateway.assert_sound();
        drop(gateway);
    }
}

//! Keys on a server that rotates them, and that is away at times.

use std::thread;
use std::time::{Duration, Instant};

use mqtt::ReasonCode;
use portcullis_tests::{Gateway, PATIENCE, Site, Web};
use serde_json::{Value, json};

use crate::issuer::{Issuer, jwks};
use crate::password::answer;
use crate::site;

/// The site and the server of its keys, which is out of order.
fn fetching(more: &str) -> (Site, Web) {
    // The server needs the certificate of a site, and the site its address.
    let first = site("file = \"keys.json\"", "");
    let web = Web::start(&first);
    let text = std::fs::read_to_string(first.config()).expect("the configuration is there");
    let url = format!("url = \"{}\"\nca = \"pki/ca.pem\"\n{more}", web.url);
    std::fs::write(first.config(), text.replace("file = \"keys.json\"", &url))
        .expect("the configuration is written");
    (first, web)
}

fn code(gateway: &Gateway<'_>, issuer: &Issuer) -> ReasonCode {
    answer(gateway, "c1", &issuer.token(&json!({})))
}

fn wait_for(gateway: &Gateway<'_>, issuer: &Issuer, expected: ReasonCode) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = code(gateway, issuer);
        if found == expected {
            return;
        }
        assert!(Instant::now() < until, "{found:?} and not {expected:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it() {
    let (k1, k2, k3) = (Issuer::new(1), Issuer::new(2), Issuer::new(3));
    let (site, web) = fetching("");
    web.serve(&jwks(&[&k1]));
    let mut gateway = Gateway::start(&site);
    wait_for(&gateway, &k1, ReasonCode::Success);
    assert_eq!(web.asked(), 1, "known keys need no server");

    web.serve(&jwks(&[&k2]));
    assert_eq!(code(&gateway, &k2), ReasonCode::ServerUnavailable, "it is being fetched");
    wait_for(&gateway, &k2, ReasonCode::Success);
    assert_eq!(code(&gateway, &k1), ReasonCode::BadUserNameOrPassword, "the issuer took it back");
    for _ in 0..5 {
        assert_eq!(code(&gateway, &k3), ReasonCode::BadUserNameOrPassword);
    }
    assert_eq!(web.asked(), 2, "strangers cannot make the gateway ask again and again");
    gateway.assert_sound();
}

#[test]
fn an_outage_of_the_server_is_outlived() {
    let (k1, k2) = (Issuer::new(1), Issuer::new(2));
    let (site, web) = fetching("");
    let gateway = Gateway::start(&site);
    assert_eq!(code(&gateway, &k1), ReasonCode::ServerUnavailable, "there are no keys yet");
    web.serve(&jwks(&[&k1]));
    wait_for(&gateway, &k1, ReasonCode::Success);
    let failed = gateway.events(0, "key set could not be fetched");
    assert_eq!(failed.len(), 1, "{failed:?}");

    web.fail();
    gateway.stop();
    let mut gateway = Gateway::start(&site);
    assert_eq!(code(&gateway, &k1), ReasonCode::Success, "the keys of the last time serve");
    assert_eq!(code(&gateway, &k2), ReasonCode::ServerUnavailable);
    gateway.assert_sound();
}

/// The issuer rotates its keys and is away: its clients have good tokens, and each of them is to hear so, not the first alone.
#[test]
fn an_unknown_key_is_not_called_wrong_while_the_server_is_away() {
    let (k1, k2, k3) = (Issuer::new(1), Issuer::new(2), Issuer::new(3));
    let (site, web) = fetching("");
    web.serve(&jwks(&[&k1]));
    let mut gateway = Gateway::start(&site);
    wait_for(&gateway, &k1, ReasonCode::Success);
    web.fail();
    assert_eq!(code(&gateway, &k2), ReasonCode::ServerUnavailable, "it is being fetched");
    let failed = |event: &Value| event["message"] == "key set could not be fetched";
    assert!(gateway.log.wait(0, PATIENCE, failed).is_some(), "{}", gateway.log.tail(20));
    for _ in 0..5 {
        assert_eq!(code(&gateway, &k2), ReasonCode::ServerUnavailable, "nobody knows");
    }
    assert_eq!(code(&gateway, &k1), ReasonCode::Success, "what is known is known");

    web.serve(&jwks(&[&k1, &k2]));
    wait_for(&gateway, &k2, ReasonCode::Success);
    assert_eq!(code(&gateway, &k3), ReasonCode::BadUserNameOrPassword, "now it is known");
    gateway.assert_sound();
}

#[test]
fn keys_that_are_too_old_serve_no_more() {
    let k1 = Issuer::new(1);
    let (site, web) = fetching("refresh = \"1s\"\nmax-stale = \"3s\"");
    web.serve(&jwks(&[&k1]));
    let mut gateway = Gateway::start(&site);
    wait_for(&gateway, &k1, ReasonCode::Success);
    web.fail();
    assert_eq!(code(&gateway, &k1), ReasonCode::Success);
    wait_for(&gateway, &k1, ReasonCode::ServerUnavailable);
    assert_eq!(gateway.events(0, "key set is too old").len(), 1);
    web.serve(&jwks(&[&k1]));
    wait_for(&gateway, &k1, ReasonCode::Success);
    gateway.assert_sound();
}

#[test]
fn only_the_server_that_is_meant_is_believed() {
    let k1 = Issuer::new(1);
    let (site, web) = fetching("");
    web.serve(&jwks(&[&k1]));
    let text = std::fs::read_to_string(site.config()).expect("the configuration is there");
    // Another site's authority does not vouch for this one's server.
    let other = Site::new();
    let ca = other.ca().display().to_string();
    std::fs::write(site.config(), text.replace("pki/ca.pem", &ca)).expect("it is written");
    let gateway = Gateway::start(&site);
    let failed =
        gateway.log.wait(0, PATIENCE, |event| event["message"] == "key set could not be fetched");
    assert!(failed.is_some_and(|event| event["error"].to_string().contains("ertificate")));
    assert_eq!(code(&gateway, &k1), ReasonCode::ServerUnavailable);
}

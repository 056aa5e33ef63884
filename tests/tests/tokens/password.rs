//! A token as the password of CONNECT.

use std::fs;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Options, Received};
use serde_json::json;

use crate::issuer::{self, Issuer, confused, jwks, now, payload, unsigned};
use crate::site_with;

fn knock(gateway: &Gateway<'_>, client_id: &str, token: &str) -> (Client, Received) {
    let options = Options::new(client_id, gateway.site).user("whoever", token);
    options.try_connect().expect("the gateway accepts connections")
}

/// What CONNACK says.
pub(crate) fn answer(gateway: &Gateway<'_>, client_id: &str, token: &str) -> ReasonCode {
    match knock(gateway, client_id, token).1 {
        Received::ConnAck(code, _) => code,
        other => panic!("{other:?} instead of CONNACK"),
    }
}

#[test]
fn only_what_the_issuer_signed_for_this_gateway_is_let_in() {
    let (issuer, stranger) = (Issuer::new(1), Issuer::new(9));
    let site = site_with(&jwks(&[&issuer]), "client-id = \"prefix:sub\"");
    let mut gateway = Gateway::start(&site);
    let with = |claims| issuer.token(&claims);
    let header = |text: &str| issuer.signed(text, &payload(&json!({})));
    let bad = ReasonCode::BadUserNameOrPassword;
    let cases = [
        ("as it should be", with(json!({})), ReasonCode::Success),
        ("one of several audiences", with(json!({ "aud": ["x", "mqtt"] })), ReasonCode::Success),
        ("no algorithm", unsigned(&json!({})), bad),
        ("a public key as a secret", confused(&json!({})), bad),
        ("another algorithm's name", header(r#"{"alg":"RS256","kid":"rsa"}"#), bad),
        ("a key in the header", header(r#"{"alg":"EdDSA","jwk":{},"kid":"k2"}"#), bad),
        ("another key", stranger.token(&json!({})), bad),
        (
            "another key under the name",
            stranger.signed(r#"{"alg":"EdDSA","kid":"k1"}"#, &payload(&json!({}))),
            bad,
        ),
        ("another issuer", with(json!({ "iss": "mallory" })), bad),
        ("no issuer", with(json!({ "iss": null })), bad),
        ("another audience", with(json!({ "aud": "http" })), bad),
        ("expired", with(json!({ "exp": now() - 1 })), bad),
        ("without an end", with(json!({ "exp": null })), bad),
        ("too early", with(json!({ "nbf": now() + 30 })), bad),
        ("another's", with(json!({ "sub": "meter-70" })), ReasonCode::NotAuthorized),
        ("nobody's", with(json!({ "sub": null })), ReasonCode::NotAuthorized),
        ("no token", "hunter2".to_owned(), ReasonCode::NotAuthorized),
    ];
    for (what, token, expected) in &cases {
        assert_eq!(answer(&gateway, "meter-7-a", token), *expected, "{what}");
    }
    gateway.assert_sound();
    gateway.counters();
    let log = gateway.log.text();
    for (what, token, _) in &cases {
        let payload = token.split('.').nth(1).unwrap_or(token);
        assert!(!log.contains(payload), "{what}: the token is in the log");
    }
}

#[test]
fn claims_say_what_a_client_may_do() {
    let issuer = Issuer::new(1);
    let config = "attributes = \"site=location.site\"\npermissions-claim = \"acl\"\n\
                  rules = '''\ndeny publish * +/secret\nallow publish * ${attr.site}/up/${client-id}\n'''";
    let site = site_with(&jwks(&[&issuer]), config);
    let _gateway = Gateway::start(&site);
    let claims = json!({
        "location": { "site": "north" },
        "acl": { "publish": ["extra/+"], "subscribe": ["down/#"] },
    });
    for version in [Version::V5, Version::V3_1_1] {
        let options = Options::new("c1", &site).user("whoever", &issuer.token(&claims));
        let mut client = options.version(version).connect();
        if version == Version::V5 {
            for (topic, expected) in [
                ("north/up/c1", true),
                ("south/up/c1", false),
                ("north/up/c2", false),
                ("extra/1", true),
                ("extra/secret", false),
                ("down/1", false),
            ] {
                let code = client.publish_and_wait(topic, b"x", false);
                assert_eq!(code.is_error(), !expected, "{topic}: {code:?}");
            }
        }
        assert!(!client.subscribe("down/#", QoS::AtMostOnce).is_error());
        assert!(client.subscribe("extra/1", QoS::AtMostOnce).is_error());
    }
    // A token without the claims allows nothing.
    let mut client = Options::new("c1", &site).user("x", &issuer.token(&json!({}))).connect();
    assert!(client.publish_and_wait("north/up/c1", b"x", false).is_error());
}

#[test]
fn a_client_is_disconnected_when_its_token_ends() {
    let issuer = Issuer::new(1);
    let site = site_with(&jwks(&[&issuer]), "");
    let _gateway = Gateway::start(&site);
    let end = issuer::now() + 3;
    for version in [Version::V5, Version::V3_1_1] {
        let token = issuer.token(&json!({ "exp": end.max(issuer::now() + 2) }));
        let options = Options::new("c1", &site).user("whoever", &token).version(version);
        let began = Instant::now();
        let mut client = options.connect();
        let heard = client.receive();
        let disconnected = matches!(heard, Received::Disconnect(_));
        assert!(disconnected && version.is_v5() || heard == Received::Closed, "{heard:?}");
        let after = began.elapsed();
        assert!(after > Duration::from_millis(900) && after < Duration::from_secs(10), "{after:?}");
    }
}

#[test]
fn keys_in_a_file_come_and_go() {
    let (old, new) = (Issuer::new(1), Issuer::new(2));
    let site = site_with(&jwks(&[&old]), "");
    let gateway = Gateway::start(&site);
    let code = |issuer: &Issuer| answer(&gateway, "c1", &issuer.token(&json!({})));
    assert_eq!((code(&old), code(&new)), (ReasonCode::Success, ReasonCode::BadUserNameOrPassword));
    fs::write(site.path("keys.json"), jwks(&[&new])).expect("the keys are written");
    assert_eq!(code(&new), ReasonCode::Success, "a key that is missing is looked for at once");
    assert_eq!(code(&old), ReasonCode::BadUserNameOrPassword);
    fs::write(site.path("keys.json"), "{").expect("the keys are written");
    gateway.reload();
    assert_eq!(code(&new), ReasonCode::Success, "a damaged file leaves the keys that there are");
    assert_eq!(gateway.events(0, "key set not read; the earlier one serves").len(), 1);
}

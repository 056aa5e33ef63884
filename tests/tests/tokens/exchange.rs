//! A token in the Authentication Data of CONNECT and AUTH.

use std::thread;
use std::time::Duration;

use mqtt::{Auth, Connect, ConnectProperties, Packet, PacketKind, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Received};
use serde_json::json;

use crate::issuer::{Issuer, jwks, now};
use crate::site_with;

fn connect(gateway: &Gateway<'_>, method: &str, data: Option<&str>) -> (Client, Received) {
    let mut client = Client::on(gateway.tls(), Version::V5);
    let packet = Packet::Connect(Box::new(Connect {
        version: Version::V5,
        client_id: "c1",
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties {
            authentication_method: Some(method),
            authentication_data: data.map(str::as_bytes),
            ..ConnectProperties::default()
        },
    }));
    client.send(&packet).expect("the gateway reads");
    let answer = client.receive();
    (client, answer)
}

fn again(client: &mut Client, token: &str) -> Received {
    let auth = Auth::new(ReasonCode::ReAuthenticate, Some("BEARER"));
    let auth = Auth { data: Some(token.as_bytes()), ..auth };
    client.send(&Packet::Auth(auth)).expect("the gateway reads");
    client.receive()
}

const ACCEPTED: Received = Received::ConnAck(ReasonCode::Success, false);

#[test]
fn a_client_stays_as_long_as_it_brings_new_tokens() {
    let issuer = Issuer::new(1);
    let site = site_with(&jwks(&[&issuer]), "method = \"BEARER\"");
    let mut gateway = Gateway::start(&site);
    let token =
        |seconds: u64, sub: &str| issuer.token(&json!({ "exp": now() + seconds, "sub": sub }));

    let (mut client, answer) = connect(&gateway, "BEARER", Some(&token(4, "meter-7")));
    assert_eq!(answer, ACCEPTED);
    for _ in 0..3 {
        thread::sleep(Duration::from_secs(2));
        assert_eq!(again(&mut client, &token(4, "meter-7")), Received::Other(PacketKind::Auth));
        assert!(client.pings());
    }
    assert!(matches!(client.receive(), Received::Disconnect(_)), "the last token has ended");
    assert_eq!(gateway.events(0, "client authenticated again").len(), 3);

    for (what, wrong) in [
        ("another's token", token(60, "meter-8")),
        ("an expired one", issuer.token(&json!({ "exp": now() - 1 }))),
        ("a stranger's", Issuer::new(9).token(&json!({}))),
        ("none", "hello".to_owned()),
    ] {
        let (mut client, answer) = connect(&gateway, "BEARER", Some(&token(60, "meter-7")));
        assert_eq!(answer, ACCEPTED, "{what}");
        let heard = again(&mut client, &wrong);
        assert_eq!(heard, Received::Disconnect(ReasonCode::NotAuthorized), "{what}");
    }
    gateway.assert_sound();
}

#[test]
fn whoever_brings_no_good_token_stays_outside() {
    let issuer = Issuer::new(1);
    let site = site_with(&jwks(&[&issuer]), "");
    let gateway = Gateway::start(&site);
    let good = issuer.token(&json!({}));
    let refused = |code| Received::ConnAck(code, false);
    assert_eq!(connect(&gateway, "JWT", Some(&good)).1, ACCEPTED);
    let expired = issuer.token(&json!({ "exp": now() - 1 }));
    for data in [None, Some(""), Some("hello"), Some(&*expired)] {
        let answer = connect(&gateway, "JWT", data).1;
        assert_eq!(answer, refused(ReasonCode::NotAuthorized), "{data:?}");
    }
    let answer = connect(&gateway, "BEARER", Some(&good)).1;
    assert_eq!(answer, refused(ReasonCode::BadAuthenticationMethod));
}

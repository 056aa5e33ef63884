//! What happens to more than one client, or to the extension.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{
    Packet, PacketId, QoS, ReasonCode, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, UserProperties, Version,
};
use portcullis_tests::{DEMO, Gateway, PATIENCE, Received, Wire};
use serde_json::{Value, json};

use crate::issuer::{Issuer, jwks, now};
use crate::scene::{Scene, connect, connect_as};

type Event = (&'static str, fn(&Scene, &Gateway<'_>));

/// All of them, in an order in which each finds the extension as it was at the start.
pub(crate) fn all() -> [Event; 9] {
    [
        ("messages reach their tenant and administrators", messages_reach_their_tenant),
        ("a SUBSCRIBE has an answer for each entry", each_entry_has_its_answer),
        ("clients that take turns are told apart", clients_are_told_apart),
        ("MQTT 3.1.1 is decided about alike", the_older_version_is_decided_about_alike),
        ("whoever comes without a token has no tenant", others_have_no_tenant),
        ("the log says who is an administrator", administrators_are_logged),
        ("a client goes when its token ends", a_client_goes_with_its_token),
        ("keys that are exchanged count at once", keys_are_exchanged),
        ("settings are read again", settings_are_read_again),
    ]
}

fn messages_reach_their_tenant(scene: &Scene, gateway: &Gateway<'_>) {
    let mut reader = scene.member(gateway, "east", "reader", "reader");
    let mut admin = scene.member(gateway, "north", "site-admin", "admin");
    let mut stranger = scene.member(gateway, "south", "reader", "writer");
    assert_eq!(reader.subscribe("east/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert_eq!(reader.subscribe("notices/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert_eq!(admin.subscribe("+/x", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert_eq!(stranger.publish_and_wait("south/x", b"1", false), ReasonCode::Success);
    assert!(stranger.publish_and_wait("east/x", b"2", false).is_error());
    let mut writer = scene.member(gateway, "east", "reader", "writer");
    assert_eq!(writer.publish_and_wait("east/x", b"3", false), ReasonCode::Success);
    let mut announcer = scene.member(gateway, "south", "site-admin", "announcer");
    assert_eq!(announcer.publish_and_wait("notices/x", b"4", false), ReasonCode::Success);
    for (client, expected) in [(&mut reader, &["3", "4"][..]), (&mut admin, &["1", "3", "4"])] {
        for payload in expected {
            assert_eq!(client.message().payload, payload.as_bytes());
        }
    }
}

fn each_entry_has_its_answer(scene: &Scene, gateway: &Gateway<'_>) {
    let mut client = scene.member(gateway, "north", "reader", "many");
    let mut filters = SubscribeFiltersBuf::default();
    let options = SubscribeOptions { qos: QoS::ExactlyOnce, ..SubscribeOptions::default() };
    for filter in ["north/a", "south/a", "notices/a", "+", "$share/g/north/b"] {
        filters.push(TopicFilter::new(filter).expect("a filter"), options).expect("an entry");
    }
    let subscribe = Subscribe {
        packet_id: PacketId::new(9).expect("not 0"),
        subscription_id: None,
        user: UserProperties::default(),
        filters: filters.as_ref(),
    };
    client.send(&Packet::Subscribe(subscribe)).expect("the connection is there");
    let (two, no) = (ReasonCode::GrantedQos2, ReasonCode::NotAuthorized);
    let expected = vec![two, no, ReasonCode::GrantedQos1, no, two];
    assert_eq!(client.receive(), Received::SubAck(expected));
}

/// There are more calls than instances, and each instance serves clients of both tenants.
fn clients_are_told_apart(scene: &Scene, gateway: &Gateway<'_>) {
    thread::scope(|scope| {
        for (tenant, other) in
            [("north", "south"), ("south", "north"), ("east", "north"), ("west", "east")]
        {
            scope.spawn(move || {
                for round in 0..10 {
                    let mut client =
                        scene.member(gateway, tenant, "reader", &format!("turn{round}"));
                    for _ in 0..5 {
                        assert!(
                            !client
                                .publish_and_wait(&format!("{tenant}/x"), b"x", false)
                                .is_error()
                        );
                        let code = client.publish_and_wait(&format!("{other}/x"), b"x", false);
                        assert_eq!(code, ReasonCode::NotAuthorized, "{tenant}, round {round}");
                    }
                }
            });
        }
    });
}

fn the_older_version_is_decided_about_alike(scene: &Scene, gateway: &Gateway<'_>) {
    let token = scene.token(&json!({ "tenant": "north" }));
    let come = |password: &[u8]| {
        connect_as(gateway.plain(), Version::V3_1_1, "north-old", (Some("x"), Some(password)), None)
    };
    let (mut client, code) = come(&token);
    assert_eq!(code, ReasonCode::Success);
    assert_eq!(client.subscribe("north/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert!(client.subscribe("south/#", QoS::AtLeastOnce).is_error());
    assert!(come(b"hunter2").1.is_error());
}

fn others_have_no_tenant(scene: &Scene, gateway: &Gateway<'_>) {
    let wire = Wire::plain(scene.mixed()).expect("the gateway accepts connections");
    let password = gateway.site.password.as_bytes();
    let who = (Some(DEMO), Some(password));
    let (mut client, code) = connect_as(wire, Version::V5, "north-guest", who, None);
    assert_eq!(code, ReasonCode::Success, "it has the password");
    let mark = gateway.log.mark();
    assert_eq!(client.publish_and_wait("north/x", b"x", false), ReasonCode::NotAuthorized);
    let denied =
        |event: &Value| event["message"] == "client denied" && event["client"] == "north-guest";
    let event = gateway.log.wait(mark, PATIENCE, denied).expect("a denial");
    let decision = event["decision"].as_str().unwrap_or_default();
    assert!(decision.contains("no extension of the chain"), "{decision}");
}

fn administrators_are_logged(scene: &Scene, gateway: &Gateway<'_>) {
    let mark = gateway.log.mark();
    drop(scene.member(gateway, "west", "site-admin", "logged"));
    let said = |event: &Value| event["text"] == "administrator let in";
    let event = gateway.log.wait(mark, PATIENCE, said).expect("the extension says so");
    assert_eq!(event["fields"], "client=west-logged tenant=west");
    assert_eq!(event["level"], "INFO");
}

fn a_client_goes_with_its_token(scene: &Scene, gateway: &Gateway<'_>) {
    let began = Instant::now();
    let token = scene.token(&json!({ "tenant": "north", "exp": now() + 3 }));
    let (mut client, code) = connect(gateway, "north-brief", Some(&token), None);
    assert_eq!(code, ReasonCode::Success);
    assert!(matches!(client.receive(), Received::Disconnect(_)));
    let after = began.elapsed();
    assert!(after > Duration::from_millis(1500) && after < Duration::from_secs(15), "{after:?}");
}

fn keys_are_exchanged(scene: &Scene, gateway: &Gateway<'_>) {
    let (file, other) = (gateway.site.path("keys.json"), Issuer::new(2));
    fs::write(&file, jwks(&[&other])).expect("the keys are written");
    let code = |issuer: &Issuer| {
        let token = issuer.token(&json!({ "tenant": "north" })).into_bytes();
        connect(gateway, "north-keys", Some(&token), None).1
    };
    assert_eq!(code(&other), ReasonCode::Success);
    assert_eq!(code(&scene.issuer), ReasonCode::BadUserNameOrPassword);
    fs::write(&file, jwks(&[&scene.issuer])).expect("the keys are written");
    assert_eq!(code(&scene.issuer), ReasonCode::Success);
}

/// Each of these settings is read by a new instance; the last are those of the start again.
fn settings_are_read_again(scene: &Scene, gateway: &Gateway<'_>) {
    let come = |claims: &Value| connect(gateway, "north-set", Some(&scene.token(claims)), None);
    let chief = json!({ "customer": { "name": "north" }, "rank": "chief" });
    assert_eq!(come(&chief).1, ReasonCode::NotAuthorized);
    scene.configure(
        "key-set = \"plant\"\ntenant-claim = \"customer.name\"\nadmin-claim = \"rank=chief\"",
    );
    assert_eq!(gateway.reload().len(), 1);
    let (mut client, code) = come(&chief);
    assert_eq!(code, ReasonCode::Success, "the claim has another name");
    assert!(
        !client.publish_and_wait("south/x", b"x", false).is_error(),
        "so has the administrator's"
    );
    assert_eq!(come(&json!({ "tenant": "north" })).1, ReasonCode::NotAuthorized);

    scene.configure("keyset = \"plant\"\nadmin-claim = \"site-admin\"");
    let mark = gateway.log.mark();
    assert!(gateway.reload().is_empty(), "nothing changes");
    let refused = |event: &Value| event["message"] == "extension not reloaded; it goes on as it is";
    let event = gateway.log.wait(mark, PATIENCE, refused).expect("the settings are refused");
    let said = event["error"].as_str().unwrap_or_default();
    let faults = "\"keyset\" is not a setting of this extension; there are: admin-claim, key-set, tenant-claim; \
                  \"key-set\" is not set; name one of [extensions.NAME.key-sets]; \
                  \"admin-claim\" is \"site-admin\"; write CLAIM=VALUE, such as roles=site-admin";
    assert!(said.contains(faults), "{said}");
    assert_eq!(come(&chief).1, ReasonCode::Success, "what was right still is");

    scene.configure("key-set = \"planet\"");
    assert_eq!(gateway.reload().len(), 1);
    let mark = gateway.log.mark();
    assert_eq!(come(&json!({ "tenant": "north" })).1, ReasonCode::ServerUnavailable);
    let failed = |event: &Value| event["message"] == "client refused";
    let event = gateway.log.wait(mark, PATIENCE, failed).expect("a refusal");
    let said = event["why"].as_str().unwrap_or_default();
    let words =
        "there is no key set \"planet\"; add [extensions.NAME.key-sets.planet] to gateway.toml";
    assert!(said.contains(words), "{said}");

    scene.configure("key-set = \"plant\"");
    assert_eq!(gateway.reload().len(), 1);
    let (mut client, code) = come(&json!({ "tenant": "north", "roles": ["site-admin"] }));
    assert_eq!(code, ReasonCode::Success);
    assert!(
        client.publish_and_wait("south/x", b"x", false).is_error(),
        "nobody is an administrator"
    );
}

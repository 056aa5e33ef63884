//! Interceptors written with the SDK, in the gateway's own host: the guest `interceptor` makes of messages what it says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use extension_host::{
    Capability, Connecting, DeliveryAction, EngineSettings, Extension, ExtensionLimits,
    ExtensionSpec, Facilities, Failure, Host, Intercepted, LoadError, MessageChange, PeerAddress,
    PublishAction, Transport,
};
use mqtt::{QoS, ReasonCode, TopicNameBuf};
use portcullis_tests::program;

fn load(settings: &[(&str, &str)]) -> Result<Extension, LoadError> {
    let component = fs::read(program().extensions.join("interceptor.wasm")).expect("it was built");
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Host::new(EngineSettings::default()).expect("an engine").load(ExtensionSpec {
        name: "interceptor".to_owned(),
        component: component.into(),
        sha256_pin: None,
        attestation: None,
        grants: BTreeSet::from([Capability::Config, Capability::Log]),
        config: settings.iter().map(pair).collect::<BTreeMap<_, _>>(),
        keyring: Arc::default(),
        facilities: Facilities::default(),
        limits: ExtensionLimits::default(),
    })
}

fn connecting() -> Arc<Connecting> {
    Arc::new(Connecting {
        connection_id: 1,
        client_id: "c1".to_owned(),
        username: None,
        version: mqtt::Version::V5,
        transport: Transport::Tcp,
        listener: "plain".to_owned(),
        peer_address: PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        server_name: None,
        alpn: None,
        keep_alive: 0,
        clean_start: true,
        session_expiry: 0,
        user_properties: Vec::new(),
        will_topic: None,
        certificates: Vec::new(),
        certificate: None,
    })
}

fn identity(principal: &str) -> Arc<auth::Identity> {
    let (client_id, principal) = ("c1".into(), principal.into());
    Arc::new(auth::Identity { client_id, principal, attributes: Vec::new() })
}

fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Intercepted<'a> {
    Intercepted {
        topic,
        qos: QoS::AtLeastOnce,
        retain: false,
        payload,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: vec![("a", "b")],
        expiry_seconds: None,
    }
}

fn publish(extension: &Extension, topic: &str, payload: &str) -> Result<PublishAction, Failure> {
    let what = message(topic, payload.as_bytes());
    extension.intercept_publish(&identity("p1"), &connecting(), &what).result
}

fn change(topic: Option<&str>, payload: Option<&str>) -> MessageChange {
    MessageChange {
        topic: topic.map(|topic| TopicNameBuf::new(topic).expect("a topic")),
        payload: payload.map(|payload| payload.as_bytes().to_vec()),
        ..MessageChange::default()
    }
}

#[test]
fn each_topic_has_its_own_end() {
    let extension = load(&[]).expect("it loads");
    let replaced = |changes: Vec<MessageChange>| Ok(PublishAction::Replace(changes));
    let publish = |topic, payload| publish(&extension, topic, payload);
    assert_eq!(publish("pass/x", "text"), Ok(PublishAction::Pass));
    assert_eq!(publish("drop/x", "text"), Ok(PublishAction::Discard));
    let refused = publish("refuse/x", "text").expect("an answer");
    let code = ReasonCode::PayloadFormatInvalid;
    assert!(
        matches!(&refused, PublishAction::Refuse { code: given, reason: Some(why) }
            if *given == code && why == "nothing is wanted here"),
        "{refused:?}"
    );
    assert_eq!(publish("upper/x", "text ü"), replaced(vec![change(None, Some("TEXT ü"))]));
    let (one, two) =
        (change(Some("split-out/1"), Some("one")), change(Some("split-out/2"), Some("two")));
    assert_eq!(publish("split/x", "one,two"), replaced(vec![one, two]));
    assert_eq!(publish("move/x/y", ""), replaced(vec![change(Some("moved/x/y"), None)]));
    let shaped = MessageChange {
        qos: Some(QoS::AtMostOnce),
        retain: Some(true),
        content_type: Some("text/plain".to_owned()),
        user_properties: Some(vec![("shaped".to_owned(), "yes".to_owned())]),
        expiry_seconds: Some(60),
        ..MessageChange::default()
    };
    assert_eq!(publish("shape/x", ""), replaced(vec![shaped]));
    assert!(matches!(publish("split/x", ",,,,,,,,,,,,,,,,"), Err(Failure::InvalidAnswer(_))));
    assert!(matches!(publish("trap/x", ""), Err(Failure::Trap(_))));
    assert_eq!(publish("slow/x", ""), Err(Failure::Deadline));
    assert_eq!(publish("pass/x", ""), Ok(PublishAction::Pass), "there is a fresh instance");
    let calls = extension.stats().calls;
    assert_eq!(publish("other", ""), Ok(PublishAction::Pass));
    assert_eq!(extension.stats().calls, calls);
}

#[test]
fn what_is_secret_is_for_those_who_are_cleared() {
    let extension = load(&[("cleared", "alice, bob")]).expect("it loads");
    let deliver = |principal, topic| {
        let what = message(topic, b"plain");
        extension.intercept_delivery(&identity(principal), &connecting(), &what).result
    };
    let stars = DeliveryAction::Replace(Box::new(change(None, Some("***"))));
    assert_eq!(deliver("alice", "secret/x"), Ok(DeliveryAction::Pass));
    assert_eq!(deliver("mallory", "secret/x"), Ok(stars));
    assert_eq!(deliver("alice", "hide/x"), Ok(DeliveryAction::Discard));
    assert_eq!(deliver("mallory", "open"), Ok(DeliveryAction::Pass));
}

#[test]
fn settings_say_what_it_wants_to_see() {
    let extension = load(&[("publish", "upper/+, a/#"), ("payload-bytes", "4")]).expect("it loads");
    let interest = extension.publish_interest().expect("it has the hook");
    let filters: Vec<_> = interest.filters.iter().map(|filter| filter.as_str()).collect();
    assert_eq!((&filters[..], interest.payload_bytes), (&["upper/+", "a/#"][..], 4));
    let cut = PublishAction::Replace(vec![change(None, Some("TEXT"))]);
    assert_eq!(publish(&extension, "upper/x", "text and more"), Ok(cut));
    assert_eq!(publish(&extension, "drop/x", ""), Ok(PublishAction::Pass), "it is not wanted");
    for (settings, why) in [
        (("publish", ""), "publish-interceptor.wants is of no use: it has 0 filters"),
        (("delivery", "a/#/b"), "delivery-interceptor.wants is of no use: \"a/#/b\""),
        (("payload-bytes", "x"), "refuses its configuration: payload-bytes = \"x\""),
    ] {
        let error = load(&[settings]).expect_err("it does not load").to_string();
        assert!(error.contains(why), "{error}");
    }
}

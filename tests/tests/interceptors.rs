//! Extensions that look at messages on their way, in a real gateway: the guest `interceptor` does by topic what its
//! configuration says (`tests/guests/interceptor`).

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use mqtt::{QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site, program};

/// What it may see and do.
const GRANTED: &str =
    "messages = { publish = [\"#\"], deliver = [\"#\"], to = [\"split-out/#\", \"moved/#\"] }";

fn site(messages: &str) -> Site {
    let site = Site::new();
    site.rules("allow publish,subscribe * #\n");
    configure(&site, messages);
    site
}

fn configure(site: &Site, messages: &str) {
    let component = program().extensions.join("interceptor.wasm");
    site.configure_with(
        &["password", "acl", "interceptor"],
        &format!(
            "[extensions.interceptor]\ncomponent = \"{}\"\ngrants = [\"config\", \"log\"]\n{messages}\n\
             [extensions.interceptor.config]\ncleared = \"nobody\"\n",
            component.display()
        ),
    );
}

/// The topic and payload of the next message, which must come.
fn heard(client: &mut Client) -> (String, String) {
    let message = client.message();
    (message.topic.clone(), String::from_utf8_lossy(&message.payload).into_owned())
}

fn message(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

#[test]
fn what_clients_publish_is_passed_discarded_refused_changed_split_and_moved() {
    let site = site(GRANTED);
    let mut gateway = Gateway::start(&site);
    let mut watcher = gateway.client("watcher");
    assert_eq!(watcher.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    let mut client = gateway.client("publisher");
    let mut publish =
        |topic: &str, payload: &str| client.publish_and_wait(topic, payload.as_bytes(), false);
    assert_eq!(publish("pass/a", "as it is"), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("pass/a", "as it is"));
    assert_eq!(publish("drop/a", "nobody's"), ReasonCode::Success);
    let mark = gateway.log.mark();
    assert_eq!(publish("refuse/a", "no"), ReasonCode::PayloadFormatInvalid);
    let denied = gateway.log.wait(mark, PATIENCE, |event| event["message"] == "client denied");
    let denied = denied.expect("a refusal is in the log");
    assert!(
        denied["decision"].as_str().is_some_and(|why| why.starts_with("interceptor@")),
        "{denied}"
    );
    assert_eq!(publish("upper/a", "quiet"), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("upper/a", "QUIET"), "and nothing before it");
    assert_eq!(publish("split/a", "one,two,three"), ReasonCode::Success);
    for (number, part) in (1..).zip(["one", "two", "three"]) {
        assert_eq!(heard(&mut watcher), message(&format!("split-out/{number}"), part));
    }
    assert_eq!(publish("move/a", "there"), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("moved/a", "there"));
    assert_eq!(publish("other", "not looked at"), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("other", "not looked at"));
    gateway.assert_sound();
}

#[test]
fn an_interceptor_that_fails_refuses_or_lets_pass_as_the_operator_says() {
    let site = site(GRANTED);
    let gateway = Gateway::start(&site);
    let mut watcher = gateway.client("watcher");
    assert_eq!(watcher.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    let mut client = gateway.client("publisher");
    for topic in ["trap/a", "slow/a"] {
        let code = client.publish_and_wait(topic, b"x", false);
        assert_eq!(code, ReasonCode::ImplementationSpecificError, "{topic}");
    }
    assert_eq!(client.publish_and_wait("pass/a", b"sound", false), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("pass/a", "sound"), "and nothing before it");
    configure(&site, &GRANTED.replace(" }", ", on-failure = \"pass\" }"));
    gateway.reload();
    assert_eq!(client.publish_and_wait("trap/a", b"passes", false), ReasonCode::Success);
    assert_eq!(heard(&mut watcher), message("trap/a", "passes"));
}

#[test]
fn where_a_message_may_not_be_moved_to_it_is_refused() {
    let site = site("messages = { publish = [\"move/#\"], deliver = [\"#\"] }");
    let gateway = Gateway::start(&site);
    let mut client = gateway.client("publisher");
    let mark = gateway.log.mark();
    let code = client.publish_and_wait("move/a", b"x", false);
    assert_eq!(code, ReasonCode::ImplementationSpecificError);
    let denied = gateway.log.wait(mark, PATIENCE, |event| event["message"] == "client denied");
    let why = denied.expect("a refusal is in the log")["decision"].to_string();
    assert!(why.contains("[extensions.interceptor.messages]") && why.contains("moved/a"), "{why}");
    // What is not granted is not shown.
    let code = client.publish_and_wait("drop/a", b"x", false);
    assert_eq!(code, ReasonCode::NoMatchingSubscribers);
    configure(&site, GRANTED);
    gateway.reload();
    assert_eq!(client.publish_and_wait("drop/a", b"x", false), ReasonCode::Success);
}

#[test]
fn what_clients_are_sent_is_changed_for_each_of_them() {
    let site = site(GRANTED);
    site.user("nobody", "password-of-nobody");
    let mut gateway = Gateway::start(&site);
    let mut cleared = gateway.options("cleared").user("nobody", "password-of-nobody").connect();
    let mut other = gateway.client("other");
    for client in [&mut cleared, &mut other] {
        assert_eq!(client.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    }
    let mut client = gateway.client("publisher");
    for number in 0..50 {
        let payload = format!("{number}");
        for topic in ["secret/a", "hide/a", "open/a"] {
            assert_eq!(
                client.publish_and_wait(topic, payload.as_bytes(), false),
                ReasonCode::Success
            );
        }
        assert_eq!(heard(&mut cleared), message("secret/a", &payload));
        assert_eq!(
            heard(&mut cleared),
            message("open/a", &payload),
            "what is hidden counts as delivered"
        );
        assert_eq!(heard(&mut other), message("secret/a", "***"));
        assert_eq!(heard(&mut other), message("open/a", &payload));
    }
    gateway.assert_sound();
}

#[test]
fn what_waited_and_what_is_retained_is_looked_at_when_it_is_sent() {
    let site = site(GRANTED);
    let mut gateway = Gateway::start(&site);
    let mut away = gateway.options("away").persistent().connect();
    assert_eq!(away.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    away.leave();
    let mut client = gateway.client("publisher");
    for number in 0..300 {
        let payload = format!("{number}");
        let code = client.publish_and_wait("secret/a", payload.as_bytes(), number == 299);
        assert_eq!(code, ReasonCode::Success);
    }
    let mut away = gateway.options("away").persistent().connect();
    for _ in 0..300 {
        assert_eq!(heard(&mut away), message("secret/a", "***"));
    }
    let mut late = gateway.client("late");
    assert_eq!(late.subscribe("secret/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert_eq!(heard(&mut late), message("secret/a", "***"));
    gateway.assert_sound();
}

#[test]
fn a_will_is_looked_at_when_it_is_left() {
    let site = site(GRANTED);
    let gateway = Gateway::start(&site);
    let mut watcher = gateway.client("watcher");
    assert_eq!(watcher.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    drop(gateway.options("vanishes").will("upper/will", "gone").connect());
    assert_eq!(heard(&mut watcher), message("upper/will", "GONE"));
    let (_, refused) =
        gateway.options("refused").will("refuse/will", "gone").try_connect().expect("a connection");
    let code = ReasonCode::PayloadFormatInvalid;
    assert!(matches!(refused, Received::ConnAck(found, _) if found == code), "{refused:?}");
}

#[test]
fn a_client_of_3_1_1_is_acknowledged_and_its_order_holds() {
    let site = site(GRANTED);
    let mut gateway = Gateway::start(&site);
    let mut watcher = gateway.client("watcher");
    assert_eq!(watcher.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    let mut old = gateway.options("old").version(Version::V3_1_1).connect();
    for number in 0..200 {
        let topic = ["upper/a", "drop/a", "pass/a", "open/a"][number % 4];
        old.publish(topic, format!("a{number}").as_bytes(), QoS::AtLeastOnce, false);
    }
    for number in (0..200).filter(|number| number % 4 != 1) {
        let payload = if number % 4 == 0 { format!("A{number}") } else { format!("a{number}") };
        assert_eq!(heard(&mut watcher).1, payload);
    }
    assert!(watcher.receive_within(Duration::from_millis(200)).is_none(), "nothing else came");
    gateway.assert_sound();
}

#[test]
fn without_a_grant_it_is_not_loaded() {
    let site = site("");
    let out = site.check();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains("publish-interceptor") && said.contains("publish = [\"#\"]"), "{said}");
}

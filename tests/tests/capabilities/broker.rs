use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, Gateway, Received};

use crate::{GRANTS, Stage};

const ALL: &str = "broker = { publish = [\"t/#\"], disconnect = true, permissions = true }";

/// A client of the probe's listener that may do everything and has subscribed to `t/#`.
fn watcher(stage: &Stage, gateway: &Gateway<'_>) -> Client {
    let mut client = gateway.options("watcher").user("nothing", "").plain_at(stage.port).connect();
    assert!(!client.subscribe("t/#", QoS::AtLeastOnce).is_error());
    client
}

/// The payload of the next message, which must come; acknowledges it.
fn heard(client: &mut Client) -> (String, String) {
    match client.receive() {
        Received::Publish(message) => {
            client.acknowledge(&message).expect("the connection is there");
            (message.topic.clone(), String::from_utf8_lossy(&message.payload).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn message(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

#[test]
fn an_extension_publishes_as_itself_within_its_grant() {
    let stage = Stage::new(&GRANTS, ALL);
    let mut gateway = stage.start();
    let mut client = watcher(&stage, &gateway);
    for number in 0..20 {
        stage.done(&gateway, &format!("publish t/x {number} {}", number % 3));
    }
    for number in 0..20 {
        assert_eq!(heard(&mut client), message("t/x", &number.to_string()), "in order");
    }
    stage.done(&gateway, "publish t/kept last 1 retain");
    assert_eq!(heard(&mut client), message("t/kept", "last"));
    for topic in ["other", "$SYS/broker/x", "$CONTROL/broker/disconnect"] {
        let why = stage.refused(&gateway, &format!("publish {topic} x"), "NotGranted");
        assert!(why.contains("[extensions.probe.broker]"), "{why}");
    }
    stage.refused(&gateway, "publish t/# x", "Invalid");
    assert!(client.receive_within(Duration::from_millis(300)).is_none(), "nothing else came");
    gateway.assert_sound();
}

#[test]
fn a_right_is_taken_away_while_its_client_is_subscribed() {
    let stage = Stage::new(&GRANTS, ALL);
    let mut gateway = stage.start();
    let mut client = watcher(&stage, &gateway);
    let mut publisher = gateway.options("pub").user("nothing", "").plain_at(stage.port).connect();
    let mut publish =
        |topic: &str, payload: &str| publisher.publish_and_wait(topic, payload.as_bytes(), false);
    assert_eq!(publish("t/secret", "one"), ReasonCode::Success);
    assert_eq!(heard(&mut client), message("t/secret", "one"));
    let mark = gateway.log.mark();
    stage.done(&gateway, "forbid watcher t/secret");
    let replaced = gateway.log.wait(mark, portcullis_tests::PATIENCE, |event| {
        event["message"] == "client has other permissions"
    });
    assert!(replaced.is_some_and(|event| event["client"] == "watcher"));
    assert_eq!(publish("t/secret", "two"), ReasonCode::NoMatchingSubscribers);
    assert_eq!(publish("t/open", "three"), ReasonCode::Success);
    assert_eq!(heard(&mut client), message("t/open", "three"), "and nothing before it");
    assert_eq!(client.publish_and_wait("t/secret", b"four", false), ReasonCode::NotAuthorized);
    assert!(client.subscribe("t/secret", QoS::AtMostOnce).is_error());
    gateway.assert_sound();
}

#[test]
fn a_client_is_disconnected_with_the_code_that_the_extension_gives() {
    let stage = Stage::new(&GRANTS, ALL);
    let mut gateway = stage.start();
    let mut client = watcher(&stage, &gateway);
    stage.refused(&gateway, "disconnect watcher 0", "Invalid");
    assert!(client.pings());
    stage.done(&gateway, "disconnect watcher 152");
    match client.receive() {
        Received::Disconnect(code) => assert_eq!(code, ReasonCode::AdministrativeAction),
        other => panic!("{other:?}"),
    }
    stage.done(&gateway, "disconnect nobody 152");
    gateway.assert_sound();
}

#[test]
fn what_the_operator_does_not_grant_or_takes_away_is_refused_at_the_call() {
    let stage = Stage::new(&GRANTS, "");
    let gateway = stage.start();
    for line in ["publish t/x y", "disconnect watcher 152", "forbid watcher t"] {
        stage.refused(&gateway, line, "NotGranted");
    }
    stage.configure(&GRANTS, ALL);
    gateway.reload();
    stage.done(&gateway, "publish t/x y");
    stage.configure(&GRANTS, "broker = { publish = [\"u/#\"] }");
    gateway.reload();
    stage.refused(&gateway, "publish t/x y", "NotGranted");
    stage.refused(&gateway, "disconnect watcher 152", "NotGranted");
    stage.done(&gateway, "publish u/x y");
}

#[test]
fn orders_have_a_rate() {
    let stage = Stage::new(&GRANTS, "broker = { publish = [\"t/#\"], rate = 1 }");
    let gateway = stage.start();
    let mut results = (0..20).map(|_| stage.ask(&gateway, "publish t/x y"));
    let busy = results.find(Result::is_err).expect("more than one in a second").expect_err("it is");
    assert!(busy.contains("Busy") && busy.contains("more than 1 orders"), "{busy}");
}

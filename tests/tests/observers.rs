//! What happens to clients, as an extension is told it: the guest `observer` publishes each event that it observes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::fs;

use mqtt::{Packet, PacketId, PacketKind, QoS, ReasonCode, TopicFilter, Unsubscribe};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site, program};

/// A site whose observer publishes below a prefix.
fn configure(site: &Site, observers: &[&str], settings: &str) {
    site.configure(&format!(
        "[extensions.observer]\ncomponent = \"{}\"\ngrants = [\"broker\", \"config\", \"log\"]\n\
         broker = {{ publish = [\"observed/#\", \"again/#\"], rate = 10000 }}\n\
         [extensions.observer.config]\n{settings}\n",
        program().extensions.join("observer.wasm").display()
    ));
    let rest = fs::read_to_string(site.config()).expect("it was just written");
    let text = format!("observers = {observers:?}\n{rest}");
    fs::write(site.config(), text).expect("the configuration is written");
}

fn site() -> Site {
    let site = Site::new();
    site.rules("deny publish * secret/#\nallow publish,subscribe * #\n");
    configure(&site, &["observer"], "prefix = \"observed\"");
    site
}

/// One event, as the guest writes it.
#[derive(Debug)]
struct Observed {
    topic: String,
    parts: BTreeMap<String, String>,
}

impl Observed {
    fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }

    fn number(&self) -> u64 {
        self.part("number").parse().unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// The next event that is about this client.
fn observed(watcher: &mut Client, client_id: &str) -> Observed {
    loop {
        let message = watcher.message();
        let text = String::from_utf8(message.payload).expect("lines");
        let pair = |line: &str| {
            let (name, value) = line.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        };
        let observed = Observed { topic: message.topic, parts: text.lines().map(pair).collect() };
        assert_eq!(observed.part("missed"), "0", "{observed:?}");
        if observed.part("client") == client_id {
            return observed;
        }
    }
}

fn watcher(gateway: &Gateway<'_>) -> Client {
    let mut watcher = gateway.client("watcher");
    for filter in ["observed/#", "again/#"] {
        assert!(!watcher.subscribe(filter, QoS::AtMostOnce).is_error());
    }
    watcher
}

fn unsubscribe(client: &mut Client, filter: &str) {
    let mut filters = mqtt::UnsubscribeFiltersBuf::default();
    filters.push(TopicFilter::new(filter).expect("a filter"));
    let packet = Unsubscribe {
        packet_id: PacketId::new(900).expect("not 0"),
        user: mqtt::UserProperties::default(),
        filters: filters.as_ref(),
    };
    client.send(&Packet::Unsubscribe(packet)).expect("the connection is there");
    assert_eq!(client.receive(), Received::Other(PacketKind::UnsubAck));
}

#[test]
fn an_observer_is_told_what_happens_to_a_client_in_its_order() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let mut watcher = watcher(&gateway);
    let mut client = gateway.options("c1").persistent().connect();
    assert!(!client.subscribe("a/+", QoS::AtLeastOnce).is_error());
    assert_eq!(client.publish_and_wait("secret/x", b"", false), ReasonCode::NotAuthorized);
    unsubscribe(&mut client, "a/+");
    client.leave();
    let expected = [
        ("connected", &[("session-present", "false"), ("durable", "true")][..]),
        ("subscribed", &[("filter", "a/+"), ("qos", "1")][..]),
        ("denied", &[("action", "publish"), ("topic", "secret/x")][..]),
        ("unsubscribed", &[("filter", "a/+")][..]),
        ("disconnected", &[("code", "0")][..]),
    ];
    let mut last = (0, 0);
    for (kind, details) in expected {
        let event = observed(&mut watcher, "c1");
        assert_eq!(event.topic, format!("observed/{kind}"));
        assert_eq!(event.part("principal"), portcullis_tests::DEMO, "{event:?}");
        for (name, value) in details {
            assert_eq!(event.part(name), *value, "{event:?}");
        }
        let at: u64 = event.part("at-ms").parse().expect("milliseconds");
        assert!(event.number() > last.0 && at >= last.1, "{event:?} after {last:?}");
        last = (event.number(), at);
        if kind == "denied" {
            assert!(event.part("reason").contains("line 1"), "{event:?}");
        }
    }
    assert_eq!(gateway.counters().get("events_missed"), 0);
    gateway.assert_sound();
}

/// The number of an event that is caused now.
fn number_now(gateway: &Gateway<'_>, watcher: &mut Client, client_id: &str, topic: &str) -> u64 {
    gateway.client(client_id).leave();
    let event = observed(watcher, client_id);
    assert_eq!(event.topic, format!("{topic}/connected"));
    event.number()
}

#[test]
fn what_an_observer_remembers_survives_new_settings_but_not_those_that_it_refuses() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let mut watcher = watcher(&gateway);
    let before = number_now(&gateway, &mut watcher, "one", "observed");
    configure(&site, &["observer"], "prefix = \"again\"");
    assert_eq!(gateway.reload().len(), 1, "it has other settings");
    let after = number_now(&gateway, &mut watcher, "two", "again");
    assert!(after > before, "{after} goes on from {before}");

    configure(&site, &["observer"], "");
    let mark = gateway.log.mark();
    assert!(gateway.reload().is_empty());
    let refused = gateway.events(mark, "extension not reloaded; it goes on as it is");
    assert!(refused[0]["error"].as_str().is_some_and(|why| why.contains("\"prefix\" is not set")));
    let afresh = number_now(&gateway, &mut watcher, "three", "again");
    assert!(afresh < after, "{afresh} is counted by another instance than {after}");
    gateway.assert_sound();
}

#[test]
fn an_observer_that_fails_hinders_nobody() {
    let site = site();
    configure(&site, &["observer"], "prefix = \"observed\"\nfail = true");
    let mut gateway = Gateway::start(&site);
    let mut watcher = watcher(&gateway);
    let event = gateway
        .log
        .wait(0, PATIENCE, |event| event["message"] == "observer did not take what happened");
    assert!(event.is_some_and(|event| event["failure"].to_string().contains("settings say so")));
    configure(&site, &["observer"], "prefix = \"observed\"");
    gateway.reload();
    number_now(&gateway, &mut watcher, "later", "observed");
    gateway.assert_sound();
}

#[test]
fn whoever_is_to_observe_must_be_able_to() {
    let site = site();
    configure(&site, &["observer", "acl"], "prefix = \"observed\"");
    let check = site.check();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(!check.status.success());
    assert!(
        said.contains("observers names \"acl\", which does not export portcullis:gateway/observer"),
        "{said}"
    );
    configure(&site, &[], "prefix = \"observed\"");
    let gateway = Gateway::start(&site);
    let idle = gateway.log.events(
        0,
        "extension has the hook `observer` and is not in `observers`; it is told nothing",
    );
    assert_eq!(idle.len(), 1);
}

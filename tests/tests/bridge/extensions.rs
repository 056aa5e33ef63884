//! Extensions that see what a bridge sends: the guest `interceptor` does by topic what it is to do (`tests/guests/interceptor`).

use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, DEMO, Gateway, Options, Received, Site, program};

use crate::downstream::{
    counters, rules, to_gateway, wait_for, wait_until_connected, wait_until_empty,
};

/// A site whose bridge has its messages seen, and whose clients have not.
fn configure(site: &Site, upstream: &Site, more: &str) {
    let component = program().extensions.join("interceptor.wasm");
    let passes =
        ["+/up/#", "split-out/#", "moved/#"].map(|filter| format!("filter = \"{filter}\""));
    let rules = rules("up", &passes.each_ref().map(String::as_str), &[]);
    site.configure(&format!(
        "[extensions.interceptor]\ncomponent = \"{}\"\ngrants = [\"config\", \"log\"]\n\
         messages = {{ publish = [\"#\"], deliver = [\"#\"], to = [\"split-out/#\", \"moved/#\"]{more} }}\n\
         {}{rules}",
        component.display(),
        to_gateway(site, "up", upstream, "extensions = [\"interceptor\"]")
    ));
}

fn sites(more: &str) -> (Site, Site) {
    let (site, upstream) = (Site::new(), Site::new());
    for one in [&site, &upstream] {
        one.rules("allow publish,subscribe * #\nallow subscribe * $bridge/#\n");
    }
    configure(&site, &upstream, more);
    (site, upstream)
}

fn reader(upstream: &Site) -> Options {
    Options::new("reader", upstream).user(DEMO, &upstream.password).persistent()
}

fn heard(client: &mut Client) -> (String, String) {
    let message = client.message();
    client.acknowledge(&message).expect("the connection stays");
    (message.topic.clone(), String::from_utf8_lossy(&message.payload).into_owned())
}

fn message(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

#[test]
fn what_waits_for_upstream_is_seen_when_it_goes() {
    let (site, upstream) = sites("");
    let there = Gateway::start(&upstream);
    let mut kept = reader(&upstream).connect();
    assert!(!kept.subscribe("#", QoS::AtLeastOnce).is_error());
    drop(kept);
    there.kill();

    let gateway = Gateway::start(&site);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("$bridge/up/refused/#", QoS::AtLeastOnce);
    let mut device = gateway.client("device");
    for (topic, payload) in [
        ("upper/up/a", "quiet"),
        ("drop/up/a", "nobody's"),
        ("refuse/up/a", "no"),
        ("split/up/a", "one,two,three"),
        ("move/up/a", "there"),
        ("trap/up/a", "poison"),
        ("pass/up/a", "last"),
    ] {
        let code = device.publish_and_wait(topic, payload.as_bytes(), false);
        assert_eq!(code, ReasonCode::Success, "{topic}: what leaves is not seen yet");
    }
    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 1);
    let (mut kept, answer) = reader(&upstream).try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true));
    for (topic, payload) in [
        ("upper/up/a", "QUIET"),
        ("split-out/1", "one"),
        ("split-out/2", "two"),
        ("split-out/3", "three"),
        ("moved/up/a", "there"),
        ("pass/up/a", "last"),
    ] {
        assert_eq!(heard(&mut kept), message(topic, payload));
    }
    let letters: Vec<_> = (0..2).map(|_| heard(&mut watcher)).collect();
    let place = |topic: &str| format!("$bridge/up/refused/{topic}");
    let wanted = [message(&place("refuse/up/a"), "no"), message(&place("trap/up/a"), "poison")];
    assert_eq!(letters, wanted);
    wait_until_empty(&gateway);
    let counters = counters(&gateway);
    assert_eq!((&counters["discarded"], &counters["refused"]), (&1.into(), &2.into()));
    assert!(gateway.log.text().contains("nothing is wanted here (0x99"), "the reason is told");

    // What was discarded is done with for good.
    gateway.kill();
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    assert!(kept.receive_within(Duration::from_secs(1)).is_none(), "nothing comes again");
    drop((gateway, there));
}

#[test]
fn an_extension_that_cannot_be_asked_is_waited_for_and_nothing_is_lost() {
    let (site, upstream) = sites("");
    let there = Gateway::start(&upstream);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut reader = there.client("reader");
    reader.subscribe("#", QoS::AtLeastOnce);
    let mut device = gateway.client("device");
    // So many failures in a row have the extension left alone for a while.
    for number in 0..4 {
        let topic = format!("trap/up/{number}");
        assert_eq!(device.publish_and_wait(&topic, b"poison", false), ReasonCode::Success);
    }
    for number in 0..20 {
        let payload = format!("{number}");
        let code = device.publish_and_wait("upper/up/a", payload.as_bytes(), false);
        assert_eq!(code, ReasonCode::Success);
    }
    for number in 0..20 {
        assert_eq!(heard(&mut reader), message("upper/up/a", &number.to_string()));
    }
    wait_for(&gateway, "refused", 4);
    wait_until_empty(&gateway);
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(1), "it stayed connected");
}

#[test]
fn messages_pass_an_extension_that_fails_where_the_operator_says_so() {
    let (site, upstream) = sites(", on-failure = \"pass\"");
    let there = Gateway::start(&upstream);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut reader = there.client("reader");
    reader.subscribe("#", QoS::AtLeastOnce);
    gateway.client("device").publish_and_wait("trap/up/a", b"passes", false);
    assert_eq!(heard(&mut reader), message("trap/up/a", "passes"));
}

#[test]
fn an_extension_that_looks_at_no_messages_is_no_good_for_a_bridge() {
    let (site, upstream) = (Site::new(), Site::new());
    let bridge = to_gateway(&site, "up", &upstream, "extensions = [\"acl\"]");
    site.configure(&format!("{bridge}{}", rules("up", &["filter = \"a/#\""], &[])));
    let out = site.check();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains("bridge \"up\": extensions names \"acl\""), "{said}");
}

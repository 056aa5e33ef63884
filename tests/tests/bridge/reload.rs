//! The configuration of bridges changes while the gateway runs.

use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{
    DEMO, Gateway, Operator, Options, PATIENCE, Publisher, Received, Site, collect,
};

use crate::downstream::{
    counters, rules, state, to_gateway, wait_for, wait_for_state, wait_until_connected,
};

const QUIET: Duration = Duration::from_secs(2);

fn kept(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).persistent()
}

/// A reader there whose session is there from the beginning.
fn reader(there: &Site, filter: &str) {
    let mut reader = kept(there, "reader").connect();
    assert!(!reader.subscribe(filter, QoS::AtLeastOnce).is_error());
}

/// The session of a client there, as its operator sees it.
fn session(there: &Site, client: &str) -> Option<serde_json::Value> {
    let out = Operator::of(there).run(&["clients", client, "--json"]);
    out.status.success().then(|| serde_json::from_slice(&out.stdout).expect("JSON"))
}

fn filters(there: &Site, client: &str) -> Vec<String> {
    let session = session(there, client).unwrap_or_default();
    let list = session["subscription_list"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|it| it["filter"].as_str().map(str::to_owned)).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_bridge_comes_changes_and_goes_and_what_waits_is_not_lost() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    reader(&upstream, "demo/#");
    let mut gateway = Gateway::start(&site);
    let mut device = gateway.client("device");
    let configure = |port: &Site, filters: &[&str]| {
        let filters: Vec<_> = filters.iter().map(|it| format!("filter = {it:?}")).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let text = to_gateway(&site, "up", port, "client-id = \"site\"\n");
        site.configure(&format!("{text}{}", rules("up", &filters, &[])));
    };

    // It comes, and another bridge would notice nothing.
    configure(&upstream, &["demo/a/#"]);
    gateway.reload();
    wait_until_connected(&gateway, 1);
    let mut a = Publisher::new("demo/a/x", QoS::AtLeastOnce, 16);
    a.publish(&mut device, 50).expect("the connection stays");
    // Upstream goes away, and messages wait.
    there.kill();
    a.publish(&mut device, 100).expect("the connection stays");
    // It gets another rule, which comes into force at once.
    configure(&upstream, &["demo/a/#", "demo/b/#"]);
    gateway.reload();
    let mut b = Publisher::new("demo/b/x", QoS::AtLeastOnce, 16);
    b.publish(&mut device, 50).expect("the connection stays");
    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 2);
    let mut numbers = collect(&mut kept(&upstream, "reader").connect(), QUIET);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    wait_for(&gateway, "confirmed", 150);

    // It goes, and with it what it had asked for; nothing waits, so nothing is left.
    let mark = gateway.log.mark();
    site.configure("");
    gateway.reload();
    assert_eq!(state(&site, "up"), None);
    assert!(session(&site, "$bridge/up").is_none(), "nothing waited");
    wait_until("upstream forgets it", || session(&upstream, "site").is_none());
    assert!(gateway.log.events(mark, "bridge is gone; its session gets nothing more").len() == 1);
    a.publish(&mut device, 101).expect("the connection stays");
    gateway.assert_sound();
    drop(there);
}

#[test]
fn a_bridge_that_is_gone_gets_nothing_more_and_keeps_what_waits() {
    let (site, upstream) = (Site::new(), Site::new());
    reader_of_nobody(&upstream);
    let with = format!(
        "{}{}",
        to_gateway(&site, "up", &upstream, ""),
        rules("up", &["filter = \"demo/a/#\""], &[])
    );
    site.configure(&with);
    let gateway = Gateway::start(&site);
    let mut device = gateway.client("device");
    let mut publisher = Publisher::new("demo/a/x", QoS::AtLeastOnce, 16);
    publisher.publish(&mut device, 10).expect("the connection stays");
    site.configure("");
    gateway.reload();
    publisher.publish(&mut device, 20).expect("the connection stays");
    let waiting = |count: u64| {
        let session = session(&site, "$bridge/up").expect("something waits");
        assert_eq!(
            (session["queued"].as_u64(), session["subscriptions"].as_u64()),
            (Some(count), Some(0))
        );
    };
    waiting(10);
    // A restart changes nothing of that.
    drop(device);
    gateway.kill();
    let gateway = Gateway::start(&site);
    let mut device = gateway.client("device");
    publisher.publish(&mut device, 30).expect("the connection stays");
    waiting(10);
    // It comes back, and so does what waited.
    site.configure(&with);
    gateway.reload();
    publisher.publish(&mut device, 40).expect("the connection stays");
    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 1);
    let numbers = collect(&mut kept(&upstream, "reader").connect(), QUIET);
    assert_eq!(numbers, (0..10).chain(30..40).collect::<Vec<_>>());
    drop(there);
}

/// Makes the session of a reader before anything is published.
fn reader_of_nobody(upstream: &Site) {
    let there = Gateway::start(upstream);
    reader(upstream, "demo/#");
    drop(there);
}

/// Rules that were taken away while the gateway was down are given up too.
#[test]
fn what_is_not_fetched_any_more_is_given_up_at_upstream() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    let configure = |filters: &[&str]| {
        let filters: Vec<_> = filters.iter().map(|it| format!("filter = {it:?}")).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let text = to_gateway(&site, "up", &upstream, "client-id = \"site\"\n");
        site.configure(&format!("{text}{}", rules("up", &[], &filters)));
    };
    configure(&["demo/a/#", "demo/b/#", "demo/c/#"]);
    let gateway = Gateway::start(&site);
    wait_until("it is subscribed", || filters(&upstream, "site").len() == 3);
    configure(&["demo/b/#", "demo/c/#"]);
    gateway.reload();
    wait_until("one is given up", || filters(&upstream, "site") == ["demo/b/#", "demo/c/#"]);

    gateway.kill();
    configure(&["demo/c/#", "demo/d/#"]);
    let gateway = Gateway::start(&site);
    wait_until("the other is", || filters(&upstream, "site") == ["demo/c/#", "demo/d/#"]);
    let mut device = gateway.client("device");
    device.subscribe("demo/#", QoS::AtLeastOnce);
    let mut operator = there.client("operator");
    for topic in ["demo/a/x", "demo/b/x", "demo/d/x"] {
        operator.publish_and_wait(topic, topic.as_bytes(), false);
    }
    assert_eq!(device.message().topic, "demo/d/x");
    assert_eq!(counters(&gateway)["unmatched"].as_u64(), Some(0));

    // Another client identifier is another session; the one that was is not left behind.
    let text = to_gateway(&site, "up", &upstream, "client-id = \"other\"\n");
    site.configure(&format!("{text}{}", rules("up", &[], &["filter = \"demo/d/#\""])));
    gateway.reload();
    wait_until("there is another session", || filters(&upstream, "other") == ["demo/d/#"]);
    assert!(session(&upstream, "site").is_none());
}

#[test]
fn a_topic_that_goes_from_one_bridge_to_another_is_missed_by_neither() {
    let (site, upstream) = (Site::new(), Site::new());
    site.rules("allow publish,subscribe user:demo demo/#\nallow subscribe user:demo $bridge/#\n");
    let there = Gateway::start(&upstream);
    reader(&upstream, "demo/#");
    let configure = |first: &str, second: &str| {
        let of = |name: &str, topic: &str| {
            let keys = format!("client-id = {name:?}\n");
            let filter = format!("filter = {topic:?}");
            let rules = rules(name, &[&filter], &[]);
            format!("{}{rules}", to_gateway(&site, name, &upstream, &keys))
        };
        site.configure(&format!("{}{}", of("one", first), of("two", second)));
    };
    configure("demo/a/#", "demo/b/#");
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 2);
    // What waits under a topic that no rule of its bridge is for any more is a dead letter.
    let mut letters = kept(&site, "letters").connect();
    for name in ["one", "two"] {
        let letter = format!("$bridge/{name}/refused/#");
        assert!(!letters.subscribe(&letter, QoS::AtLeastOnce).is_error());
    }
    let mut publisher = Publisher::new("demo/a/x", QoS::AtLeastOnce, 64);
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let mut device = gateway.client("device");
            publisher.publish(&mut device, 10_000).expect("the connection stays");
            publisher
        });
        for turn in 0..6 {
            match turn % 2 {
                0 => configure("demo/b/#", "demo/a/#"),
                _ => configure("demo/a/#", "demo/b/#"),
            }
            gateway.reload();
        }
        let publisher = stream.join().expect("the publisher does not fail");
        assert_eq!(publisher.acknowledged.len(), 10_000);
    });
    let mut numbers = collect(&mut kept(&upstream, "reader").connect(), QUIET);
    numbers.extend(collect(&mut letters, QUIET));
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 10_000);
    drop(there);
}

#[test]
fn the_operator_has_a_bridge_wait() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    reader(&upstream, "demo/#");
    let text = to_gateway(&site, "up", &upstream, "");
    site.configure(&format!("{text}{}", rules("up", &["filter = \"demo/a/#\""], &[])));
    let mut gateway = Gateway::start(&site);
    wait_for_state(&site, "up", "connected");
    let operator = Operator::of(&site);
    assert_eq!(operator.says(&["bridges", "pause", "up"]).trim(), "bridge up waits");
    wait_for_state(&site, "up", "paused");
    let mut device = gateway.client("device");
    for payload in [&b"1"[..], b"2"] {
        device.publish_and_wait("demo/a/x", payload, false);
    }
    // A change does not end the pause.
    let text = to_gateway(&site, "up", &upstream, "keep-alive = \"30s\"\n");
    site.configure(&format!("{text}{}", rules("up", &["filter = \"demo/a/#\""], &[])));
    gateway.reload();
    wait_for_state(&site, "up", "paused");
    let mut reader = kept(&upstream, "reader").connect();
    assert_eq!(reader.receive_within(Duration::from_secs(1)), None);
    assert_eq!(operator.says(&["bridges", "resume", "up"]).trim(), "bridge up goes on");
    wait_for_state(&site, "up", "connected");
    for payload in [&b"1"[..], b"2"] {
        let Received::Publish(message) = reader.receive() else { panic!("no message") };
        assert_eq!(message.payload, payload);
        reader.acknowledge(&message).expect("the connection is there");
    }
    assert!(operator.fails(&["bridges", "pause", "down"]).contains("there is no bridge \"down\""));
    gateway.assert_sound();
    drop(there);
}

//! What goes first, how fast, and what makes room.

use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{
    Client, DEMO, Gateway, Options, Publisher, Received, Site, collect, number,
};

use crate::downstream::{counters, rules, to_gateway, wait_until_connected, wait_until_empty};

const QUIET: Duration = Duration::from_secs(2);

const LOW: &str = "filter = \"demo/up/#\"\npriority = \"low\"\n";
const HIGH: &str = "filter = \"demo/up/alarms/#\"\npriority = \"high\"\n";

fn configure(site: &Site, upstream: &Site, keys: &str, outward: &[&str]) {
    let rules = rules("up", outward, &["filter = \"demo/down/#\""]);
    site.configure(&format!("{}{rules}", to_gateway(site, "up", upstream, keys)));
}

/// A client of upstream that has all that is sent there.
fn reader(upstream: &Site) -> Options {
    Options::new("reader", upstream).user(DEMO, &upstream.password).persistent()
}

fn subscribe(upstream: &Site) {
    let there = Gateway::start(upstream);
    assert!(!reader(upstream).connect().subscribe("demo/#", QoS::ExactlyOnce).is_error());
    drop(there);
}

fn say(device: &mut Client, topic: &str, payload: &str) -> ReasonCode {
    device.publish_and_wait(topic, payload.as_bytes(), false)
}

/// Everything that comes until nothing has for a while: topic and payload.
fn everything(client: &mut Client) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(Received::Publish(message)) = client.receive_within(QUIET) {
        client.acknowledge(&message).expect("the connection stays");
        all.push((message.topic, String::from_utf8_lossy(&message.payload).into_owned()));
    }
    all
}

#[test]
fn what_is_urgent_overtakes_what_is_drained_at_its_rate() {
    const WAITED: u64 = 1500;
    const RATE: u64 = 300;
    let (site, upstream) = (Site::new(), Site::new());
    configure(&site, &upstream, &format!("limits.drain-rate = {RATE}\n"), &[HIGH, LOW]);
    subscribe(&upstream);
    let gateway = Gateway::start(&site);
    let mut publisher = Publisher::new("demo/up/values", QoS::AtLeastOnce, 64);
    publisher.publish(&mut gateway.client("device"), WAITED).expect("the connection stays");

    let there = Gateway::start(&upstream);
    let mut client = reader(&upstream).connect();
    wait_until_connected(&gateway, 1);
    let began = Instant::now();
    let mut alarms = gateway.client("alarms");
    let (mut values, mut longest) = (Vec::new(), Duration::ZERO);
    for alarm in 0..20_u64 {
        let topic = "demo/up/alarms/fire";
        assert_eq!(say(&mut alarms, topic, &alarm.to_string()), ReasonCode::Success);
        let sent = Instant::now();
        loop {
            let message = client.message();
            if message.topic == topic {
                assert_eq!(number(&message.payload), alarm);
                break;
            }
            values.push(number(&message.payload));
        }
        longest = longest.max(sent.elapsed());
    }
    let overtaken = values.len();
    assert!(overtaken < 1000, "alarms came behind {overtaken} of {WAITED} values");
    assert!(counters(&gateway)["backlog"].as_u64() > Some(0));
    while values.len() < WAITED as usize {
        values.push(number(&client.message().payload));
    }
    let took = began.elapsed();
    println!(
        "drain of {WAITED} at {RATE}/s: {took:?}; longest wait of an alarm {longest:?}, the last behind {overtaken}"
    );
    assert_eq!(values, (0..WAITED).collect::<Vec<_>>());
    // A tenth of a second's worth may go at once; busy machines are late, never early.
    assert!(took >= Duration::from_millis(1000 * WAITED / RATE - 500), "{took:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");

    // What is published now is no backlog.
    wait_until_empty(&gateway);
    publisher.publish(&mut gateway.client("device"), 2 * WAITED).expect("the connection stays");
    let began = Instant::now();
    assert_eq!(collect(&mut client, QUIET), (WAITED..2 * WAITED).collect::<Vec<_>>());
    assert!(began.elapsed() < Duration::from_millis(1000 * WAITED / RATE), "{:?}", began.elapsed());
    drop(there);
}

#[test]
fn each_rule_keeps_to_its_budget() {
    let (site, upstream) = (Site::new(), Site::new());
    let kept = |topic: &str, more: &str| format!("filter = \"demo/up/{topic}\"\n{more}");
    configure(
        &site,
        &upstream,
        "max-messages = 40\n",
        &[
            HIGH,
            &kept("last/+", "overflow = \"last-value\""),
            &kept("oldest/#", "overflow = \"drop-oldest\"\nmax-messages = 3"),
            &kept("newest/#", "overflow = \"drop-newest\"\nmax-messages = 3"),
            &kept("few/#", "max-messages = 3"),
            LOW,
        ],
    );
    subscribe(&upstream);
    let gateway = Gateway::start(&site);
    let mut device = gateway.client("device");
    for round in 0..6 {
        let payload = round.to_string();
        for topic in ["last/a", "last/b", "oldest/a", "newest/a"] {
            let code = say(&mut device, &format!("demo/up/{topic}"), &payload);
            assert_eq!(code, ReasonCode::Success, "{topic} {round}");
        }
        let room = if round < 3 { ReasonCode::Success } else { ReasonCode::QuotaExceeded };
        assert_eq!(say(&mut device, "demo/up/few/a", &payload), room);
    }
    // The queue of low priority is full, and that is nothing to what is urgent.
    for round in 0..50 {
        let room = if round < 40 { ReasonCode::Success } else { ReasonCode::QuotaExceeded };
        assert_eq!(say(&mut device, "demo/up/rest", &round.to_string()), room, "{round}");
    }
    assert_eq!(say(&mut device, "demo/up/alarms/a", "fire"), ReasonCode::Success);
    // What counts is the same after a start, and what was there then is on disk.
    gateway.kill();
    let gateway = Gateway::start(&site);
    let mut device = gateway.client("device");
    assert_eq!(say(&mut device, "demo/up/few/a", "x"), ReasonCode::QuotaExceeded);
    assert_eq!(say(&mut device, "demo/up/newest/a", "x"), ReasonCode::Success);
    assert_eq!(say(&mut device, "demo/up/rest", "x"), ReasonCode::QuotaExceeded);
    assert_eq!(say(&mut device, "demo/up/alarms/a", "flood"), ReasonCode::Success);

    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 1);
    let all = everything(&mut reader(&upstream).connect());
    let of = |topic: &str| -> Vec<&str> {
        let topic = format!("demo/up/{topic}");
        all.iter().filter(|(it, _)| *it == topic).map(|(_, payload)| &**payload).collect()
    };
    assert_eq!((of("last/a"), of("last/b")), (vec!["5"], vec!["5"]));
    assert_eq!((of("oldest/a"), of("newest/a")), (vec!["3", "4", "5"], vec!["0", "1", "2"]));
    assert_eq!((of("few/a"), of("rest").len()), (vec!["0", "1", "2"], 40));
    assert_eq!(of("alarms/a"), ["fire", "flood"], "once, in the session of the first rule");
    drop(there);
}

#[test]
fn what_waits_is_sent_when_its_priority_is_another_one() {
    let (site, upstream) = (Site::new(), Site::new());
    configure(&site, &upstream, "", &[HIGH, LOW]);
    subscribe(&upstream);
    let gateway = Gateway::start(&site);
    let mut publisher = Publisher::new("demo/up/values", QoS::ExactlyOnce, 32);
    publisher.publish(&mut gateway.client("device"), 100).expect("the connection stays");
    gateway.kill();

    configure(&site, &upstream, "", &["filter = \"demo/up/#\""]);
    let gateway = Gateway::start(&site);
    publisher.publish(&mut gateway.client("device"), 200).expect("the connection stays");
    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 1);
    let mut arrived = collect(&mut reader(&upstream).connect(), QUIET);
    let (before, since): (Vec<u64>, Vec<u64>) = arrived.iter().partition(|it| **it < 100);
    assert!(before.is_sorted() && since.is_sorted(), "{arrived:?}");
    arrived.sort_unstable();
    assert_eq!(arrived, (0..200).collect::<Vec<_>>());
    wait_until_empty(&gateway);
    gateway.kill();

    // What has no use and is empty goes.
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let sessions = gateway.counters().get("sessions");
    assert_eq!(sessions, 1, "only that of normal priority is left");
    drop(there);
}

#[test]
fn a_rule_names_caps_and_limits_what_passes() {
    let (site, upstream) = (Site::new(), Site::new());
    site.rules("allow publish,subscribe user:demo demo/#\nallow subscribe user:demo $bridge/#\n");
    let rule = "filter = \"demo/up/+/values/#\"\ntemplate = \"demo/there/{rest}/of-{1}\"\n\
                payload-max = \"10 B\"\nexpiry = \"1s\"\n";
    configure(&site, &upstream, "", &[rule]);
    let there = Gateway::start(&upstream);
    assert!(!reader(&upstream).connect().subscribe("demo/#", QoS::ExactlyOnce).is_error());
    let mut online = there.client("online");
    online.subscribe("demo/there/#", QoS::AtLeastOnce);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("$bridge/up/refused/#", QoS::AtLeastOnce);
    let mut device = gateway.client("device");
    for payload in ["long enough", "short"] {
        let code = say(&mut device, "demo/up/line-1/values/a/b", payload);
        assert_eq!(code, ReasonCode::Success);
    }
    let letter = watcher.message();
    let place = "$bridge/up/refused/demo/up/line-1/values/a/b";
    assert_eq!((&*letter.topic, &*letter.payload), (place, &b"long enough"[..]));
    let message = online.message();
    assert_eq!((&*message.topic, &*message.payload), ("demo/there/a/b/of-line-1", &b"short"[..]));
    // Whoever is away gets it only while it is of use.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(everything(&mut reader(&upstream).connect()), []);
}

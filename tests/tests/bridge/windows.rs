//! A link that may be used at some times only, by a clock that the test sets.

use std::thread;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{
    Client, DEMO, Fault, Gateway, Operator, Options, PATIENCE, Proxy, Publisher, Site, Wall, Way,
    collect, number,
};
use serde_json::json;

use crate::downstream::{
    counters, rules, to_gateway, view, wait_for_state, wait_until_connected, wait_until_empty,
};
use crate::exchange::{self, publish_as};
use crate::upstream::Mosquitto;

const QUIET: Duration = Duration::from_secs(2);
const NIGHT: &str = "windows = [\"22:00-22:30\"]\n";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Seconds of a day, a little before its window opens, and before it ends.
const EVENING: u64 = 22 * HOUR - 3;
const END: u64 = 22 * HOUR + 30 * 60 - 3;

/// So many messages, and no more.
fn arrive(client: &mut Client, count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).map(|_| number(&client.message().payload)).collect();
    numbers.extend(collect(client, QUIET));
    numbers
}

fn subscribe(site: &Site, name: &str, filter: &str) {
    assert!(!kept(site, name).connect().subscribe(filter, QoS::AtLeastOnce).is_error());
}

/// A bridge that comes to its upstream by a proxy.
fn by(proxy: &Proxy, site: &Site, upstream: &Site, keys: &str) -> String {
    let bridge = to_gateway(site, "up", upstream, keys);
    let bridge = bridge.replace(&upstream.tls.to_string(), &proxy.port.to_string());
    format!("{bridge}{}", rules("up", &["filter = \"demo/up/#\""], &[]))
}

fn kept(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).plain().persistent()
}

#[test]
fn what_is_published_outside_of_a_window_waits_for_it_and_for_the_next() {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "");
    exchange::configure(&site, &[format!("mqtts://127.0.0.1:{}", mosquitto.tls)], NIGHT);
    let reader = mosquitto.options(&site, "reader").persistent();
    let mut there = reader.connect();
    assert!(!there.subscribe("site/up/#", QoS::AtLeastOnce).is_error());
    let today = Wall::tomorrow();
    let wall = Wall::new(&site, today + 12 * HOUR);

    // It is noon, and nothing is wrong.
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_for_state(&site, "cloud", "closed");
    let bridge = view(&site, "cloud").unwrap_or_default();
    assert_eq!(bridge["opens_at_s"].as_u64(), Some(today + 22 * HOUR));
    let cause = bridge["cause"].as_str().unwrap_or_default();
    assert!(cause.starts_with("outside of its windows; the next opens at "), "{cause}");
    let text = Operator::of(&site).says(&["metrics"]);
    for line in ["closed 1", "connected 0", "failures 0", "connections 0"] {
        let line = format!("bridge cloud {line}");
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 16);
    publisher.publish(&mut gateway.client("device"), 50).expect("the connection stays");
    assert_eq!(there.receive_within(Duration::from_secs(1)), None);
    assert_eq!(counters(&gateway)["state"], "closed");
    gateway.kill();

    // It is killed, and back before the window opens.
    wall.shows(today + EVENING);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    let mut device = gateway.client("device");
    publisher.publish(&mut device, 100).expect("the connection stays");
    assert_eq!(arrive(&mut there, 100), (0..100).collect::<Vec<_>>());
    wait_for_state(&site, "cloud", "connected");
    publisher.publish(&mut device, 110).expect("the connection stays");
    assert_eq!(arrive(&mut there, 10), (100..110).collect::<Vec<_>>());
    wait_until_empty(&gateway);

    // The end: what comes later waits here, and what comes from there waits there.
    wall.shows(today + END);
    wait_for_state(&site, "cloud", "closed");
    assert!(!gateway.log.text().contains("bridge not connected"), "{}", gateway.log.text());
    publisher.publish(&mut device, 160).expect("the connection stays");
    publish_as(&mut there, "site/down/x", b"order", QoS::AtLeastOnce, false);
    assert_eq!(there.receive_within(Duration::from_secs(1)), None);
    let bridge = view(&site, "cloud").unwrap_or_default();
    assert_eq!(bridge["opens_at_s"].as_u64(), Some(today + DAY + 22 * HOUR));
    assert_eq!((&bridge["queued"], &bridge["counters"]["failures"]), (&json!(50), &json!(0)));
    drop(device);
    gateway.kill();

    // With time to subscribe.
    wall.shows(today + DAY + EVENING - 7);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    let mut device = gateway.client("device");
    device.subscribe("demo/down/#", QoS::AtLeastOnce);
    assert_eq!(arrive(&mut there, 50), (110..160).collect::<Vec<_>>());
    assert_eq!(device.message().payload, b"order", "upstream kept the session");
    wait_until_empty(&gateway);
}

/// At the end of a window what is on its way comes to its end, so at QoS 1 nothing comes twice either.
#[test]
fn a_window_that_ends_in_the_middle_loses_and_repeats_nothing() {
    const ALL: u64 = 2000;
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    subscribe(&upstream, "reader", "demo/up/#");
    let keys = format!("{NIGHT}limits.messages-per-second = 100\n");
    // Far away, so that there is something on its way at any moment.
    let proxy = Proxy::to(upstream.tls);
    proxy.inflict(Fault::Delay(Way::Up, Duration::from_millis(150)));
    proxy.inflict(Fault::Delay(Way::Down, Duration::from_millis(150)));
    site.configure(&by(&proxy, &site, &upstream, &keys));
    let today = Wall::tomorrow();
    let wall = Wall::new(&site, today + END - 7);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 64);
    publisher.publish(&mut gateway.client("device"), ALL).expect("the connection stays");
    wait_for_state(&site, "up", "closed");
    let mut numbers = collect(&mut kept(&upstream, "reader").connect(), QUIET);
    assert!((1..ALL).contains(&(numbers.len() as u64)), "{} passed", numbers.len());
    assert_eq!(counters(&gateway)["failures"].as_u64(), Some(0));
    assert_eq!(
        view(&site, "up").unwrap_or_default()["queued"].as_u64(),
        Some(ALL - numbers.len() as u64),
        "both sides know the same"
    );
    gateway.kill();

    // Without the limit, so that it does not take long; it is by the same rule.
    proxy.heal();
    site.configure(&by(&proxy, &site, &upstream, NIGHT));
    wall.shows(today + DAY + EVENING);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_until_connected(&gateway, 1);
    wait_until_empty(&gateway);
    numbers.extend(collect(&mut kept(&upstream, "reader").connect(), QUIET));
    assert_eq!(numbers, (0..ALL).collect::<Vec<_>>());
    drop(there);
}

/// An upstream that says nothing when a window ends has its time, and no more.
#[test]
fn what_is_not_confirmed_at_the_end_comes_again_in_the_next_window() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    subscribe(&upstream, "reader", "demo/up/#");
    let proxy = Proxy::to(upstream.tls);
    site.configure(&by(&proxy, &site, &upstream, NIGHT));
    let today = Wall::tomorrow();
    let wall = Wall::new(&site, today + 22 * HOUR);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_until_connected(&gateway, 1);
    proxy.inflict(Fault::Swallow(Way::Down));
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 16);
    publisher.publish(&mut gateway.client("device"), 20).expect("the connection stays");
    wall.shows(today + END);
    wait_for_state(&site, "up", "closed");
    publisher.publish(&mut gateway.client("device"), 30).expect("the connection stays");
    let bridge = view(&site, "up").unwrap_or_default();
    assert_eq!((&bridge["queued"], &bridge["counters"]["failures"]), (&json!(30), &json!(0)));
    proxy.heal();
    wall.shows(today + DAY + EVENING);
    wait_until_connected(&gateway, 2);
    wait_until_empty(&gateway);
    let numbers = collect(&mut kept(&upstream, "reader").connect(), QUIET);
    assert_eq!(numbers, (0..20).chain(0..30).collect::<Vec<_>>());
    drop(there);
}

const LOW: &str = "filter = \"demo/up/#\"\npriority = \"low\"\n";
const HIGH: &str = "filter = \"demo/up/alarms/#\"\npriority = \"high\"\n";

#[test]
fn what_is_urgent_passes_while_what_has_a_window_waits() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    subscribe(&upstream, "reader", "demo/up/#");
    let configure = |windows: &str| {
        let rules = rules("up", &[HIGH, &format!("{LOW}{windows}")], &[]);
        let keys = "utc-offset = \"-01:30\"\n";
        site.configure(&format!("{}{rules}", to_gateway(&site, "up", &upstream, keys)));
    };
    // 22:00 to 22:30 of UTC.
    configure("windows = [\"20:30-21:00\"]");
    let today = Wall::tomorrow();
    let wall = Wall::new(&site, today + 12 * HOUR);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_until_connected(&gateway, 1);
    let bridge = view(&site, "up").unwrap_or_default();
    assert_eq!(
        (&bridge["state"], &bridge["resting"][0]["priority"]),
        (&json!("connected"), &json!("low"))
    );
    assert_eq!(bridge["resting"][0]["opens_at_s"].as_u64(), Some(today + 22 * HOUR));
    let text = Operator::of(&site).says(&["bridges"]);
    assert!(
        text.contains("up: what has priority low waits for its window, which opens at"),
        "{text}"
    );

    let mut reader = kept(&upstream, "reader").connect();
    let mut device = gateway.client("device");
    let mut values = Publisher::new("demo/up/values", QoS::AtLeastOnce, 16);
    let mut alarm = |number: u64| {
        let payload = number.to_string();
        let code = device.publish_and_wait("demo/up/alarms/fire", payload.as_bytes(), false);
        assert_eq!(code, ReasonCode::Success);
    };
    let mut client = gateway.client("values");
    values.publish(&mut client, 50).expect("the connection stays");
    alarm(0);
    let message = reader.message();
    assert_eq!((&*message.topic, number(&message.payload)), ("demo/up/alarms/fire", 0));
    assert_eq!(reader.receive_within(Duration::from_secs(1)), None);

    // It opens, while alarms come.
    wall.shows(today + EVENING);
    alarm(1);
    assert_eq!(number(&reader.message().payload), 1);
    assert_eq!(arrive(&mut reader, 50), (0..50).collect::<Vec<_>>());
    wait_until_empty(&gateway);

    // It ends, and alarms go on.
    let mark = gateway.log.mark();
    wall.shows(today + END);
    let ended = |event: &serde_json::Value| {
        event["message"] == "messages of a priority wait for their window"
    };
    assert!(gateway.log.wait(mark, PATIENCE, ended).is_some(), "{}", gateway.log.text());
    wait_for_state(&site, "up", "connected");
    values.publish(&mut client, 80).expect("the connection stays");
    alarm(2);
    assert_eq!(arrive(&mut reader, 1), [2]);

    // SIGHUP has it open at another time, which is now.
    configure("windows = [\"20:00-23:00\"]");
    gateway.reload();
    assert_eq!(arrive(&mut reader, 30), (50..80).collect::<Vec<_>>());
    assert_eq!(counters(&gateway)["failures"].as_u64(), Some(0));
    wait_until_empty(&gateway);
    drop(there);
}

/// A box without a battery for its clock cannot know whether its window is open.
#[test]
fn a_clock_that_is_not_set_opens_nothing() {
    let (site, upstream) = (Site::new(), Site::new());
    let there = Gateway::start(&upstream);
    let outward = rules("up", &["filter = \"demo/up/#\""], &[]);
    // All but a minute, which is not now and not tomorrow.
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let weekday = usize::try_from((Wall::tomorrow() / DAY + 3) % 7).expect("a day");
    let other = day[(weekday + 3) % 7];
    let rest: Vec<_> = day.into_iter().filter(|it| *it != other).collect();
    let keys = format!("windows = [\"{} 00:00-24:00\", \"{other} 00:00-23:59\"]\n", rest.join(","));
    site.configure(&format!("{}{outward}", to_gateway(&site, "up", &upstream, &keys)));
    let wall = Wall::new(&site, DAY);
    let gateway = Gateway::start_in(&site, 2, &wall.environment());
    wait_for_state(&site, "up", "closed");
    let bridge = view(&site, "up").unwrap_or_default();
    let cause = bridge["cause"].as_str().unwrap_or_default();
    assert!(cause.starts_with("the system's clock is not set"), "{cause}");
    assert!(bridge["opens_at_s"].is_null(), "{bridge}");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(0));
    wall.shows(Wall::tomorrow() + 12 * HOUR);
    wait_until_connected(&gateway, 1);
    drop(there);
}

//! `kill -9` of either end in the middle of a stream of numbered messages.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use mqtt::QoS;
use portcullis_tests::{DEMO, Dice, Gateway, Options, Publisher, Site, Subscriber};

use crate::downstream::{rules, to_gateway, wait_until_empty};

const CYCLES: &str = "PORTCULLIS_BRIDGE_CYCLES";
const CYCLES_DEFAULT: u64 = 5;
/// Messages of a run at least.
const MESSAGES: u64 = 5000;
const WINDOW: usize = 64;
const QUIET: Duration = Duration::from_secs(5);

#[test]
fn at_qos_1_nothing_acknowledged_is_lost() {
    run(QoS::AtLeastOnce, "filter = \"demo/up/#\"");
}

#[test]
fn at_qos_2_everything_arrives_exactly_once() {
    run(QoS::ExactlyOnce, "filter = \"demo/up/#\"");
}

#[test]
fn at_qos_2_everything_of_a_priority_arrives_exactly_once() {
    run(QoS::ExactlyOnce, "filter = \"demo/up/#\"\npriority = \"high\"");
}

fn cycles() -> u64 {
    std::env::var(CYCLES).ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES_DEFAULT)
}

fn kept(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).plain().persistent()
}

fn run(qos: QoS, rule: &str) {
    let (site, upstream) = (Site::new(), Site::new());
    let rules = rules("up", &[rule], &[]);
    site.configure(&format!("{}{rules}", to_gateway(&site, "up", &upstream, "")));
    let seed = u64::from(std::process::id());
    let mut dice = Dice::new(seed);
    let mut publisher = Publisher::new("demo/up/x", qos, WINDOW);
    let mut there = Some(Gateway::start(&upstream));
    assert!(!kept(&upstream, "reader").connect().subscribe("demo/up/#", qos).is_error());
    let cycles = cycles();
    for cycle in 1..=cycles {
        let gateway = Gateway::start(&site);
        let mut client = kept(&site, "publisher").connect();
        thread::scope(|scope| {
            let stream = scope.spawn(|| {
                let resumed = publisher.resume(&mut client);
                resumed.and_then(|()| publisher.publish(&mut client, u64::MAX))
            });
            thread::sleep(Duration::from_millis(dice.between(100, 500)));
            // Upstream dies first, in every second life, and comes back while messages go on.
            if cycle % 2 == 0 {
                there.take().map(Gateway::kill);
                there = Some(Gateway::start(&upstream));
                thread::sleep(Duration::from_millis(dice.between(100, 500)));
            }
            gateway.kill();
            let end = stream.join().expect("the publisher does not fail");
            assert!(end.is_err(), "it was in the middle");
        });
    }
    let mut gateway = Gateway::start(&site);
    let mut client = kept(&site, "publisher").connect();
    publisher.resume(&mut client).expect("the connection stays");
    let total = publisher.numbered().max(MESSAGES);
    publisher.publish(&mut client, total).expect("the connection stays");
    assert_eq!((publisher.acknowledged.len() as u64, publisher.refused.len()), (total, 0));

    let mut subscriber = Subscriber::default();
    subscriber
        .receive(&mut kept(&upstream, "reader").connect(), QUIET)
        .expect("the connection stays");
    let arrived: BTreeSet<u64> = subscriber.numbers.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let first: Vec<_> = subscriber.numbers.iter().filter(|number| seen.insert(**number)).collect();
    let lost: Vec<_> = publisher.acknowledged.difference(&arrived).collect();
    let duplicates = subscriber.numbers.len() - arrived.len();
    println!(
        "bridge {qos:?} seed={seed} cycles={cycles} acknowledged={} arrived={} lost={} duplicates={duplicates} in_order={}",
        publisher.acknowledged.len(),
        arrived.len(),
        lost.len(),
        first.is_sorted(),
    );
    assert!(lost.is_empty(), "acknowledged and not arrived: {lost:?}");
    assert!(first.is_sorted(), "in the order of publishing");
    assert!(qos == QoS::AtLeastOnce || duplicates == 0, "exactly once");
    gateway.assert_sound();
    wait_until_empty(&gateway);
}

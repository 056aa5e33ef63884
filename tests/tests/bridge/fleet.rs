//! Ten gateways bridge to one cluster of three NATS servers, of which one is killed in the middle and comes back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{QoS, Version};
use portcullis_tests::{
    Gateway, NATS_NODES, NatsCluster, Options, Publisher, Received, Site, number, tools,
};

use crate::downstream::{
    QUICK, client_certificate, counters, rules, wait_until_connected, wait_until_empty_for,
};
use crate::exchange::{BRIDGE, as_bridge, onlooker};

const GATEWAYS: usize = 10;
/// Messages of each.
const MESSAGES: u64 = 1000;
const WINDOW: usize = 32;
/// How long messages pass before a node dies, and how long it is away.
const BEFORE: Duration = Duration::from_millis(1500);
const AWAY: Duration = Duration::from_secs(4);
/// How long a cluster on a small machine may take to have everything, and to hand it on.
const HEALING: Duration = Duration::from_secs(120);
/// How long the reader waits for a node that says nothing before it goes to another.
const SILENCE: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(500);

/// Who published, and the number.
type Mark = (String, u64);

#[test]
fn nothing_acknowledged_is_lost_when_a_node_dies() {
    let home = Site::new();
    let mut cluster = NatsCluster::start(&home);
    let certificate = client_certificate(&home, BRIDGE);
    let sites: Vec<Site> = (0..GATEWAYS).map(|_| Site::new()).collect();
    for (at, site) in sites.iter().enumerate() {
        configure(site, at, &home, &certificate, &cluster);
    }
    let mut first = reader(&home, cluster.mqtt(1));
    assert!(!first.subscribe("fleet/#", QoS::AtLeastOnce).is_error());
    let total = GATEWAYS as u64 * MESSAGES;
    let servers: Vec<_> =
        (0..NATS_NODES).map(|node| format!("nats://127.0.0.1:{}", cluster.nats(node))).collect();
    let arguments = [servers.join(","), "fleet.>".to_owned(), total.to_string()];
    let mut consumer = tools::nats_consumer(&arguments.each_ref().map(AsRef::as_ref));
    assert!(consumer.prints("ready", Duration::from_secs(60)), "the consumer does not come");

    let mut gateways: Vec<_> = sites.iter().map(Gateway::start).collect();
    gateways.iter().for_each(|gateway| wait_until_connected(gateway, 1));
    let ports: Vec<u16> = (0..NATS_NODES).map(|node| cluster.mqtt(node)).collect();
    let done = AtomicBool::new(false);
    let (published, (arrived, turns), seconds) = thread::scope(|scope| {
        let reading = scope.spawn(|| read(&home, &ports, first, &done));
        let streams: Vec<_> = gateways.iter().map(|one| scope.spawn(|| publish(one))).collect();
        let begun = Instant::now();
        thread::sleep(BEFORE);
        cluster.kill(0);
        thread::sleep(AWAY);
        cluster.restart(0);
        let published: Vec<u64> =
            streams.into_iter().map(|it| it.join().expect("a publisher does not fail")).collect();
        gateways.iter().for_each(|gateway| wait_until_empty_for(gateway, HEALING));
        let seconds = begun.elapsed().as_secs_f64();
        done.store(true, Ordering::Release);
        (published, reading.join().expect("the reader does not fail"), seconds)
    });
    assert!(consumer.prints("different", Duration::from_secs(120)), "the consumer does not end");

    let acknowledged: u64 = published.iter().sum();
    let distinct: BTreeSet<&Mark> = arrived.iter().collect();
    let lost = acknowledged - distinct.len() as u64;
    let moved = gateways.iter().filter(|it| counters(it)["connections"].as_u64() > Some(1)).count();
    let said = consumer.said();
    let read = said.lines().last().unwrap_or_default();
    println!(
        "fleet gateways={GATEWAYS} acknowledged={acknowledged} arrived={} lost={lost} duplicates={} \
         out_of_order={} moved={moved} reader_moved={turns} seconds={seconds:.1} jetstream={}",
        distinct.len(),
        arrived.len() - distinct.len(),
        out_of_order(&arrived),
        read,
    );
    assert_eq!((acknowledged, lost), (total, 0));
    let all = format!("\"different\": {total}");
    assert!(read.contains(&all), "JetStream's consumer read: {read}");
    assert!(moved > 0, "some were connected to the node that died");
    gateways.iter_mut().for_each(Gateway::assert_sound);
}

fn configure(site: &Site, at: usize, home: &Site, certificate: &str, cluster: &NatsCluster<'_>) {
    let file = |ending: &str| home.path(format!("{certificate}.{ending}"));
    let (ca, cert, key) = (home.ca(), file("pem"), file("key"));
    let urls = cluster.urls(at % NATS_NODES);
    let out = format!("filter = \"demo/up/#\"\nstrip = \"demo\"\nprefix = \"fleet/gateway-{at}\"");
    let rules = rules("cluster", &[&out], &[]);
    site.configure(&format!(
        "[bridges.cluster]\nprofile = \"nats\"\nurls = {urls:?}\ntls.ca = {ca:?}\ntls.cert = {cert:?}\n\
         tls.key = {key:?}\ntls.server-name = \"localhost\"\n{QUICK}{rules}"
    ));
}

/// Publishes through one gateway; gives how many messages were acknowledged.
fn publish(gateway: &Gateway<'_>) -> u64 {
    let mut publisher = Publisher::new("demo/up/stream", QoS::AtLeastOnce, WINDOW);
    let mut client = gateway.options("device").plain().connect();
    // Spread over the time in which the node dies.
    for part in 1..=10 {
        publisher.publish(&mut client, part * MESSAGES / 10).expect("the gateway stays");
        thread::sleep(Duration::from_millis(300));
    }
    publisher.acknowledged.len() as u64
}

fn reader(home: &Site, port: u16) -> portcullis_tests::Client {
    onlooker(home, port, Version::V3_1_1, &Options::new("reader", home).persistent())
}

/// Reads at one node after the other, until everything has come or nothing more comes. A node that has fallen silent while there is
/// more to read is left, as one that has closed the connection.
fn read(
    home: &Site,
    ports: &[u16],
    first: portcullis_tests::Client,
    done: &AtomicBool,
) -> (Vec<Mark>, usize) {
    let (mut client, mut marks, mut seen) = (Some(first), Vec::new(), BTreeSet::new());
    let (mut at, mut turns) = (1, 0);
    let (mut heard, mut news) = (Instant::now(), Instant::now());
    loop {
        let came = client.as_mut().and_then(|client| client.receive_within(TURN));
        match came {
            Some(Received::Publish(message)) => {
                let from = message.topic.split('/').nth(1).unwrap_or_default().to_owned();
                let mark = (from, number(&message.payload));
                heard = Instant::now();
                if seen.insert(mark.clone()) {
                    news = heard;
                }
                marks.push(mark);
                // What is not acknowledged comes again.
                let _ = client.as_mut().map(|client| client.acknowledge(&message));
            }
            Some(Received::Closed) => client = None,
            Some(_) | None => {}
        }
        let all = seen.len() as u64 == GATEWAYS as u64 * MESSAGES;
        if done.load(Ordering::Acquire) && (all || news.elapsed() > HEALING) {
            return (marks, turns);
        }
        if client.is_none() || heard.elapsed() > SILENCE && !all {
            (at, turns, heard) = (at + 1, turns + 1, Instant::now());
            thread::sleep(Duration::from_millis(200));
            let options = Options::new("reader", home).persistent().version(Version::V3_1_1);
            let port = ports[at % ports.len()];
            let is_there = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            let next = is_there.then(|| options.knock_on(as_bridge(home, port)));
            client = next.and_then(Result::ok);
        }
    }
}

/// First arrivals that came after a later one of the same gateway.
fn out_of_order(arrived: &[Mark]) -> usize {
    let mut seen = BTreeSet::new();
    let mut latest = std::collections::BTreeMap::new();
    let mut count = 0;
    for (from, number) in arrived {
        if seen.insert((from, number)) {
            let last = latest.entry(from).or_insert(*number);
            count += usize::from(number < last);
            *last = (*last).max(*number);
        }
    }
    count
}

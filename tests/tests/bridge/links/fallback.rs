//! QUIC where it passes, TLS where it does not.

use std::time::Duration;

use mqtt::QoS;
use portcullis_tests::{Gateway, PATIENCE, Publisher, Site, Subscriber};

use super::udp_way::UdpWay;
use super::{configure, first_times, reader};
use crate::downstream::{wait_until_connected, wait_until_empty};

const QUIET: Duration = Duration::from_secs(2);

/// The scheme of each address that the bridge was connected to, in order.
fn used(gateway: &Gateway<'_>) -> Vec<String> {
    let events = gateway.events(0, "bridge connected");
    let scheme = |url: &str| url.split(':').next().unwrap_or_default().to_owned();
    events.iter().map(|event| scheme(event["url"].as_str().unwrap_or_default())).collect()
}

#[test]
fn order_and_messages_survive_the_change_between_quic_and_tls() {
    let site = Site::new();
    let (upstream, port) = Site::with_quic("");
    let way = UdpWay::to(port);
    way.close(true);
    configure(
        &site,
        &upstream,
        &format!(
            "urls = [\"quic://localhost:{}\", \"mqtts://localhost:{}\"]\nquic-timeout = \"1s\"\nfail-back = \"2s\"\nkeep-alive = \"2s\"",
            way.port, upstream.tls
        ),
    );
    let _there = Gateway::start_with(&upstream, 3);
    let mut reader = reader(&upstream);
    let mut gateway = Gateway::start(&site);
    // Nothing passes: TLS.
    wait_until_connected(&gateway, 1);
    let mut device = gateway.client("device");
    let mut exact = Publisher::new("demo/up/2", QoS::ExactlyOnce, 30);
    exact.publish(&mut device, 200).expect("the connection stays");
    // It passes: back to QUIC, while messages flow.
    way.close(false);
    let mut total = 200;
    while used(&gateway).len() < 2 {
        total += 50;
        assert!(total < 200_000, "it does not come back: {}", gateway.log.text());
        exact.publish(&mut device, total).expect("the connection stays");
    }
    // It does not pass any more, and the connection shows by silence only.
    way.close(true);
    exact.publish(&mut device, total + 300).expect("the connection stays");
    total += 300;
    wait_until_connected(&gateway, 3);
    let mut received = Subscriber::default();
    let until = std::time::Instant::now() + 2 * PATIENCE;
    while received.numbers.len() < usize::try_from(total).unwrap_or(0)
        && std::time::Instant::now() < until
    {
        received.receive(&mut reader, QUIET).expect("the connection stays");
    }
    assert_eq!(used(&gateway)[..3], ["mqtts", "quic", "mqtts"]);
    let expected: Vec<u64> = (0..total).collect();
    assert_eq!(first_times(&received.numbers), expected, "lost, or out of order");
    assert_eq!(received.numbers.len(), expected.len(), "exactly once");
    println!("{total} messages of QoS 2 over mqtts, quic, mqtts: 0 lost, 0 twice, in order");
    wait_until_empty(&gateway);
    gateway.assert_sound();
}

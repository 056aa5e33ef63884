//! QUIC to another gateway.

use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, PATIENCE, Publisher, Site, collect, free_port};

use super::{configure, exchange, kept, reader};
use crate::downstream::{client_certificate, counters, wait_until_connected, wait_until_empty};

const QUIET: Duration = Duration::from_secs(2);

#[test]
fn messages_of_any_size_pass_both_ways_over_quic() {
    let site = Site::new();
    let (upstream, port) = Site::with_quic("");
    configure(&site, &upstream, &format!("url = \"quic://localhost:{port}\""));
    let there = Gateway::start_with(&upstream, 3);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut client = there.client("onlooker");
    for size in [0, 1, 1_200, 70_000, 1_000_000] {
        exchange(&gateway, &mut client, size);
    }
    wait_until_empty(&gateway);
    let counters = counters(&gateway);
    assert_eq!(
        (counters["connections"].as_u64(), counters["failures"].as_u64()),
        (Some(1), Some(0))
    );
    gateway.assert_sound();
}

/// A server that was killed has forgotten the connection, and cannot say so.
#[test]
fn an_upstream_that_was_killed_gets_everything_when_it_is_back() {
    let site = Site::new();
    let (upstream, port) = Site::with_quic("");
    configure(&site, &upstream, &format!("url = \"quic://localhost:{port}\""));
    let there = Gateway::start_with(&upstream, 3);
    drop(reader(&upstream));
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::ExactlyOnce, 50);
    let mut device = gateway.client("device");
    publisher.publish(&mut device, 200).expect("the connection stays");
    there.kill();
    let began = Instant::now();
    publisher.publish(&mut device, 400).expect("the connection stays");
    let _there = Gateway::start_with(&upstream, 3);
    let again = gateway.log.wait_for_lines("\"bridge connected\"", 2, 2 * PATIENCE);
    assert!(again, "{}", gateway.log.text());
    let waited = began.elapsed();
    let mut reader = kept(&upstream, "reader").try_connect().expect("a CONNACK").0;
    assert_eq!(collect(&mut reader, 2 * QUIET), (0..400).collect::<Vec<_>>());
    println!(
        "400 messages of QoS 2: 0 lost, 0 twice, connected again after {:.1} s",
        waited.as_secs_f32()
    );
    wait_until_empty(&gateway);
    gateway.assert_sound();
}

#[test]
fn a_client_certificate_is_shown_and_the_servers_name_is_proved() {
    let (site, upstream) = (Site::new(), Site::new());
    let port = free_port();
    upstream.configure(&format!(
        "[listeners.quic]\nbind = \"127.0.0.1:{port}\"\ntransport = \"quic\"\ntls.cert = \"pki/server.pem\"\n\
         tls.key = \"pki/server.key\"\ntls.client-auth = \"required\"\ntls.client-ca = \"pki/ca.pem\"\nchain = [\"password\", \"acl\"]\n"
    ));
    let _there = Gateway::start_with(&upstream, 3);
    let certificate = client_certificate(&upstream, "bridge");
    let url = format!("url = \"quic://127.0.0.1:{port}\"\ntls.server-name = \"localhost\"");
    let path = |end: &str| upstream.path(format!("{certificate}.{end}"));
    let identity = format!("tls.cert = {:?}\ntls.key = {:?}", path("pem"), path("key"));

    configure(&site, &upstream, &url);
    let gateway = Gateway::start(&site);
    assert!(
        gateway.log.wait_for_lines("bridge not connected", 2, PATIENCE),
        "{}",
        gateway.log.text()
    );
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(0));
    drop(gateway);

    configure(
        &site,
        &upstream,
        &format!("{}\n{identity}", url.replace("\"localhost\"", "\"other\"")),
    );
    let gateway = Gateway::start(&site);
    let told = gateway.log.wait(0, PATIENCE, |event| {
        event["cause"].as_str().is_some_and(|cause| cause.contains("quic handshake with"))
    });
    assert!(told.is_some(), "{}", gateway.log.text());
    drop(gateway);

    configure(&site, &upstream, &format!("{url}\n{identity}"));
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(counters(&gateway)["state"], "connected");
    gateway.assert_sound();
}

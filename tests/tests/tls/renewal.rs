use std::fs;
use std::thread;
use std::time::Duration;

use portcullis_tests::Operator;

use crate::bench::{Bench, line, within};
use crate::openssl::serial_of;

#[test]
fn a_certificate_that_is_renewed_is_taken_over_without_a_word_from_the_operator() {
    let bench = Bench::new();
    let gateway = bench.start();
    let mut client = bench.knock("stays", None).expect("it is let in");
    let first = serial_of(bench.port, "localhost");

    let mark = gateway.log.mark();
    bench.cert(&["renew", "pki/live.pem", "--days", "90"]);
    let event = line(&gateway, mark, "certificates reloaded");
    assert_eq!(event["changed"], "tls.cert");
    assert_eq!(event["subject"], "CN=localhost");
    assert_eq!(event["names"], "localhost");
    assert!(event["not_after"].as_str().is_some_and(|end| end.ends_with('Z')), "{event}");
    let second = serial_of(bench.port, "localhost");
    assert_ne!(first, second);
    assert!(client.pings(), "a connection that exists stays");

    // A new pair whose halves come one after the other: that is no fault.
    let mark = gateway.log.mark();
    bench.cert(&["server", "--name", "localhost", "--out", "pki/next"]);
    fs::rename(bench.pki("next.pem"), bench.pki("live.pem")).expect("it is renamed");
    // Long enough to be read once, and shorter than what is an error.
    thread::sleep(Duration::from_millis(4500));
    assert_eq!(serial_of(bench.port, "localhost"), second);
    fs::rename(bench.pki("next.key"), bench.pki("live.key")).expect("it is renamed");
    line(&gateway, mark, "certificates reloaded");
    assert!(gateway.log.events(mark, NOT).is_empty(), "{}", gateway.log.text());
    let third = serial_of(bench.port, "localhost");
    assert_ne!(second, third);

    // Halves that never fit are one, and it is said once.
    let mark = gateway.log.mark();
    fs::copy(bench.pki("server.key"), bench.pki("live.key")).expect("it is copied");
    let event = line(&gateway, mark, NOT);
    let error = event["error"].as_str().unwrap_or_default();
    for part in ["tls.key", "live.key", "live.pem", "does not belong", "name the key"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(within(&gateway, gateway.log.mark(), NOT, Duration::from_secs(6)).is_none());
    assert_eq!(serial_of(bench.port, "localhost"), third);
    assert!(client.pings(), "a connection that exists stays");
}

const NOT: &str = "certificates not reloaded; the listener goes on with those that it has";

#[test]
fn a_list_that_appears_by_itself_sends_the_revoked_away() {
    let bench = Bench::new();
    bench.cert(&["client", "pump"]);
    bench.cert(&["client", "valve"]);
    let gateway = bench.start();
    let mut pump = bench.knock("pump", Some("pump")).expect("it is let in");
    let mut valve = bench.knock("valve", Some("valve")).expect("it is let in");
    let mark = gateway.log.mark();
    bench.cert(&["revoke", "pki/pump.pem"]);
    let event = line(&gateway, mark, "connections closed");
    assert_eq!(event["connections"], 1);
    assert_eq!(
        pump.receive(),
        portcullis_tests::Received::Disconnect(mqtt::ReasonCode::NotAuthorized)
    );
    assert!(valve.pings());
    assert!(bench.knock("pump", Some("pump")).is_none());
    let why = gateway.events(mark, "connection turned away");
    let why = why.iter().filter_map(|event| event["why"].as_str());
    assert!(
        why.clone().any(|why| why.contains("it has been revoked")),
        "{:?}",
        why.collect::<Vec<_>>()
    );
}

#[test]
fn what_is_wrong_is_found_before_the_start() {
    let bench = Bench::new();
    let operator = Operator::of(&bench.site);
    operator.says(&["check"]);
    fs::copy(bench.pki("server.key"), bench.pki("live.key")).expect("it is copied");
    let said = operator.fails(&["check"]);
    assert!(said.starts_with("listener \"machines\": tls.key"), "{said}");
    bench.renew();
    fs::write(bench.pki("crl.pem"), "").expect("it is written");
    let said = operator.fails(&["check"]);
    assert!(said.contains("tls.client-crl") && said.contains("holds no X509 CRL"), "{said}");
}

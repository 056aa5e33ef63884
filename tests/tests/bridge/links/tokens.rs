//! Tokens that the bridge makes for itself, before another gateway whose extension `jwt` verifies them.

use std::process::Command;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, PATIENCE, Publisher, Site, Subscriber, program};

use crate::downstream::{QUICK, counters, rules, wait_until_connected, wait_until_empty};

/// Seconds that a token holds, and after how many of them it is renewed: on a machine that is busy with other tests, a
/// handshake and a call of the guest may take more than one.
const LIFETIME: u64 = 15;
const RENEWAL: u64 = 12;

/// An upstream whose clients come with tokens; the test's own client has the bridge's rights by the plain listener.
fn upstream(config: &str) -> Site {
    let site = Site::new();
    let component = program().extensions.join("jwt.wasm");
    site.rules("allow publish,subscribe * #\n");
    let port = portcullis_tests::free_port();
    std::fs::write(site.path("public.pem"), "").expect("a file");
    site.configure(&format!(
        r#"
[listeners.cloud]
bind = "127.0.0.1:{port}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["jwt"]
[extensions.jwt]
component = "{}"
grants = ["config", "credentials", "log"]
[extensions.jwt.key-sets.plant]
pem = "public.pem"
algorithms = ["EdDSA", "RS256", "ES256"]
issuer = "plant"
audience = "mqtt"
leeway = "0s"
[extensions.jwt.config]
key-set = "plant"
rules = '''
allow publish,subscribe * #
'''
{config}
"#,
        component.display()
    ));
    std::fs::write(site.path("cloud.port"), port.to_string()).expect("a file");
    site
}

fn openssl(arguments: &[&str], site: &Site) {
    let out = Command::new("openssl").args(arguments).current_dir(site.path("")).output();
    let out = out.expect("openssl is installed; `cargo xtask test` does that");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A key pair: the bridge has the one half, upstream the other.
fn keys(site: &Site, upstream: &Site, kind: &[&str]) {
    openssl(&[&["genpkey", "-out", "site.key", "-algorithm"], kind].concat(), site);
    let public = upstream.path("public.pem").display().to_string();
    openssl(&["pkey", "-in", "site.key", "-pubout", "-out", &public], site);
}

fn configure(site: &Site, upstream: &Site, more: &str) {
    let port = std::fs::read_to_string(upstream.path("cloud.port")).expect("a port");
    let rules = rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    site.configure(&format!(
        "[bridges.up]\nurl = \"mqtts://localhost:{port}\"\ntls.ca = {:?}\n{QUICK}token.key = \"site.key\"\n\
         token.issuer = \"plant\"\ntoken.audience = \"mqtt\"\ntoken.subject = \"site-7\"\ntoken.lifetime = \"{LIFETIME}s\"\n{more}\n{rules}",
        upstream.ca()
    ));
}

/// Messages of QoS 2 for as long as `renewals` take: all arrive once and in order, and nothing has failed.
fn flows_through(site: &Site, upstream: &Site, renewals: u64) -> u64 {
    let there = Gateway::start_with(upstream, 3);
    let mut reader = super::reader(upstream);
    let mut gateway = Gateway::start(site);
    wait_until_connected(&gateway, 1);
    let until = Instant::now() + Duration::from_secs(RENEWAL * renewals + 2);
    let mut publisher = Publisher::new("demo/up/x", QoS::ExactlyOnce, 20);
    let mut device = gateway.client("device");
    let mut received = Subscriber::default();
    let mut total = 0;
    while Instant::now() < until {
        total += 20;
        publisher.publish(&mut device, total).expect("the connection stays");
        received.receive(&mut reader, Duration::from_millis(20)).expect("the connection stays");
    }
    received.receive(&mut reader, Duration::from_secs(2)).expect("the connection stays");
    assert_eq!(received.numbers, (0..total).collect::<Vec<_>>());
    wait_until_empty(&gateway);
    let counters = counters(&gateway);
    assert_eq!(counters["failures"].as_u64(), Some(0), "{counters}");
    println!("{total} messages of QoS 2: 0 lost, 0 twice, {counters}");
    let connections = counters["connections"].as_u64().expect("a number");
    gateway.assert_sound();
    drop(there);
    connections
}

#[test]
fn a_token_is_renewed_by_another_connection_before_it_ends() {
    let (site, upstream) = (Site::new(), upstream(""));
    keys(&site, &upstream, &["ED25519"]);
    configure(&site, &upstream, "username = \"site-7\"");
    let connections = flows_through(&site, &upstream, 2);
    assert!((3..=4).contains(&connections), "{connections}");
}

#[test]
fn a_token_is_renewed_in_place_where_upstream_knows_its_method() {
    let (site, upstream) = (Site::new(), upstream("method = \"BEARER\""));
    keys(&site, &upstream, &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    configure(&site, &upstream, "token.method = \"BEARER\"");
    assert_eq!(flows_through(&site, &upstream, 2), 1);
}

#[test]
fn a_key_of_rsa_signs_too_and_another_ones_is_refused() {
    let (site, upstream) = (Site::new(), upstream(""));
    keys(&site, &upstream, &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    configure(&site, &upstream, "");
    let _there = Gateway::start_with(&upstream, 3);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    drop(gateway);
    openssl(&["genpkey", "-out", "site.key", "-algorithm", "ED25519"], &site);
    let gateway = Gateway::start(&site);
    let told = gateway.log.wait(0, PATIENCE, |event| event["message"] == "bridge not connected");
    let told = told.unwrap_or_else(|| panic!("{}", gateway.log.text()));
    assert_eq!(told["state"], "refused", "{told}");
    let text = gateway.log.text();
    assert!(!text.contains("eyJ"), "a token is in the log");
}

#[test]
fn a_key_that_cannot_sign_is_told_by_check() {
    let (site, upstream) = (Site::new(), upstream(""));
    openssl(
        &["genpkey", "-out", "site.key", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &site,
    );
    configure(&site, &upstream, "");
    let out = site.check();
    let said =
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains("bridge \"up\": token.key") && said.contains("P-256"), "{said}");
}

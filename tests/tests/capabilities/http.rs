use std::time::{Duration, Instant};

use portcullis_tests::{Site, Web};

use crate::{GRANTS, Stage};

/// A site whose probe may use a server that has the site's certificate, trusted by `ca`.
pub(crate) fn stage(ca: &str, more: &str) -> (Stage, Web) {
    let stage = Stage::new(&GRANTS, "");
    let web = Web::start(&stage.site);
    let base = web.url.trim_end_matches("/keys");
    stage.configure(
        &GRANTS,
        &format!(
            "deadline.authenticate = \"3s\"\n[extensions.probe.connections.web]\nurl = \"{base}\"\n\
             ca = \"{ca}\"\ntimeout = \"2s\"\nmax-response = \"1 KiB\"\n{more}"
        ),
    );
    (stage, web)
}

#[test]
fn a_server_is_asked_over_tls_under_a_private_authority() {
    let (stage, web) = stage("pki/ca.pem", "");
    let gateway = stage.start();
    web.serve("the answer");
    assert_eq!(stage.done(&gateway, "get-from web /x?y=1"), "200 the answer");
    assert_eq!(stage.done(&gateway, "post-to web /x body"), "200 the answer");
    let asked = web.asked();
    stage.refused(&gateway, "get-from web /../x", "Invalid");
    stage.refused(&gateway, "get-from web https://elsewhere/", "Invalid");
    stage.refused(&gateway, "get-from other /x", "UnknownConnection");
    assert_eq!(web.asked(), asked, "nothing was sent");
    web.serve(&"x".repeat(2_000));
    stage.refused(&gateway, "get-from web /x", "TooLarge");
    web.fail();
    let why = stage.ask(&gateway, "get-from web /x").expect_err("the server closes at once");
    assert!(["Unreachable", "Protocol", "Tls"].iter().any(|error| why.contains(error)), "{why}");
}

#[test]
fn a_server_with_another_authority_is_not_believed() {
    let (stage, web) = stage("other.pem", "");
    std::fs::copy(Site::new().ca(), stage.site.path("other.pem")).expect("another authority");
    let gateway = stage.start();
    web.serve("the answer");
    stage.refused(&gateway, "get-from web /x", "Tls");
}

#[test]
fn a_slow_server_costs_its_caller_the_answer_and_nobody_else_anything() {
    let (stage, web) = stage("pki/ca.pem", "");
    web.serve("the answer");
    web.delay(Duration::from_secs(20));
    let mut gateway = stage.start();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let began = Instant::now();
            let why = stage.refused(&gateway, "get-from web /x", "Timeout");
            (began.elapsed(), why)
        });
        let mut other = gateway.client("other");
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let began = Instant::now();
            assert!(other.pings(), "others are served");
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
        let (took, why) = slow.join().expect("the caller");
        assert!(took < Duration::from_secs(10), "{took:?}: {why}");
    });
    let stats = gateway.counters();
    assert_eq!(stats.of_extension("probe", "deadline_exceeded"), 0, "the guest could still answer");
    gateway.assert_sound();
}

#[test]
fn headers_that_no_request_can_have_are_refused_with_their_place() {
    let (stage, _) = stage("pki/ca.pem", "headers.host = \"x\"\n");
    let out = stage.site.check();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    for part in ["extension \"probe\": connection \"web\"", "\"host\" is set by the gateway"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

use std::time::{Duration, SystemTime};

use portcullis_tests::Operator;
use transport::pki::{self, Order};

use crate::bench::{Bench, line};

#[test]
fn the_end_of_a_certificate_is_announced_and_measured() {
    let bench = Bench::new();
    for (days, level) in [("20", "WARN"), ("2", "ERROR")] {
        bench.cert(&["renew", "pki/live.pem", "--days", days]);
        let gateway = bench.start();
        let event = line(&gateway, 0, "certificate or list ends soon");
        assert_eq!(event["level"], level, "{event}");
        assert_eq!(event["kind"], "server-certificate");
        assert_eq!(event["setting"], "tls.cert");
        assert!(event["fix"].as_str().is_some_and(|fix| fix.contains("renew")), "{event}");
        let operator = Operator::of(&bench.site);
        let metrics = operator.says(&["metrics", "--prometheus"]);
        let series = metrics.lines().find(|line| {
            line.starts_with("portcullis_certificate_seconds_left{listener=\"machines\"")
                && line.contains("kind=\"server-certificate\"")
                && line.contains("live.pem")
        });
        let (_, left) = series.and_then(|line| line.rsplit_once(' ')).expect("a series");
        let (left, days): (i64, i64) =
            (left.parse().expect("a number"), days.parse().expect("a number"));
        assert!((days * 86_400 - 600..=days * 86_400).contains(&left), "{left}");
        let document = operator.asks(&["metrics"]);
        let kinds: Vec<_> = document["certificates"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["listener"] == "machines")
            .map(|one| one["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds, ["server-certificate", "server-issuer", "client-ca", "client-crl"]);
        let mark = gateway.log.mark();
        gateway.reload();
        line(&gateway, mark, "certificate or list ends soon");
    }
}

#[test]
fn a_certificate_that_has_ended_is_a_fault_before_a_start_and_an_error_after_it() {
    let bench = Bench::new();
    let order = Order { out: Some(bench.pki("live")), force: true, days: Some(30) };
    let long_ago = SystemTime::now() - Duration::from_secs(60 * 86_400);
    let authority = pki::Site::at(&bench.pki(""));
    authority.server(&["localhost".to_owned()], &order, long_ago).expect("it is issued");
    let said = Operator::of(&bench.site).fails(&["check"]);
    for part in ["listener \"machines\": tls.cert", "has expired", "install one that is valid now"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // There is no better one.
    let gateway = bench.start();
    let event = line(&gateway, 0, "certificate or list has ended");
    assert_eq!((&event["level"], &event["days_left"]), (&"ERROR".into(), &(-30).into()), "{event}");
    let mark = gateway.log.mark();
    bench.cert(&["renew", "pki/live.pem"]);
    assert_eq!(line(&gateway, mark, "certificates reloaded")["changed"], "tls.cert");
    let renewed = std::fs::read(bench.pki("live.pem")).expect("it is there");

    // And where there is a better one it is kept.
    let mark = gateway.log.mark();
    authority.server(&["localhost".to_owned()], &order, long_ago).expect("it is issued");
    gateway.reload();
    let event = line(&gateway, mark, "certificates not reloaded");
    assert!(event["error"].as_str().is_some_and(|error| error.contains("has expired")), "{event}");
    assert_ne!(std::fs::read(bench.pki("live.pem")).expect("it is there"), renewed);
    assert!(bench.knock("c", None).is_some(), "the certificate in use is good");
}

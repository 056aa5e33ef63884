use portcullis_tests::Operator;

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

//! What the operator sees of bridges.

use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, Operator, PATIENCE, Site, free_port};
use serde_json::json;

use crate::downstream::{QUICK, rules, to_gateway, wait_until_connected};

#[test]
fn each_bridge_is_shown_with_its_state_its_cause_and_its_counters() {
    let (site, upstream) = (Site::new(), Site::new());
    let nowhere = free_port();
    let away = format!(
        "[bridges.away]\nurl = \"mqtt://127.0.0.1:{nowhere}\"\n{QUICK}{}",
        rules("away", &["filter = \"demo/up/#\""], &[])
    );
    let up = to_gateway(&site, "up", &upstream, "");
    let rules = rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    site.configure(&format!("{away}{up}{rules}"));
    let there = Gateway::start(&upstream);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut device = gateway.client("device");
    device.subscribe("demo/down/#", QoS::AtLeastOnce);
    for number in 0..3_u8 {
        device.publish_and_wait("demo/up/x", &[number], false);
    }
    there.client("operator").publish_and_wait("demo/down/x", b"go", false);
    device.message();
    wait_for_up(&gateway);
    let refused = gateway.log.wait_for_lines("bridge not connected", 1, PATIENCE);
    assert!(refused, "{}", gateway.log.text());

    let operator = Operator::of(&site);
    let answer = operator.asks(&["bridges"]);
    let [away, up] = answer["bridges"].as_array().expect("a list").as_slice() else {
        panic!("two bridges: {answer}");
    };
    assert_eq!(
        (&up["name"], &up["state"], &up["version"]),
        (&json!("up"), &json!("connected"), &json!("5.0"))
    );
    assert_eq!(up["url"], format!("mqtts://localhost:{}", upstream.tls));
    assert_eq!((&up["queued"], &up["cause"]), (&json!(0), &json!(null)));
    assert_eq!((&up["counters"]["sent"], &up["counters"]["received"]), (&json!(3), &json!(1)));
    assert_eq!((&away["name"], &away["queued"]), (&json!("away"), &json!(3)));
    assert!(
        ["waiting", "connecting"].contains(&away["state"].as_str().unwrap_or_default()),
        "{away}"
    );
    assert!(away["cause"].as_str().is_some_and(|cause| cause.contains("refused")), "{away}");

    let text = operator.says(&["bridges"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("BRIDGE  STATE"), "{text}");
    assert!(
        lines[1].starts_with("away    ") && lines[2].starts_with("up      connected"),
        "{text}"
    );
    assert!(lines[3].starts_with("away: "), "{text}");

    let text = operator.says(&["metrics"]);
    for line in ["bridge up connected 1", "bridge up confirmed 3", "bridge away connected 0"] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    let text = operator.says(&["metrics", "--prometheus"]);
    for line in [
        "# TYPE portcullis_bridge_sent counter",
        "portcullis_bridge_sent{bridge=\"up\"} 3",
        "portcullis_bridge_received{bridge=\"up\"} 1",
        "portcullis_bridge_connected{bridge=\"away\"} 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    gateway.assert_sound();
}

/// The counters of `away` come first in the log.
fn wait_for_up(gateway: &Gateway<'_>) {
    let until = Instant::now() + PATIENCE;
    let confirmed = || {
        let mark = gateway.log.mark();
        gateway.counters();
        let up = gateway.log.wait(mark, PATIENCE, |event| {
            event["message"] == "bridge counters" && event["bridge"] == "up"
        });
        up.and_then(|up| up["confirmed"].as_u64())
    };
    while confirmed() != Some(3) {
        assert!(Instant::now() < until, "upstream does not confirm");
        thread::sleep(Duration::from_millis(50));
    }
}

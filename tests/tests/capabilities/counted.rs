use std::time::{Duration, Instant};

use portcullis_tests::{Operator, PATIENCE};

use crate::http;

#[test]
fn what_extensions_reach_is_counted_for_the_operator() {
    let (stage, web) = http::stage(
        "pki/ca.pem",
        "[extensions.probe.broker]\npublish = [\"t/#\"]\ndisconnect = true\npermissions = true\n",
    );
    let gateway = stage.start();
    web.serve("the answer");
    for line in ["set a 12345", "get a", "keys a 7", "add n 1", "get-from web /x", "publish t/1 x"]
    {
        stage.done(&gateway, line);
    }
    stage.refused(&gateway, "publish elsewhere x", "NotGranted");
    stage.done(&gateway, "forbid nobody a/#");
    web.fail();
    assert!(stage.ask(&gateway, "get-from web /x").is_err());
    let undone = || gateway.counters().of_extension("probe", "orders_undone");
    let until = Instant::now() + PATIENCE;
    while undone() == 0 {
        assert!(Instant::now() < until, "nobody is called nobody:\n{}", gateway.log.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let counters = gateway.counters();
    for (name, expected) in [
        ("key_value_reads", 2),
        ("key_value_bytes_read", 5),
        ("key_value_writes", 2),
        ("key_value_bytes_written", 5),
        ("key_value_failures", 0),
        ("http_requests", 2),
        ("http_failures", 1),
        ("orders_taken", 2),
        ("orders_refused", 1),
        ("orders_undone", 1),
    ] {
        assert_eq!(counters.of_extension("probe", name), expected, "{name}");
    }
    assert!(counters.of_extension("probe", "http_us") > 0);
    let operator = Operator::of(&stage.site);
    let text = operator.says(&["metrics", "--prometheus"]);
    let line = "portcullis_extension_orders_undone{extension=\"probe\"} 1";
    assert!(text.contains(line), "{text}");
}

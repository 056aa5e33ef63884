//! Who is connected, and sending them away.

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, Operator, PATIENCE, Received, Site};
use serde_json::json;

use crate::text;

#[test]
fn clients_are_shown_page_by_page_and_sent_away() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    let ids = ["device/1", "device 2", "dévice-3"];
    let mut clients: Vec<_> = ids.iter().map(|id| gateway.client(id)).collect();
    for filter in ["demo/a", "demo/#"] {
        assert_eq!(clients[0].subscribe(filter, QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    }
    let mut away = gateway.options("away").persistent().connect();
    away.subscribe("demo/queue", QoS::AtLeastOnce);
    away.leave();
    clients[1].publish_and_wait("demo/queue", b"for later", false);
    assert_eq!(clients[0].message().payload, b"for later");

    let mut seen = Vec::new();
    let mut from = Some(0);
    while let Some(place) = from {
        let page = operator.asks(&["clients", "--limit", "3", "--from", &place.to_string()]);
        let shown = page["clients"].as_array().expect("a list");
        assert!(shown.len() <= 3, "{page}");
        seen.extend(shown.iter().map(|client| text(client, "client").to_owned()));
        from = page["next"].as_u64();
    }
    seen.sort();
    assert_eq!(seen, ["away", "device 2", "device/1", "dévice-3"]);

    let one = operator.asks(&["clients", "device/1"]);
    assert_eq!((text(&one, "principal"), text(&one, "listener")), ("demo", "tls"), "{one}");
    assert_eq!((&one["connected"], &one["subscriptions"]), (&json!(true), &json!(2)), "{one}");
    assert!(text(&one, "authenticated_by").starts_with("password@"), "{one}");
    assert!(text(&one, "permissions_by").starts_with("acl@"), "{one}");
    assert!(text(&one, "address").starts_with("127.0.0.1:"), "{one}");
    assert_eq!(
        one["subscription_list"],
        json!([{"filter": "demo/#", "qos": 1}, {"filter": "demo/a", "qos": 1}])
    );
    let absent = operator.asks(&["clients", "away"]);
    assert_eq!((&absent["connected"], &absent["queued"]), (&json!(false), &json!(1)), "{absent}");
    assert!(absent["offline_since_ms"].is_u64() && absent["address"].is_null(), "{absent}");
    let table = operator.says(&["clients"]);
    assert!(table.contains("PRINCIPAL") && table.contains("device/1"), "{table}");

    let mark = gateway.log.mark();
    let said = operator.says(&["disconnect", "device/1", "--code", "0x97", "--reason", "too loud"]);
    assert!(said.contains("0x97 (Quota exceeded)"), "{said}");
    assert_eq!(clients[0].receive(), Received::Disconnect(ReasonCode::QuotaExceeded));
    assert_eq!(clients[0].receive(), Received::Closed);
    let gone = gateway.log.wait(mark, PATIENCE, |event| event["message"] == "client disconnected");
    assert_eq!(gone.expect("it is logged")["why"], "too loud");
    let order = gateway.log.events(mark, "order of the operator");
    assert_eq!(order[0]["path"], "v1/clients/device/1/disconnect");
    assert!(operator.fails(&["disconnect", "device/1"]).contains("is not connected"));
    operator.says(&["disconnect", "device 2"]);
    assert_eq!(clients[1].receive(), Received::Disconnect(ReasonCode::AdministrativeAction));
    assert!(clients[2].pings(), "the others stay");
    gateway.assert_sound();
}

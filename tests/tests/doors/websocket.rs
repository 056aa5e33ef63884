//! WebSocket: what is no client is told so, and nobody else notices.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, MQTT, Offer, PATIENCE, Site, WebSocket, Wire, free_port};

struct Door {
    wss: u16,
    ws: u16,
}

/// Listeners `secure` and `open`.
fn configure(site: &Site) -> Door {
    let door = Door { wss: free_port(), ws: free_port() };
    site.configure(&format!(
        r#"[listeners.secure]
bind = "127.0.0.1:{}"
transport = "wss"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
path = "/broker"
origins = ["https://panel.example"]
connect-timeout = "5s"
chain = ["password", "acl"]
[listeners.open]
bind = "127.0.0.1:{}"
transport = "ws"
connect-timeout = "5s"
chain = ["password", "acl"]
"#,
        door.wss, door.ws
    ));
    door
}

fn tls(site: &Site, door: &Door) -> Wire {
    Wire::tls_for(b"http/1.1", door.wss, &site.ca(), None).expect("the gateway accepts connections")
}

#[test]
fn a_client_is_let_in_and_known_by_how_it_came() {
    let site = Site::new();
    let door = configure(&site);
    let gateway = Gateway::start_with(&site, 4);
    let offer = Offer { path: "/broker", more: "Origin: https://panel.example\r\n", ..MQTT };
    let socket = WebSocket::open(tls(&site, &door), offer).expect("it is opened");
    let mut web = gateway.options("web").connect_on(Wire::Web(Box::new(socket)));
    let mut plain = gateway.options("ws").connect_on(Wire::ws(door.ws).expect("it is opened"));
    web.subscribe("demo/#", QoS::AtMostOnce);
    plain.publish("demo/large", &[7; 200_000], QoS::AtMostOnce, false);
    assert_eq!(web.message().payload.len(), 200_000);
    let listeners: Vec<_> = gateway
        .events(0, "client accepted")
        .iter()
        .map(|event| event["listener"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(listeners, ["secure", "open"]);
}

#[test]
fn what_is_asked_for_wrongly_is_answered_by_http() {
    let site = Site::new();
    let door = configure(&site);
    let mut gateway = Gateway::start_with(&site, 4);
    let good = Offer { path: "/broker", ..MQTT };
    for (offer, status) in [
        (MQTT, "404"),
        (Offer { subprotocols: "mqttv3.1", ..good }, "400"),
        (Offer { more: "Origin: https://evil.example\r\n", ..good }, "403"),
        (Offer { more: "Origin: null\r\n", ..good }, "403"),
        (Offer { more: "Host: twice\r\n", ..good }, "400"),
        (Offer { more: &format!("Cookie: {}\r\n", "c".repeat(9000)), ..good }, "431"),
    ] {
        let answer = WebSocket::open(tls(&site, &door), offer).expect_err("it is refused");
        let answer = answer.to_string();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{offer:?}: {answer}");
    }
    // A plain MQTT client, a web browser's page load, and nonsense.
    for (sent, status) in [
        (&b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04user"[..], "400"),
        (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (b"\0\0\0\0\0\0", "400"),
    ] {
        let mut wire = Wire::plain(door.ws).expect("the gateway accepts connections");
        wire.write_all(sent).expect("it is read");
        let mut answer = String::new();
        wire.read_to_string(&mut answer).expect("an answer, and the end");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent:?}: {answer}");
        assert!(answer.contains("WebSocket"), "it says what is spoken: {answer}");
    }
    assert!(gateway.events(0, "connection turned away").len() >= 9);
    gateway.assert_sound();
}

#[test]
fn a_head_that_comes_slowly_ends_with_the_time_for_connecting() {
    let site = Site::new();
    let door = configure(&site);
    let mut gateway = Gateway::start_with(&site, 4);
    let mut wire = Wire::plain(door.ws).expect("the gateway accepts connections");
    let begin = Instant::now();
    let head = format!("GET /mqtt HTTP/1.1\r\nX: {}", "y".repeat(2000));
    let cut = head.bytes().position(|byte| {
        std::thread::sleep(Duration::from_millis(50));
        wire.write_all(&[byte]).is_err() || begin.elapsed() > PATIENCE
    });
    assert!(cut.is_some());
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(20), "{took:?}");
    gateway.assert_sound();
}

#[test]
fn frames_that_break_the_protocol_end_with_their_code() {
    let site = Site::new();
    let door = configure(&site);
    let mut gateway = Gateway::start_with(&site, 4);
    // Whoever keeps to it does not notice.
    let mut good = gateway.options("good").connect_on(Wire::ws(door.ws).expect("it is opened"));
    good.subscribe("demo/#", QoS::AtMostOnce);
    let huge = [&[0x82, 0xFF][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
    let cases: [(&str, &[u8], u16); 7] = [
        ("not masked", &[0x82, 0x02, 0xC0, 0x00], 1002),
        ("an enormous length", &huge, 1009),
        ("reserved bits", &[0xC2, 0x80, 0, 0, 0, 0], 1002),
        ("a fragmented ping", &[0x09, 0x80, 0, 0, 0, 0], 1002),
        ("text", &[0x81, 0x80, 0, 0, 0, 0], 1003),
        ("an unknown kind", &[0x8F, 0x80, 0, 0, 0, 0], 1002),
        ("garbage", &[0xFF; 3000], 1002),
    ];
    for (number, (what, bytes, code)) in cases.into_iter().enumerate() {
        for lets_in in [false, true] {
            let mut wire = Wire::ws(door.ws).expect("it is opened");
            if lets_in {
                wire = gateway.options(&format!("bad{number}")).connect_on(wire).into_wire();
            }
            let Wire::Web(mut socket) = wire else { unreachable!("a WebSocket is one") };
            socket.inner.write_all(bytes).expect("it is read");
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).expect("a goodbye");
            assert_eq!(socket.closed(), Some(code), "{what}, after CONNECT: {lets_in}");
        }
    }
    good.publish("demo/still", b"here", QoS::AtMostOnce, false);
    assert_eq!(good.message().payload, b"here");
    gateway.assert_sound();
}

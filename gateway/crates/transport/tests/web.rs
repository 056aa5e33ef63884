//! WebSocket over a real socket: what goes in comes out, and who breaks the protocol hears so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod frames;
mod site;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use frames::{BINARY, CLOSE, Frame, PING, PONG, TEXT, client_frame, fragment, next_frame, open};
use portcullis_transport::{
    ArrivalError, Bind, Connection, Kind, Listener, Settings, TransportKind, UpgradeError,
    WebSettings,
};
use site::{Site, network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const MUCH: usize = 8 * 1024 * 1024;

fn bind(kind: Kind) -> Listener {
    let web = WebSettings {
        path: "/mqtt".to_owned(),
        subprotocol: "mqtt".to_owned(),
        origins: vec!["https://panel.example".to_owned()],
    };
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    Listener::bind(&Settings {
        bind: Bind::Address(bind),
        kind,
        web: Some(web),
        proxies: Vec::new(),
        backlog: 128,
    })
    .unwrap()
}

fn serve_one(listener: Listener) -> JoinHandle<Result<Connection, ArrivalError>> {
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), incoming.establish()).await.unwrap()
    })
}

/// Both ends of an open WebSocket.
async fn pair() -> (TcpStream, Connection) {
    let listener = bind(Kind::Tcp);
    let address = network(&listener);
    let server = serve_one(listener);
    let mut client = TcpStream::connect(address).await.unwrap();
    open(&mut client, "/mqtt").await;
    (client, server.await.unwrap().unwrap())
}

#[tokio::test]
async fn much_arrives_whole_in_both_directions_at_once() {
    let (client, server) = pair().await;
    assert_eq!(server.peer.transport, TransportKind::WebSocket);
    let (mut from_server, mut to_server) = client.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(server.stream);
    let sent = tokio::spawn(async move {
        // Frames of all kinds of lengths, fragments and pings among them.
        let pattern = pattern(1);
        let (mut at, mut size) = (0, 0);
        while at < MUCH {
            let end = (at + size).min(MUCH);
            let middle = at + (end - at) / 3;
            to_server.write_all(&fragment(BINARY, false, &pattern[at..middle])).await.unwrap();
            to_server.write_all(&client_frame(PING, b"in between")).await.unwrap();
            to_server.write_all(&fragment(0, true, &pattern[middle..end])).await.unwrap();
            (at, size) = (end, (size * 3 + 1) % 200_000);
        }
        to_server
    });
    let answered = tokio::spawn(async move {
        to_client.write_all(&pattern(2)).await.unwrap();
        to_client.flush().await.unwrap();
        to_client
    });
    let received = tokio::spawn(async move {
        let (mut got, mut pongs) = (Vec::new(), 0);
        while got.len() < MUCH || pongs == 0 {
            match next_frame(&mut from_server).await {
                Frame { kind: PONG, payload } => {
                    assert_eq!(payload, b"in between");
                    pongs += 1;
                }
                Frame { payload, .. } => got.extend(payload),
            }
        }
        got
    });
    let mut got = vec![0; MUCH];
    from_client.read_exact(&mut got).await.unwrap();
    assert!(got == pattern(1));
    // Pings are answered while something is read.
    let reading = tokio::spawn(async move { from_client.read_u8().await });
    assert!(received.await.unwrap() == pattern(2));
    let to_server = sent.await.unwrap();
    drop((to_server, answered.await.unwrap()));
    assert!(reading.await.unwrap().is_err());
}

#[tokio::test]
async fn frames_may_come_one_byte_at_a_time_and_many_at_once() {
    let (mut client, mut server) = pair().await;
    let long = pattern(3)[..300].to_vec();
    let mut bytes = [client_frame(BINARY, b"ab"), client_frame(BINARY, b"")].concat();
    bytes.extend(client_frame(BINARY, &long));
    bytes.extend(client_frame(PONG, b"nobody asked"));
    bytes.extend(client_frame(BINARY, b"c"));
    for byte in &bytes {
        client.write_all(&[*byte]).await.unwrap();
    }
    let mut got = vec![0; 303];
    server.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [b"ab", &*long, b"c"].concat());
    client.write_all(&bytes).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 303 {
        server.stream.receive(7, |piece| got.extend_from_slice(piece)).await.unwrap();
    }
    assert_eq!(got, [b"ab", &*long, b"c"].concat());
}

#[tokio::test]
async fn a_write_of_many_pieces_is_one_frame() {
    let (mut client, mut server) = pair().await;
    for length in [1, 125, 126, 65_535, 65_536] {
        let pieces = [&pattern(4)[..length], b"x", b"", b"yz"];
        let slices = pieces.map(IoSlice::new);
        let written = server.stream.write_vectored(&slices).await.unwrap();
        server.stream.flush().await.unwrap();
        assert_eq!(written, length + 3, "a socket with room takes all");
        let Frame { kind, payload } = next_frame(&mut client).await;
        assert_eq!((kind, payload), (BINARY, pieces.concat()));
    }
}

#[tokio::test]
async fn a_goodbye_is_answered_by_both_sides() {
    // The client goes first.
    let (mut client, mut server) = pair().await;
    client.write_all(&client_frame(BINARY, b"last")).await.unwrap();
    client.write_all(&client_frame(CLOSE, &[0x03, 0xE9, b'b', b'y', b'e'])).await.unwrap();
    let mut got = Vec::new();
    server.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    assert_eq!(next_frame(&mut client).await, Frame { kind: CLOSE, payload: vec![0x03, 0xE9] });
    drop(server);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

    // The gateway goes first, and waits for the answer.
    let (mut client, mut server) = pair().await;
    server.stream.write_all(b"last").await.unwrap();
    server.stream.shutdown().await.unwrap();
    assert_eq!(next_frame(&mut client).await, Frame { kind: BINARY, payload: b"last".to_vec() });
    assert_eq!(next_frame(&mut client).await, Frame { kind: CLOSE, payload: vec![0x03, 0xE8] });
    client.write_all(&client_frame(BINARY, b"on its way")).await.unwrap();
    client.write_all(&client_frame(PING, b"too late")).await.unwrap();
    client.write_all(&client_frame(CLOSE, &[0x03, 0xE8])).await.unwrap();
    let mut got = Vec::new();
    server.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"on its way");
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "nothing follows a goodbye");
    assert!(server.stream.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn a_client_that_vanishes_reads_as_the_end() {
    let (mut client, mut server) = pair().await;
    client.write_all(&client_frame(BINARY, b"half a frame")[..9]).await.unwrap();
    drop(client);
    let mut got = Vec::new();
    server.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hal");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_with_its_code() {
    let huge = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    let unmasked = vec![0x82, 0x01, b'x'];
    for (what, bytes, code) in [
        ("text", client_frame(TEXT, b"hello"), 1003),
        ("not masked", unmasked, 1002),
        ("reserved bits", fragment(0x40 | BINARY, true, b"x"), 1002),
        ("an unknown kind", client_frame(0x3, b"x"), 1002),
        ("a fragmented ping", fragment(PING, false, b"x"), 1002),
        ("a long ping", client_frame(PING, &[0; 126]), 1002),
        ("a fragment of nothing", fragment(0, true, b"x"), 1002),
        ("a message in a message", fragment(BINARY, false, b"").repeat(2), 1002),
        ("a length of 2^63", huge(1 << 63), 1002),
        ("a length of an exabyte", huge(1 << 60), 1009),
        ("a long length for little", huge(9), 1002),
        ("a close code of nobody", client_frame(CLOSE, &[0x03, 0xEE]), 1002),
        ("half a close code", client_frame(CLOSE, &[0x03]), 1002),
    ] {
        let (mut client, mut server) = pair().await;
        client.write_all(&client_frame(BINARY, b"good")).await.unwrap();
        client.write_all(&bytes).await.unwrap();
        client.write_all(&[0xFF; 20_000]).await.unwrap();
        let mut got = Vec::new();
        let error = server.stream.read_to_end(&mut got).await.expect_err(what);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{what}");
        assert_eq!(got, b"good", "{what}");
        let expected = Frame { kind: CLOSE, payload: u16::to_be_bytes(code).to_vec() };
        assert_eq!(next_frame(&mut client).await, expected, "{what}");
    }
}

#[tokio::test]
async fn who_pings_and_never_reads_takes_no_memory() {
    let (mut client, mut server) = pair().await;
    let flood = client_frame(PING, &[7; 125]).repeat(1000);
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            client.write_all(&flood).await.unwrap();
        }
        client.write_all(&client_frame(BINARY, b"x")).await.unwrap();
        client
    });
    let mut got = [0; 4096];
    assert_eq!(server.stream.read(&mut got).await.unwrap(), 1);
    // The pong that had begun, and the latest.
    let mut client = sending.await.unwrap();
    let answered = tokio::spawn(async move {
        server.stream.write_all(b"after").await.unwrap();
        server.stream.flush().await.unwrap();
        server
    });
    loop {
        let Frame { kind, payload } = next_frame(&mut client).await;
        match kind {
            PONG => assert_eq!(payload, [7; 125]),
            _ => break assert_eq!(payload, b"after"),
        }
    }
    answered.await.unwrap();
}

#[tokio::test]
async fn a_request_for_something_else_is_answered_and_refused() {
    for (request, status, cause) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found", "path"),
        ("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "426 Upgrade Required", "no-upgrade"),
        ("\u{10}\u{e}\0\u{4}MQTT", "400 Bad Request", "not-http"),
        ("GARBAGE", "400 Bad Request", "not-http"),
    ] {
        let listener = bind(Kind::Tcp);
        let address = network(&listener);
        let server = serve_one(listener);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        if cause == "not-http" {
            client.write_all(b"\r\n\r\n").await.unwrap();
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        drop(client);
        assert_eq!(server.await.unwrap().unwrap_err().label(), cause);
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_at_its_limit() {
    let listener = bind(Kind::Tcp);
    let address = network(&listener);
    let server = serve_one(listener);
    let mut client = TcpStream::connect(address).await.unwrap();
    let line = format!("X-Y: {}\r\n", "z".repeat(1000));
    client.write_all(b"GET /mqtt HTTP/1.1\r\n").await.unwrap();
    for _ in 0..9 {
        client.write_all(line.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    drop(client);
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, ArrivalError::Upgrade(UpgradeError::TooLarge)), "{error}");
}

#[tokio::test]
async fn tls_lies_beneath_it_and_its_facts_are_kept() {
    let site = Site::new();
    let alpn = vec![b"http/1.1".to_vec()];
    let mut settings = site.settings();
    settings.alpn.clone_from(&alpn);
    let listener = bind(Kind::Tls(settings));
    let address = network(&listener);
    let server = serve_one(listener);
    let mut client = site::Client { alpn, ..site.client() }.connect(address).await.unwrap();
    open(&mut client, "/mqtt").await;
    let mut server = server.await.unwrap().unwrap();
    assert_eq!(server.peer.transport.as_str(), "websocket");
    assert_eq!(server.peer.tls_version, Some("1.3"));
    assert_eq!(server.peer.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(server.peer.server_name.as_deref(), Some("localhost"));
    let payload = pattern(5)[..200_000].to_vec();
    let sent = client_frame(BINARY, &payload);
    let sending = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        client
    });
    let mut got = vec![0; payload.len()];
    server.stream.read_exact(&mut got).await.unwrap();
    assert!(got == payload);
    let mut client = sending.await.unwrap();
    let answering = tokio::spawn(async move {
        server.stream.write_all(&got).await.unwrap();
        server.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        server.stream.read_to_end(&mut rest).await.unwrap();
    });
    let Frame { kind, payload: answer } = next_frame(&mut client).await;
    assert!(kind == BINARY && answer == payload);
    assert_eq!(next_frame(&mut client).await.kind, CLOSE);
    client.write_all(&client_frame(CLOSE, &[0x03, 0xE8])).await.unwrap();
    client.flush().await.unwrap();
    answering.await.unwrap();
    // With the closing alert of TLS, or this would be an error.
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

fn pattern(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..MUCH).map(|_| next()).collect()
}

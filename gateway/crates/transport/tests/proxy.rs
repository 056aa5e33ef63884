//! The PROXY protocol over a real socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_transport::{ArrivalError, Bind, Connection, Kind, Listener, Network, Settings};
use site::{Site, network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn bind(kind: Kind, proxy: &str) -> Listener {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxies = vec![Network::new(proxy.parse().unwrap(), 32).unwrap()];
    Listener::bind(&Settings { bind: Bind::Address(bind), kind, web: None, proxies, backlog: 128 })
        .unwrap()
}

fn serve_one(listener: Listener) -> JoinHandle<Result<Connection, ArrivalError>> {
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), incoming.establish()).await.unwrap()
    })
}

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
}

fn v4() -> Vec<u8> {
    [&[198, 51, 100, 7, 192, 0, 2, 1][..], &51_234_u16.to_be_bytes(), &8883_u16.to_be_bytes()]
        .concat()
}

#[tokio::test]
async fn the_client_is_who_the_proxy_says() {
    let v6: [u8; 36] = {
        let mut bytes = [0; 36];
        bytes[..2].copy_from_slice(&[0x20, 0x01]);
        bytes[15] = 7;
        bytes[31] = 1;
        bytes[32..].copy_from_slice(&[0xC8, 0x22, 0x22, 0xB3]);
        bytes
    };
    let extended = [&v4()[..], &[0x01, 0, 4], b"mqtt", &[0xEA, 0, 0]].concat();
    for (bytes, expected) in [
        (header(1, 0x11, &v4()), Some(("198.51.100.7:51234", "192.0.2.1:8883"))),
        (header(1, 0x11, &extended), Some(("198.51.100.7:51234", "192.0.2.1:8883"))),
        (header(1, 0x21, &v6), Some(("[2001::7]:51234", "[::1]:8883"))),
        (header(0, 0x11, &v4()), None),
        (header(0, 0x00, &[]), None),
        (header(1, 0x00, &[]), None),
    ] {
        let listener = bind(Kind::Tcp, "127.0.0.1");
        let reached = network(&listener);
        let server = serve_one(listener);
        let mut client = TcpStream::connect(reached).await.unwrap();
        // In two pieces, and with the first bytes behind it.
        let (first, second) = bytes.split_at(7);
        client.write_all(first).await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(&[second, b"behind"].concat()).await.unwrap();
        let mut server = server.await.unwrap().unwrap();
        let own = (client.local_addr().unwrap(), reached);
        let expected: (SocketAddr, SocketAddr) =
            expected.map_or(own, |(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
        let got = (server.peer.address, server.peer.local);
        assert_eq!(got, (expected.0.into(), expected.1.into()), "{bytes:?}");
        let mut got = [0; 6];
        server.stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"behind");
    }
}

#[tokio::test]
async fn tls_comes_behind_the_header() {
    let site = Site::new();
    let listener = bind(Kind::Tls(site.settings()), "127.0.0.1");
    let address = network(&listener);
    let server = serve_one(listener);
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let in_front = proxy.local_addr().unwrap();
    let passing = tokio::spawn(async move {
        let (mut client, _) = proxy.accept().await.unwrap();
        let mut gateway = TcpStream::connect(address).await.unwrap();
        gateway.write_all(&header(1, 0x11, &v4())).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut gateway).await
    });
    let client = site.client().connect(in_front).await.unwrap();
    let server = server.await.unwrap().unwrap();
    assert_eq!(server.peer.address.to_string(), "198.51.100.7:51234");
    assert_eq!(server.peer.tls_version, Some("1.3"));
    drop((client, server));
    // However it ends.
    let _ = passing.await.unwrap();
}

#[tokio::test]
async fn what_is_no_header_is_refused_before_anything_else() {
    let over = [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat();
    for (bytes, label) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], "proxy-header-missing"),
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 51234 8883\r\n", "proxy-header-missing"),
        (&SIGNATURE[..11], "closed"),
        (&over, "proxy-too-long"),
        (&header(1, 0x11, &v4()[..11]), "proxy-truncated"),
        (&header(1, 0x12, &v4()), "proxy-family"),
        (&header(2, 0x11, &v4()), "proxy-command"),
        (&header(1, 0x11, &[&v4()[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat()), "proxy-checksum"),
    ] {
        let listener = bind(Kind::Tcp, "127.0.0.1");
        let address = network(&listener);
        let server = serve_one(listener);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(bytes).await.unwrap();
        if label == "closed" {
            client.shutdown().await.unwrap();
        }
        let error = server.await.unwrap().expect_err(label);
        assert_eq!(error.label(), label, "{error}");
    }
}

#[tokio::test]
async fn others_are_who_they_are_and_a_header_from_them_is_refused() {
    let listener = bind(Kind::Tcp, "127.9.9.9");
    let address = network(&listener);
    let server = serve_one(listener);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"\x10").await.unwrap();
    let server = server.await.unwrap().unwrap();
    assert_eq!(server.peer.address, client.local_addr().unwrap());

    let listener = bind(Kind::Tcp, "127.9.9.9");
    let address = network(&listener);
    let server = serve_one(listener);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&header(1, 0x11, &v4())).await.unwrap();
    assert_eq!(server.await.unwrap().expect_err("it is refused").label(), "proxy-not-listed");
}

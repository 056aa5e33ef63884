//! QUIC: handshakes, the stream, another address of the client, Retry, and the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_transport::pki::{self, Reason};
use portcullis_transport::{
    Address, ClientAuth, Congestion, Connection, HandshakeError, Kind, QuicSettings, SideStream,
    SideStreams, TlsSettings, TransportKind,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, ReadError, ReadToEndError, VarInt};
use site::{Client, Site, bind, serve_one};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

fn settings(tls: TlsSettings) -> QuicSettings {
    QuicSettings {
        tls,
        idle_timeout: Some(Duration::from_secs(30)),
        congestion: Congestion::Cubic,
        receive_window: 256 << 10,
        send_window: 256 << 10,
        retry_from: 64,
        handshakes_max: 1024,
        streams_max: 1,
    }
}

fn endpoint() -> Endpoint {
    Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

fn config(client: &Client) -> quinn::ClientConfig {
    let client = Client { alpn: vec![b"mqtt".to_vec()], ..client.clone() };
    config_as_is(&client)
}

fn config_as_is(client: &Client) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client.config()).unwrap()))
}

async fn connect(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    address: SocketAddr,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
    timeout(SOON, connecting).await.unwrap()
}

/// Both ends of an established connection.
struct Pair {
    endpoint: Endpoint,
    connection: quinn::Connection,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    server: Connection,
}

async fn pair(quic: QuicSettings, client: &Client) -> Pair {
    let listener = bind(Kind::Quic(quic));
    let address = site::network(&listener);
    let server = serve_one(listener);
    let endpoint = endpoint();
    let connection = connect(&endpoint, config(client), address).await.unwrap();
    let (mut send, receive) = connection.open_bi().await.unwrap();
    // A stream is known to the peer once there is something on it.
    send.write_all(b"first").await.unwrap();
    let mut server = server.await.unwrap().unwrap();
    let mut first = [0; 5];
    server.stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first");
    Pair { endpoint, connection, send, receive, server }
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_peer_is_known() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    let peer = &pair.server.peer;
    assert_eq!(peer.transport, TransportKind::Quic);
    let Address::Network(address) = peer.address else { unreachable!("it came by UDP") };
    assert_eq!(address.port(), pair.endpoint.local_addr().unwrap().port());
    assert_eq!(
        (peer.server_name.as_deref(), peer.alpn.as_deref()),
        (Some("localhost"), Some("mqtt"))
    );
    assert_eq!((peer.tls_version, peer.leaf.is_some()), (Some("1.3"), false));
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let expected = large.clone();
    let echo = async {
        let (mut read, mut write) = tokio::io::split(&mut pair.server.stream);
        let mut buffer = vec![0; large.len()];
        read.read_exact(&mut buffer).await.unwrap();
        write.write_all(&buffer).await.unwrap();
    };
    let ask = async {
        pair.send.write_all(&large).await.unwrap();
        let mut answer = vec![0; large.len()];
        pair.receive.read_exact(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = timeout(SOON * 3, async { tokio::join!(echo, ask) }).await.unwrap();
    assert!(answer == expected, "the bytes come back as they went");
}

/// The next stream that the client has opened beside the first.
async fn accept(sides: &mut SideStreams) -> SideStream {
    timeout(SOON, std::future::poll_fn(|context| sides.poll_accept(context)))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn streams_beside_the_first_are_had_by_whoever_asks_for_them() {
    let site = Site::new();
    let quic = QuicSettings { streams_max: 3, ..settings(site.settings()) };
    let mut pair = pair(quic, &site.client()).await;
    let mut sides = pair.server.stream.take_sides().unwrap();
    assert!(pair.server.stream.take_sides().is_none(), "once");
    let (mut send, mut receive) = pair.connection.open_bi().await.unwrap();
    send.write_all(b"both").await.unwrap();
    let mut both = accept(&mut sides).await;
    assert!(!both.is_one_way());
    let mut bytes = [0; 4];
    both.read_exact(&mut bytes).await.unwrap();
    both.write_all(&bytes).await.unwrap();
    both.finish();
    drop(both);
    assert_eq!(receive.read_to_end(10).await.unwrap(), b"both", "what was finished arrives");
    let mut one_way = pair.connection.open_uni().await.unwrap();
    one_way.write_all(b"mine").await.unwrap();
    one_way.finish().unwrap();
    let mut mine = accept(&mut sides).await;
    assert!(mine.is_one_way() && mine.write_all(b"x").await.is_err());
    let mut all = Vec::new();
    mine.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"mine");
    let (mut send, mut receive) = pair.connection.open_bi().await.unwrap();
    send.write_all(b"x").await.unwrap();
    drop(accept(&mut sides).await);
    let ended = timeout(SOON, receive.read_to_end(10)).await.unwrap();
    assert!(matches!(ended, Err(ReadToEndError::Read(ReadError::Reset(_)))), "{ended:?}");
}

/// Bytes that a client may send ahead on all streams: those of one until somebody wants the streams.
#[tokio::test]
async fn what_a_stranger_may_send_ahead_does_not_grow_with_its_streams() {
    const WINDOW: u32 = 16 << 10;
    let site = Site::new();
    let quic = QuicSettings { streams_max: 3, receive_window: WINDOW, ..settings(site.settings()) };
    let mut pair = pair(quic, &site.client()).await;
    let (mut one, _) = pair.connection.open_bi().await.unwrap();
    let (mut two, _) = pair.connection.open_bi().await.unwrap();
    let window = vec![0; WINDOW as usize];
    let wait = Duration::from_millis(200);
    one.write_all(&window[..1000]).await.unwrap();
    assert!(timeout(wait, two.write_all(&window)).await.is_err(), "all have the window of one");
    let _sides = pair.server.stream.take_sides().unwrap();
    timeout(SOON, one.write_all(&window[1000..])).await.unwrap().unwrap();
    assert!(timeout(wait, one.write_all(b"more")).await.is_err(), "and then each has its own");
}

#[tokio::test]
async fn where_there_is_one_stream_there_are_no_others_to_be_had() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    assert!(pair.server.stream.take_sides().is_none());
    let wait = Duration::from_millis(200);
    assert!(timeout(wait, pair.connection.open_bi()).await.is_err());
    assert!(timeout(wait, pair.connection.open_uni()).await.is_err());
}

#[tokio::test]
async fn a_client_certificate_is_verified_and_read() {
    let site = Site::new();
    let quic = settings(site.asking_for_certificates(ClientAuth::Required));
    let client = site.client_with_certificate("pump-7", SystemTime::now());
    let pair = pair(quic, &client).await;
    let leaf = pair.server.peer.leaf.as_ref().expect("its certificate");
    assert_eq!(leaf.common_name.as_deref(), Some("pump-7"));
    assert!(!pair.server.peer.certificates.is_empty());
}

#[tokio::test]
async fn without_a_certificate_a_client_is_refused_where_one_is_required() {
    let site = Site::new();
    let listener = bind(Kind::Quic(settings(site.asking_for_certificates(ClientAuth::Required))));
    let address = site::network(&listener);
    let server = serve_one(listener);
    let endpoint = endpoint();
    // To the client the handshake is over before the server has looked at it (RFC 8446, 4.4.2).
    if let Ok(connection) = connect(&endpoint, config(&site.client()), address).await {
        let ended = timeout(SOON, connection.closed()).await.unwrap();
        assert!(matches!(ended, quinn::ConnectionError::ConnectionClosed(_)), "{ended:?}");
    }
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::NoClientCertificate), "{error:?}");
}

#[tokio::test]
async fn certificates_of_strangers_and_other_protocols_are_refused() {
    let (site, other) = (Site::new(), Site::new());
    let quic = settings(site.asking_for_certificates(ClientAuth::Required));
    let stranger = Client {
        ca: site.pki.ca_cert.clone(),
        ..other.client_with_certificate("stranger", SystemTime::now())
    };
    let expired = site.client_with_certificate(
        "late",
        SystemTime::now() - Duration::from_secs(20 * 366 * 86_400),
    );
    for (client, label) in [(stranger, "client-certificate"), (expired, "client-certificate")] {
        let listener = bind(Kind::Quic(quic.clone()));
        let address = site::network(&listener);
        let server = serve_one(listener);
        let endpoint = endpoint();
        let connection = connect(&endpoint, config(&client), address).await;
        let error = server.await.unwrap().unwrap_err();
        assert_eq!(error.label(), label, "{error}");
        drop(connection);
    }
    let listener = bind(Kind::Quic(settings(site.settings())));
    let address = site::network(&listener);
    let server = serve_one(listener);
    let endpoint = endpoint();
    let client = Client { alpn: vec![b"h3".to_vec()], ..site.client() };
    let refused = connect(&endpoint, config_as_is(&client), address).await;
    assert!(refused.is_err());
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::NoCommonProtocol), "{error:?}");
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_says_so() {
    let (site, other) = (Site::new(), Site::new());
    let listener = bind(Kind::Quic(settings(site.settings())));
    let address = site::network(&listener);
    let server = serve_one(listener);
    let endpoint = endpoint();
    assert!(connect(&endpoint, config(&other.client()), address).await.is_err());
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::RefusedByPeer(_)), "{error:?}");
}

#[tokio::test]
async fn the_connection_goes_on_at_another_address_of_the_client() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    for round in 0..5_u8 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        pair.endpoint.rebind(socket).unwrap();
        let bytes = [round; 40_000];
        pair.send.write_all(&bytes).await.unwrap();
        let mut there = [0; 40_000];
        timeout(SOON, pair.server.stream.read_exact(&mut there)).await.unwrap().unwrap();
        assert_eq!(there, bytes);
        pair.server.stream.write_all(&bytes).await.unwrap();
        let mut back = [0; 40_000];
        timeout(SOON, pair.receive.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(back, bytes);
    }
    assert!(pair.connection.close_reason().is_none());
}

#[tokio::test]
async fn under_load_a_client_has_to_show_its_address_first_and_beyond_that_is_refused() {
    let site = Site::new();
    let listener = bind(Kind::Quic(QuicSettings { retry_from: 0, ..settings(site.settings()) }));
    let address = site::network(&listener);
    let server = serve_one(listener);
    let endpoint = endpoint();
    let connection = connect(&endpoint, config(&site.client()), address).await.unwrap();
    connection.open_bi().await.unwrap().0.write_all(b"x").await.unwrap();
    server.await.unwrap().expect("let in after a Retry");

    let full = QuicSettings { handshakes_max: 0, ..settings(site.settings()) };
    let listener = bind(Kind::Quic(full));
    let address = site::network(&listener);
    let waiting = tokio::spawn(async move { listener.accept().await });
    let refused = connect(&endpoint, config(&site.client()), address).await;
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    waiting.abort();
}

#[tokio::test]
async fn what_was_written_last_arrives_before_the_connection_ends() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    let mut server = pair.server;
    let last = vec![7; 100_000];
    let end = tokio::spawn(async move {
        server.stream.write_all(&last).await.unwrap();
        server.stream.shutdown().await.unwrap();
    });
    let all = timeout(SOON, pair.receive.read_to_end(1 << 20)).await.unwrap().unwrap();
    assert_eq!(all.len(), 100_000);
    timeout(SOON, end).await.unwrap().unwrap();
    let ended = timeout(SOON, pair.connection.closed()).await.unwrap();
    let code = match ended {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code, VarInt::from_u32(0));
}

#[tokio::test]
async fn the_end_of_the_peers_direction_is_the_end_of_the_stream() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    pair.send.write_all(b"bye").await.unwrap();
    pair.send.finish().unwrap();
    let mut rest = Vec::new();
    timeout(SOON, pair.server.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"bye");
}

#[tokio::test]
async fn a_connection_that_is_given_up_is_an_error() {
    let site = Site::new();
    let mut pair = pair(settings(site.settings()), &site.client()).await;
    pair.connection.close(VarInt::from_u32(1), b"gone");
    let mut rest = Vec::new();
    let read = timeout(SOON, pair.server.stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_peer_that_sends_no_stream_is_not_established() {
    let site = Site::new();
    let listener = bind(Kind::Quic(settings(site.settings())));
    let address = site::network(&listener);
    let mut server = serve_one(listener);
    let endpoint = endpoint();
    let connection = connect(&endpoint, config(&site.client()), address).await.unwrap();
    assert!(timeout(Duration::from_millis(200), &mut server).await.is_err(), "it waits");
    connection.close(VarInt::from_u32(0), b"");
    let error = timeout(SOON, server).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::Closed), "{error:?}");
}

#[tokio::test]
async fn what_is_trusted_and_presented_changes_while_it_listens() {
    let (site, now) = (Site::new(), SystemTime::now());
    let authority = pki::Site::at(site.dir.path());
    authority.crl(pki::CRL_VALIDITY, now).unwrap();
    let clients = ["pump", "valve"].map(|name| config(&site.client_with_certificate(name, now)));
    let listener = bind(Kind::Quic(settings(TlsSettings {
        client_crls: vec![site.dir.path().join("crl.pem")],
        ..site.asking_for_certificates(ClientAuth::Required)
    })));
    let (address, credentials) = (site::network(&listener), listener.credentials().unwrap());
    let served = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for _ in 0..4 {
            let established = listener.accept().await.unwrap().establish().await;
            outcomes.push(established.map(|served| served.peer.leaf.unwrap().common_name));
        }
        outcomes
    });
    let endpoint = endpoint();
    // The gateway drops each connection as soon as it knows whose it is.
    let knock = async |client: &quinn::ClientConfig| {
        let Ok(connection) = connect(&endpoint, client.clone(), address).await else { return };
        if let Ok((mut send, _)) = connection.open_bi().await {
            let _ = send.write_all(b"first").await;
        }
        timeout(SOON, connection.closed()).await.unwrap();
    };
    knock(&clients[0]).await;
    knock(&clients[1]).await;
    let file = site.dir.path().join("pump.pem");
    authority.revoke(&file.to_string_lossy(), Reason::KeyCompromise, now).unwrap();
    assert_eq!(credentials.reload().unwrap().newly_revoked.len(), 1);
    knock(&clients[0]).await;
    knock(&clients[1]).await;
    let outcomes = served.await.unwrap();
    let named = |at: usize| outcomes[at].as_ref().unwrap().as_deref();
    assert_eq!((named(0), named(1), named(3)), (Some("pump"), Some("valve"), Some("valve")));
    let error = outcomes[2].as_ref().unwrap_err().to_string();
    assert!(error.contains("has been revoked"), "{error}");
}

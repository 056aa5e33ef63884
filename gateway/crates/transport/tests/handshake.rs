//! Who gets in, and what is then known of them: real handshakes over loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_transport::{
    ClientAuth, HandshakeError, Kind, TlsSettings, TlsVersion, TransportKind,
};
use site::{Client, Site, bind, connect, network, pair, serve_one};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_tcp_peer_is_known_by_its_addresses() {
    let listener = bind(Kind::Tcp);
    let address = network(&listener);
    assert!(listener.certificate().is_none());
    let server = serve_one(listener);
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut connection = server.await.unwrap().unwrap();

    assert_eq!(connection.peer.address, client.local_addr().unwrap());
    assert_eq!(connection.peer.local, address);
    assert_eq!(connection.peer.transport, TransportKind::Tcp);
    assert_eq!(connection.peer.tls_version, None);

    client.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    connection.stream.read_exact(&mut got).await.unwrap();
    connection.stream.write_all(b"pong").await.unwrap();
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"pong");
}

#[tokio::test]
async fn tls_1_3_tells_name_version_and_protocol() {
    let site = Site::new();
    let client = Client { alpn: vec![b"mqtt".to_vec()], ..site.client() };
    let (mut client, mut server) = pair(site.settings(), &client).await;

    assert_eq!(server.peer.transport, TransportKind::Tls);
    assert_eq!(server.peer.tls_version, Some("1.3"));
    assert_eq!(server.peer.server_name.as_deref(), Some("localhost"));
    assert_eq!(server.peer.alpn.as_deref(), Some("mqtt"));
    assert!(server.peer.certificates.is_empty() && server.peer.leaf.is_none());

    client.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    server.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
    server.stream.write_all(b"pong").await.unwrap();
    server.stream.flush().await.unwrap();
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"pong");
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_allowed() {
    let site = Site::new();
    let old = Client { v1_2: true, ..site.client() };

    let allowing = TlsSettings { min_version: TlsVersion::V1_2, ..site.settings() };
    let (mut client, mut server) = pair(allowing.clone(), &old).await;
    assert_eq!(server.peer.tls_version, Some("1.2"));
    assert_eq!(server.peer.server_name.as_deref(), Some("localhost"));
    client.write_all(b"old").await.unwrap();
    let mut got = [0; 3];
    server.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"old");

    let (_, server) = pair(allowing, &site.client()).await;
    assert_eq!(server.peer.tls_version, Some("1.3"));

    let (told, error) = refused(site.settings(), &old).await;
    assert!(matches!(error, HandshakeError::Incompatible(_)), "{error}");
    assert!(told.contains("ProtocolVersion"), "{told}");
}

#[tokio::test]
async fn application_protocols_are_ours_or_none() {
    let site = Site::new();
    let (_, server) = pair(site.settings(), &site.client()).await;
    assert_eq!(server.peer.alpn, None);

    let offers = vec![b"http/1.1".to_vec(), b"mqtt".to_vec()];
    let (_, server) = pair(site.settings(), &Client { alpn: offers, ..site.client() }).await;
    assert_eq!(server.peer.alpn.as_deref(), Some("mqtt"));

    let foreign = Client { alpn: vec![b"h2".to_vec()], ..site.client() };
    let (told, error) = refused(site.settings(), &foreign).await;
    assert!(matches!(error, HandshakeError::NoCommonProtocol), "{error}");
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}

#[tokio::test]
async fn a_client_certificate_identifies() {
    let site = Site::new();
    let client = site.client_with_certificate("pump-7", SystemTime::now());
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        for v1_2 in [false, true] {
            let settings =
                TlsSettings { min_version: TlsVersion::V1_2, ..site.asking_for_certificates(auth) };
            let (_, server) = pair(settings, &Client { v1_2, ..client.clone() }).await;
            let leaf = server.peer.leaf.unwrap();
            assert_eq!(leaf.common_name.as_deref(), Some("pump-7"));
            assert_eq!(leaf.subject, "CN=pump-7");
            assert!(leaf.issuer.starts_with("CN=Portcullis private CA "), "{}", leaf.issuer);
            assert_eq!(leaf.sha256.len(), 64);
            assert_eq!(server.peer.certificates.len(), 2, "leaf and authority");
        }
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_let_in_only_where_optional() {
    let site = Site::new();
    let optional = site.asking_for_certificates(ClientAuth::Optional);
    let (_, server) = pair(optional, &site.client()).await;
    assert!(server.peer.leaf.is_none());

    let required = site.asking_for_certificates(ClientAuth::Required);
    let (told, error) = refused(required, &site.client()).await;
    assert!(matches!(error, HandshakeError::NoClientCertificate), "{error}");
    assert!(told.contains("CertificateRequired"), "{told}");
}

#[tokio::test]
async fn a_bad_client_certificate_is_refused_even_where_optional() {
    let site = Site::new();
    let elsewhere = Site::new();
    let foreign = Client {
        ca: site.pki.ca_cert.clone(),
        ..elsewhere.client_with_certificate("intruder", SystemTime::now())
    };
    let years_ago = SystemTime::now() - Duration::from_secs(5 * 365 * 86_400);
    let expired = site.client_with_certificate("old-pump", years_ago);
    let server_side = Client {
        identity: Some((site.pki.server_cert.clone(), site.pki.server_key.clone())),
        ..site.client()
    };
    let cases = [
        (foreign, "not known here", "UnknownCA"),
        (expired, "expired", "CertificateExpired"),
        (server_side, "client authentication", ""),
    ];
    for (client, reason, alert) in cases {
        for auth in [ClientAuth::Optional, ClientAuth::Required] {
            let (told, error) = refused(site.asking_for_certificates(auth), &client).await;
            let HandshakeError::ClientCertificate(said) = &error else { panic!("{error}") };
            assert!(said.contains(reason), "{said}");
            assert!(told.contains(alert), "{told}");
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_and_still_identified() {
    let site = Site::new();
    for v1_2 in [false, true] {
        let name = if v1_2 { "resuming-12" } else { "resuming-13" };
        let client = site.client_with_certificate(name, SystemTime::now());
        let config = Arc::new(Client { v1_2, ..client }.config());
        let settings = TlsSettings {
            min_version: TlsVersion::V1_2,
            ..site.asking_for_certificates(ClientAuth::Required)
        };
        let listener = bind(Kind::Tls(settings));
        let address = network(&listener);
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let mut got = listener.accept().await.unwrap().establish().await.unwrap();
                assert_eq!(got.peer.leaf.unwrap().common_name.as_deref(), Some(name));
                assert_eq!(got.peer.server_name.as_deref(), Some("localhost"));
                got.stream.write_all(b"hello").await.unwrap();
                got.stream.shutdown().await.unwrap();
            }
        });
        for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let mut client = connect(&config, address).await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"hello");
            assert_eq!(client.get_ref().1.handshake_kind(), Some(expected));
        }
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_silent_peer_does_not_hold_up_the_next() {
    let site = Site::new();
    let listener = bind(Kind::Tls(site.settings()));
    let address = network(&listener);
    let _silent = TcpStream::connect(address).await.unwrap();
    let first = listener.accept().await.unwrap();
    let waiting = tokio::spawn(first.establish());
    let server = serve_one(listener);
    site.client().connect(address).await.unwrap();
    server.await.unwrap().unwrap();
    assert!(!waiting.is_finished());
}

#[tokio::test]
async fn what_is_not_tls_is_refused_with_an_alert() {
    let site = Site::new();
    let long = [0x41; 70_000];
    // A plain CONNECT, an HTTP request, noise, and a record type that does not exist.
    let cases: [&[u8]; 4] = [
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &long,
        b"\x99\x03\x03\x00\x01\x00",
    ];
    for bytes in cases {
        let listener = bind(Kind::Tls(site.settings()));
        let mut client = TcpStream::connect(network(&listener)).await.unwrap();
        let server = serve_one(listener);
        client.write_all(bytes).await.unwrap();
        let error = server.await.unwrap().unwrap_err();
        assert!(matches!(error, HandshakeError::NotTls), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_cut_short_or_endless_is_an_error() {
    let site = Site::new();
    let listener = bind(Kind::Tls(site.settings()));
    let client = TcpStream::connect(network(&listener)).await.unwrap();
    let server = serve_one(listener);
    drop(client);
    assert!(matches!(server.await.unwrap().unwrap_err(), HandshakeError::Closed));

    // A ClientHello that announces 16 MB and trickles in, 16 KiB a record.
    let listener = bind(Kind::Tls(site.settings()));
    let mut client = TcpStream::connect(network(&listener)).await.unwrap();
    let server = serve_one(listener);
    let mut record = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    for _ in 0..8 {
        if client.write_all(&record).await.is_err() {
            break;
        }
        record[5..9].fill(0);
    }
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::TooLarge | HandshakeError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_named_as_such() {
    let site = Site::new();
    let elsewhere = Site::new();
    let distrusting = Client { ca: elsewhere.pki.ca_cert.clone(), ..site.client() };
    let listener = bind(Kind::Tls(site.settings()));
    let address = network(&listener);
    let server = serve_one(listener);
    distrusting.connect(address).await.unwrap_err();
    let error = server.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::RefusedByPeer(_)), "{error}");
}

/// What the client is told, and what we say.
async fn refused(settings: TlsSettings, client: &Client) -> (String, HandshakeError) {
    let listener = bind(Kind::Tls(settings));
    let address = network(&listener);
    let server = serve_one(listener);
    let told = match client.connect(address).await {
        Err(error) => error.to_string(),
        // In TLS 1.3 a client is done before the server has seen its certificate.
        Ok(mut stream) => stream.read_u8().await.unwrap_err().to_string(),
    };
    (told, server.await.unwrap().unwrap_err())
}

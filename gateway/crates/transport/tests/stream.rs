//! What a stream does with the bytes, whatever the pieces they come in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::io::IoSlice;
use std::time::Duration;

use portcullis_transport::{Connection, Kind, TlsSettings, TlsVersion};
use site::{Client, Site, bind, network, pair, serve_one};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MUCH: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn much_arrives_whole_in_both_directions_at_once() {
    let site = Site::new();
    for v1_2 in [false, true] {
        let settings = TlsSettings { min_version: TlsVersion::V1_2, ..site.settings() };
        let (client, server) = pair(settings, &Client { v1_2, ..site.client() }).await;
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let (mut from_client, mut to_client) = tokio::io::split(server.stream);
        let sent = tokio::spawn(async move {
            to_server.write_all(&pattern(1)).await.unwrap();
            to_server.flush().await.unwrap();
        });
        let answered = tokio::spawn(async move {
            to_client.write_all(&pattern(2)).await.unwrap();
            to_client.flush().await.unwrap();
        });
        let received = tokio::spawn(async move {
            let mut got = vec![0; MUCH];
            from_server.read_exact(&mut got).await.unwrap();
            got
        });
        let mut got = vec![0; MUCH];
        from_client.read_exact(&mut got).await.unwrap();
        assert!(got == pattern(1));
        assert!(received.await.unwrap() == pattern(2));
        sent.await.unwrap();
        answered.await.unwrap();
    }
}

#[tokio::test]
async fn receive_and_small_reads_see_the_same_bytes() {
    let site = Site::new();
    for size in [1, 7, 100, 4096, 16_384, 200_000] {
        let (mut client, mut server) = pair(site.settings(), &site.client()).await;
        let sent = tokio::spawn(async move {
            client.write_all(&pattern(3)[..200_000]).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut got = Vec::new();
        let mut buffer = vec![0; size];
        // Alternating, since each keeps what the other must find.
        loop {
            let read = server.stream.read(&mut buffer).await.unwrap();
            got.extend_from_slice(&buffer[..read]);
            let received =
                server.stream.receive(size, |bytes| got.extend_from_slice(bytes)).await.unwrap();
            if read == 0 && received == 0 {
                break;
            }
        }
        assert!(got == pattern(3)[..200_000], "with reads of {size}");
        sent.await.unwrap();
    }
}

#[tokio::test]
async fn records_may_come_one_byte_at_a_time() {
    let site = Site::new();
    let listener = bind(Kind::Tls(site.settings()));
    let proxy = dribbling_proxy(network(&listener)).await;
    let server = serve_one(listener);
    let mut client = site.client().connect(proxy).await.unwrap();
    let mut server = server.await.unwrap().unwrap();
    client.write_all(&pattern(4)[..3000]).await.unwrap();
    client.flush().await.unwrap();
    let mut got = vec![0; 3000];
    server.stream.read_exact(&mut got).await.unwrap();
    assert!(got == pattern(4)[..3000]);
}

#[tokio::test]
async fn pieces_of_a_vectored_write_keep_their_order() {
    let site = Site::new();
    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    let all = &pattern(5)[..150_000];
    let mut sent = 0;
    while sent < all.len() {
        let pieces: Vec<IoSlice<'_>> = all[sent..].chunks(977).map(IoSlice::new).collect();
        sent += server.stream.write_vectored(&pieces).await.unwrap();
        server.stream.flush().await.unwrap();
    }
    let mut got = vec![0; all.len()];
    client.read_exact(&mut got).await.unwrap();
    assert!(got == all);
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    let site = Site::new();
    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    let block = vec![7; 64 * 1024];
    let mut accepted = 0;
    // Kernel buffers hold a few megabytes; beyond them nothing may be taken.
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(300), server.stream.write(&block)).await
    {
        accepted += written.unwrap();
        assert!(accepted < 64 * 1024 * 1024, "nothing bounds what waits");
    }
    let reader = tokio::spawn(async move {
        let mut got = vec![0; accepted];
        client.read_exact(&mut got).await.unwrap();
        got.iter().all(|byte| *byte == 7)
    });
    server.stream.flush().await.unwrap();
    assert!(reader.await.unwrap());
}

#[tokio::test]
async fn an_end_with_and_without_the_closing_alert_reads_as_an_end() {
    let site = Site::new();
    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    client.write_all(b"bye").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut server).await, b"bye");
    // Our direction is still open.
    server.stream.write_all(b"bye too").await.unwrap();
    server.stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"bye too");

    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    client.write_all(b"bye").await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().0.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut server).await, b"bye");
}

#[tokio::test]
async fn good_bytes_before_a_forged_record_are_handed_over_first() {
    let site = Site::new();
    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    client.write_all(b"good").await.unwrap();
    client.flush().await.unwrap();
    let forged = [&[0x17, 0x03, 0x03, 0x00, 0x20][..], &[0x55; 32]].concat();
    client.get_mut().0.write_all(&forged).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut got = [0; 64];
    assert_eq!(server.stream.read(&mut got).await.unwrap(), 4);
    let error = server.stream.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(server.stream.read(&mut got).await.unwrap(), 0);
    let told = client.read(&mut got).await.unwrap_err().to_string();
    assert!(told.contains("BadRecordMac"), "{told}");
}

#[tokio::test]
async fn a_key_update_is_answered() {
    let site = Site::new();
    let (mut client, mut server) = pair(site.settings(), &site.client()).await;
    let mut got = [0; 4];
    for _ in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(b"ping").await.unwrap();
        client.flush().await.unwrap();
        server.stream.read_exact(&mut got).await.unwrap();
        server.stream.write_all(b"pong").await.unwrap();
        server.stream.flush().await.unwrap();
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"pong");
    }
}

async fn read_to_end(connection: &mut Connection) -> Vec<u8> {
    let mut got = Vec::new();
    while connection.stream.receive(1024, |bytes| got.extend_from_slice(bytes)).await.unwrap() > 0 {
    }
    got
}

/// Passes on what a client sends byte by byte, and what the server sends as it comes.
async fn dribbling_proxy(server: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        while let Ok(byte) = from_client.read_u8().await {
            to_server.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    address
}

fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(MUCH).collect()
}

//! Documents from a server that answers as it is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_connections::{FetchError, Fetcher, Settings};

/// Answers one request with these pieces, with a pause before each; gives the address.
fn server(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
        for piece in pieces {
            thread::sleep(pause);
            // The client may have had enough.
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    format!("http://127.0.0.1:{port}/keys")
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn get(url: String, time: Duration) -> Result<String, FetchError> {
    Fetcher::new(Settings { url, authorities: None, time, max_bytes: 100 })?.get()
}

fn quick(pieces: Vec<Vec<u8>>) -> Result<String, FetchError> {
    get(server(pieces, Duration::ZERO), Duration::from_secs(10))
}

#[test]
fn a_document_is_what_the_server_says() {
    assert_eq!(quick(vec![answer("200 OK", b"{}")]), Ok("{}".to_owned()));
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{ \r\n1\r\n}\r\n0\r\n\r\n";
    assert_eq!(quick(vec![chunked.to_vec()]), Ok("{ }".to_owned()));
}

#[test]
fn whatever_else_it_says_is_an_error() {
    let redirect = answer("302 Found\r\nlocation: http://127.0.0.1:1/", b"");
    assert_eq!(quick(vec![redirect]), Err(FetchError::Redirect { status: 302 }));
    assert_eq!(quick(vec![answer("404 Not Found", b"{}")]), Err(FetchError::Status(404)));
    assert_eq!(quick(vec![answer("204 No Content", b"")]), Err(FetchError::Status(204)));
    assert_eq!(quick(vec![answer("200 OK", &[0xff])]), Err(FetchError::NotText));
    assert!(matches!(quick(vec![b"SSH-2.0\r\n\r\n".to_vec()]), Err(FetchError::Unreachable(_))));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
    assert!(quick(vec![cut]).is_err());
    assert!(quick(vec![answer(&format!("200 OK\r\nx: {}", "x".repeat(20_000)), b"{}")]).is_err());
}

#[test]
fn a_document_has_an_end() {
    assert!(quick(vec![answer("200 OK", &[b' '; 100])]).is_ok());
    let too_long = Err(FetchError::TooLong { limit: 100 });
    assert_eq!(quick(vec![answer("200 OK", &[b' '; 101])]), too_long);
    let endless = vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 1 << 20]];
    assert_eq!(quick(endless), too_long);
}

#[test]
fn a_server_that_takes_its_time_is_given_up() {
    let limit = Duration::from_millis(300);
    let trickle = std::iter::repeat_n(vec![b' '], 50);
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n".to_vec()];
    pieces.extend(trickle);
    let began = Instant::now();
    let found = get(server(pieces, Duration::from_millis(100)), limit);
    assert_eq!(found, Err(FetchError::TimedOut { limit }));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn nobody_there_is_said_so() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let found = get(format!("http://{free}/keys"), Duration::from_secs(10));
    assert!(matches!(found, Err(FetchError::Unreachable(_))), "{found:?}");
}

#[test]
fn authorities_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let fetcher = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let settings = Settings {
            url: "https://localhost:1/keys".to_owned(),
            authorities: Some(path.clone()),
            time: Duration::from_secs(1),
            max_bytes: 100,
        };
        Fetcher::new(settings)
    };
    for text in
        [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")]
    {
        let error = fetcher(text).map(|_| ()).unwrap_err();
        assert!(matches!(error, FetchError::Authorities { .. }), "{text:?}: {error}");
    }
}

//! What costs an attacker nothing but a connection.

use std::io::{self, Read};
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use portcullis_tests::Wire;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::field::Field;
use crate::storm::{Size, storm};
use crate::tally::Tally;

/// Connections that are made and closed.
pub(crate) fn flood(field: &Arc<Field>) -> Tally {
    let ports = [field.doors.plain, field.doors.tls, field.doors.web];
    storm(field, Size { rate: 2000, at_once: 256 }, |number| {
        let field = Arc::clone(field);
        async move {
            let port = ports[usize::try_from(number).unwrap_or_default() % ports.len()];
            match field.dial(port).await {
                Ok(_) => "accepted".to_owned(),
                Err(error) => format!("not accepted: {:?}", error.kind()),
            }
        }
    })
}

/// Connections on which nothing is sent.
pub(crate) fn hoard(field: &Arc<Field>) -> Tally {
    held(field, Size { rate: 1500, at_once: 11_000 }, &Arc::default())
}

/// Connections on which a ClientHello is all that comes. It is always the same: it costs the sender nothing.
pub(crate) fn half_open(field: &Arc<Field>) -> Tally {
    held(field, Size { rate: 500, at_once: 4000 }, &Arc::new(client_hello()))
}

/// Keeps connections to the TLS port open that begin with these bytes.
fn held(field: &Arc<Field>, size: Size, begin: &Arc<Vec<u8>>) -> Tally {
    storm(field, size, |_| {
        let (field, begin) = (Arc::clone(field), Arc::clone(begin));
        async move {
            match field.dial(field.doors.tls).await {
                Ok(stream) => hold(&field, stream, &begin).await,
                Err(error) => format!("not accepted: {:?}", error.kind()),
            }
        }
    })
}

async fn hold(field: &Field, mut stream: TcpStream, begin: &[u8]) -> String {
    if stream.write_all(begin).await.is_err() {
        return "cut off".to_owned();
    }
    let (mut answered, mut bytes) = (false, [0; 4096]);
    loop {
        match timeout_at(field.until(), stream.read(&mut bytes)).await {
            Err(_) if answered => return "answered and kept".to_owned(),
            Err(_) => return "kept".to_owned(),
            Ok(Ok(0) | Err(_)) => return "cut off".to_owned(),
            Ok(Ok(_)) => answered = true,
        }
    }
}

/// Handshakes that are made to their end. Nothing is resumed.
pub(crate) fn handshakes(field: &Arc<Field>) -> Tally {
    storm(field, Size { rate: 200, at_once: 64 }, |_| {
        let field = Arc::clone(field);
        async move {
            let stream = match field.dial(field.doors.tls).await.and_then(TcpStream::into_std) {
                Ok(stream) => stream,
                Err(error) => return format!("not accepted: {:?}", error.kind()),
            };
            let made = tokio::task::spawn_blocking(move || shake_hands(&field, stream)).await;
            match made {
                Ok(Ok(())) => "made".to_owned(),
                _ => "failed".to_owned(),
            }
        }
    })
}

fn shake_hands(field: &Field, stream: StdStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut wire = Wire::Plain(stream).encrypted(b"mqtt", &field.ca, None)?;
    wire.set_patience(Duration::from_millis(1));
    // Tickets that came with it.
    let _ = wire.read(&mut [0; 1024]);
    Ok(())
}

/// What a client says first.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3 and 1.2")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes everything");
    hello
}

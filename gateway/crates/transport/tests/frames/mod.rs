//! The client's side of RFC 6455, as much as the tests say and hear.

#![allow(dead_code, reason = "each suite uses a part of it")]

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// What the server sent; it fragments nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// Asks for a WebSocket at `path`, and hears that it is open.
pub(crate) async fn open(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

/// A whole message.
pub(crate) fn client_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    fragment(kind, true, payload)
}

/// A part of a message.
pub(crate) fn fragment(kind: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![if last { 0x80 | kind } else { kind }];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        middle @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The next frame of the server.
pub(crate) async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> Frame {
    let (first, second) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
    assert_eq!(first & 0xF0, 0x80, "the last fragment, and nothing reserved");
    let length = match second {
        short @ 0..126 => usize::from(short),
        126 => usize::from(stream.read_u16().await.unwrap()),
        127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
        _ => unreachable!("a server masks nothing"),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.unwrap();
    Frame { kind: first & 0x0F, payload }
}

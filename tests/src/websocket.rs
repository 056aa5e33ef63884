use std::io::{self, Read, Write};

use crate::wire::Wire;

/// The client's side of a WebSocket with MQTT inside, over a [`Wire`]. It reads payload and writes binary
/// messages, which it cuts into pieces that end where no packet ends (MQTT-6.0.0-2).
#[derive(Debug)]
pub struct WebSocket {
    /// What carries the frames.
    pub inner: Wire,
    /// Bytes of frames that were not taken apart yet.
    raw: Vec<u8>,
    /// Payload that was not read yet.
    payload: Vec<u8>,
    cut: usize,
    /// The status code of the peer's goodbye; 1005 where it gave none.
    closed: Option<u16>,
}

/// What a request for a WebSocket offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Where it is to be.
    pub path: &'a str,
    /// `Sec-WebSocket-Protocol`.
    pub subprotocols: &'a str,
    /// Further lines of the head, each with its end.
    pub more: &'a str,
}

/// What every client offers.
pub const MQTT: Offer<'static> = Offer { path: "/mqtt", subprotocols: "mqtt", more: "" };

/// Bytes of a message's pieces, in turn: the head of a packet alone, all kinds of lengths.
const CUTS: [usize; 6] = [1, 2, 7, 130, 70_000, 3];

const MASK: [u8; 4] = [0x5A, 0x01, 0xF0, 0x9C];

impl WebSocket {
    /// Opens it.
    ///
    /// # Errors
    /// If there is no connection, or with the head of the answer if it is refused.
    pub fn open(mut inner: Wire, offer: Offer<'_>) -> io::Result<Self> {
        write!(
            inner,
            "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {}\r\n{}\r\n",
            offer.path, offer.subprotocols, offer.more
        )?;
        inner.flush()?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if inner.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let is_open = head.starts_with("HTTP/1.1 101 ")
            && head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
            && head.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n");
        if !is_open {
            return Err(io::Error::other(head));
        }
        Ok(Self { inner, raw: Vec::new(), payload: Vec::new(), cut: 0, closed: None })
    }

    /// Sends a frame: its first byte, and its payload.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap_or_default()),
            middle @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(middle).unwrap_or_default().to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend(u64::try_from(long).unwrap_or_default().to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.inner.write_all(&bytes)?;
        self.inner.flush()
    }

    /// The status code of the peer's goodbye, once it has been read; 1005 where it gave none.
    pub fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// Takes apart the frame at the front, if all of it is there.
    fn take_frame(&mut self) -> io::Result<bool> {
        let (length, at) = match self.raw[..] {
            [_, short @ 0..126, ..] => (usize::from(short), 2),
            [_, 126, a, b, ..] => (usize::from(u16::from_be_bytes([a, b])), 4),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                (usize::try_from(length).unwrap_or(usize::MAX), 10)
            }
            _ => return Ok(false),
        };
        if self.raw.len() - at < length {
            return Ok(false);
        }
        let (first, payload) = (self.raw[0], self.raw[at..at + length].to_vec());
        self.raw.drain(..at + length);
        match first {
            0x82 => self.payload.extend(payload),
            0x89 => self.frame(0x8A, &payload)?,
            0x8A => {}
            0x88 => {
                self.closed =
                    Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
                // It may be gone already.
                let _ = self.frame(0x88, payload.get(..2).unwrap_or_default());
            }
            other => return Err(io::Error::other(format!("a frame begins with {other:#x}"))),
        }
        Ok(true)
    }
}

impl Read for WebSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.payload.is_empty() {
            if self.closed.is_some() {
                return Ok(0);
            }
            if self.take_frame()? {
                continue;
            }
            let mut more = [0; 16 * 1024];
            match self.inner.read(&mut more)? {
                0 => return Ok(0),
                count => self.raw.extend(&more[..count]),
            }
        }
        let count = self.payload.len().min(into.len());
        into[..count].copy_from_slice(&self.payload[..count]);
        self.payload.drain(..count);
        Ok(count)
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        let mut kind = 0x02;
        while !rest.is_empty() {
            let cut = CUTS[self.cut % CUTS.len()].min(rest.len());
            self.cut += 1;
            let (piece, others) = rest.split_at(cut);
            let last = if others.is_empty() { 0x80 } else { 0 };
            self.frame(kind | last, piece)?;
            (rest, kind) = (others, 0);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

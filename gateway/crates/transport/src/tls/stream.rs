//! An established TLS session over its socket.
//!
//! The session decrypts and encrypts in buffers that all connections of a thread share, a socket is
//! read and written up to 64 KiB at a time, and what a connection keeps between two polls is only
//! what it must: a record that has not arrived whole, plain text that the reader had no room for,
//! cipher text that the socket did not take. In a silent connection all three are empty and own no
//! memory.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::connection::{READ_MAX, with_scratch};
use crate::tls::engine::{self, Output};

/// A TLS connection.
///
/// A peer that closes the socket without the closing alert of TLS reads as the end of the stream,
/// just as in TCP: the protocol above must tell by its own means whether the last message is whole.
pub struct TlsStream {
    socket: TcpStream,
    session: UnbufferedServerConnection,
    /// The start of a record whose end has not arrived.
    incoming: Vec<u8>,
    plain: Leftover,
    out: Leftover,
    /// The socket has refused bytes of `out`: they go first, before more is encrypted.
    blocked: bool,
    ended: bool,
    closing: bool,
    /// The peer broke TLS after bytes that were good: they are handed over first.
    failed: Option<io::Error>,
}

impl TlsStream {
    pub(crate) fn new(
        socket: TcpStream,
        session: UnbufferedServerConnection,
        incoming: Vec<u8>,
        plain: Vec<u8>,
        out: Vec<u8>,
    ) -> Self {
        // What the handshake leaves is almost always nothing, in a buffer of some kilobytes.
        let incoming = if incoming.is_empty() { Vec::new() } else { incoming };
        let (plain, out) = (Leftover::of(plain), Leftover::of(out));
        Self {
            socket,
            session,
            incoming,
            plain,
            out,
            blocked: false,
            ended: false,
            closing: false,
            failed: None,
        }
    }

    /// See [`Stream::poll_receive`](crate::Stream::poll_receive).
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if !self.plain.is_empty() {
            let waiting = std::mem::take(&mut self.plain);
            sink(waiting.bytes());
            return Poll::Ready(Ok(waiting.bytes().len()));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        while !self.ended {
            let received = with_scratch(|scratch| self.poll_records(cx, limit, scratch, sink));
            match ready!(received) {
                Ok(0) => {}
                other => return Poll::Ready(other),
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Reads the socket once and decrypts what has arrived; 0 if that completed no record.
    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        scratch: &mut [u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let start = self.incoming.len();
        let end = (start + limit.clamp(READ_MIN, READ_MAX)).min(scratch.len());
        let Some(space) = scratch.get_mut(start..end).filter(|space| !space.is_empty()) else {
            return Poll::Ready(Err(invalid("a tls message does not fit the read buffer")));
        };
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
        let arrived = space.filled().len();
        if arrived == 0 {
            self.ended = true;
            return Poll::Ready(Ok(0));
        }
        let records = scratch.get_mut(..start + arrived).unwrap_or_default();
        if let Some(head) = records.get_mut(..start) {
            head.copy_from_slice(&self.incoming);
        }
        Poll::Ready(self.decrypt(records, sink))
    }

    fn decrypt(&mut self, records: &mut [u8], sink: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut out = Output::default();
        let mut plain = 0;
        let mut counted = |bytes: &[u8]| {
            plain += bytes.len();
            sink(bytes);
        };
        let step = engine::advance(&mut self.session, records, &mut counted, &mut out);
        if !out.filled().is_empty() {
            self.out.push(out.filled());
            self.try_send();
        }
        let step = match step {
            Ok(step) => step,
            Err(cause) => {
                (self.ended, self.closing) = (true, true);
                let error = io::Error::new(io::ErrorKind::InvalidData, cause);
                if plain == 0 {
                    return Err(error);
                }
                self.failed = Some(error);
                return Ok(plain);
            }
        };
        self.ended |= step.closed;
        match records.get(step.used..) {
            Some(rest) if !rest.is_empty() => {
                self.incoming.clear();
                self.incoming.extend_from_slice(rest);
            }
            _ => self.incoming = Vec::new(),
        }
        Ok(plain)
    }

    /// Encrypts up to [`WRITE_MAX`] bytes and writes them, with what was waiting, in one call.
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, plain: &[u8]) -> Poll<io::Result<usize>> {
        if self.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.blocked {
            ready!(self.poll_send(cx))?;
        }
        let plain = plain.get(..WRITE_MAX).unwrap_or(plain);
        if plain.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut out = WRITE_SCRATCH.take().unwrap_or_default();
        out.clear();
        out.push(self.out.bytes());
        let outcome = engine::encrypt(&mut self.session, &mut self.incoming, plain, &mut out)
            .map_err(io::Error::other)
            .and_then(|()| self.send_or_keep(cx, out.filled()));
        WRITE_SCRATCH.set(Some(out));
        Poll::Ready(outcome.map(|()| plain.len()))
    }

    /// Writes `bytes` in place of what waits in `self.out`, and keeps what the socket does not take.
    fn send_or_keep(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => rest = rest.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.blocked = !rest.is_empty();
        self.out = Leftover::of(rest.to_vec());
        Ok(())
    }

    /// Writes what waits as far as the socket takes it now. A reader must not wait for the socket to
    /// become writable: it may be another task than the writer, whose wake-up it would steal.
    fn try_send(&mut self) {
        while !self.out.is_empty() {
            match self.socket.try_write(self.out.bytes()) {
                Ok(written @ 1..) => self.out.consume(written),
                // The next write or flush goes on with it, or finds out why it cannot.
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Writes what waits; ready when nothing does.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.out.bytes()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.consume(written),
            }
        }
        self.blocked = false;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.plain.is_empty() {
            let mut excess = Vec::new();
            let limit = buf.remaining();
            ready!(this.poll_receive(cx, limit, &mut |bytes| {
                let (fits, exceeds) = bytes.split_at(bytes.len().min(buf.remaining()));
                buf.put_slice(fits);
                excess.extend_from_slice(exceeds);
            }))?;
            this.plain = Leftover::of(excess);
        } else {
            let bytes = this.plain.bytes();
            let amount = bytes.len().min(buf.remaining());
            buf.put_slice(bytes.get(..amount).unwrap_or_default());
            this.plain.consume(amount);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Many small pieces in one record are cheaper to copy than to encrypt one by one.
        let mut gathered = GATHER_SCRATCH.take();
        gathered.clear();
        for piece in bufs {
            let room = WRITE_MAX - gathered.len();
            gathered.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if gathered.len() == WRITE_MAX {
                break;
            }
        }
        let outcome = self.get_mut().poll_encrypt(cx, &gathered);
        GATHER_SCRATCH.set(gathered);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            let mut out = Output::default();
            // A session that has failed or is closed has no more to say.
            if engine::close(&mut this.session, &mut this.incoming, &mut out).is_ok() {
                this.out.push(out.filled());
            }
        }
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Bytes that wait to be taken from the front. It owns no memory when it is empty.
#[derive(Default)]
struct Leftover {
    bytes: Vec<u8>,
    taken: usize,
}

impl Leftover {
    fn of(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::default() } else { Self { bytes, taken: 0 } }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

thread_local! {
    static WRITE_SCRATCH: Cell<Option<Output>> = const { Cell::new(None) };
    static GATHER_SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The most plain text that one write takes, in bytes: four full records.
const WRITE_MAX: usize = 64 * 1024;

/// The least that is asked of a socket, in bytes: below it a full record would take a dozen calls.
const READ_MIN: usize = 4 * 1024;

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

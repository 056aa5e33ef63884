//! A byte stream and who is at its other end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::identity::PeerIdentity;
use crate::quic::{QuicStream, SideStreams};
use crate::tls::TlsStream;
use crate::web::WebStream;

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: PeerIdentity,
}

/// The bytes of a connection, in both directions, with Nagle's algorithm off.
///
/// A successful write means accepted, not sent: call flush when there is nothing more to write.
#[derive(Debug)]
pub enum Stream {
    /// TCP in the clear.
    Tcp(TcpStream),
    /// TLS over TCP; boxed since a session's state is large.
    Tls(Box<TlsStream>),
    /// The first stream of a QUIC connection.
    Quic(Box<QuicStream>),
    /// A Unix socket.
    Unix(UnixStream),
    /// A WebSocket over one of the others.
    Web(Box<WebStream>),
}

/// The most that one read asks of a socket, in bytes.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// Room for the start of a TLS record (16 KiB of plain text and what TLS 1.2 lets it grow by) that an
/// earlier read has left, in bytes.
const RECORD_MAX: usize = 18 * 1024 + 5;

impl Stream {
    /// Waits for bytes and hands them to `sink`, in one or more pieces; returns how many there
    /// were, 0 at the end of the stream.
    ///
    /// Unlike a read into a buffer of the caller's, this needs no memory while nothing arrives:
    /// that is what keeps a silent connection small. `limit` bounds what is asked of the socket
    /// (at most 64 KiB); with TLS `sink` may get up to 16 KiB more than that.
    ///
    /// Cancel safe: what is dropped before it is ready has taken no bytes.
    ///
    /// # Errors
    /// Those of the socket, and `InvalidData` if the peer breaks TLS or WebSocket.
    pub async fn receive(
        &mut self,
        limit: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_receive(cx, limit, &mut sink)).await
    }

    /// The streams that the peer opens beside this one, once, where the transport has such and they are allowed. From now on
    /// it may send ahead on each of them; before, it may on all together what it may on one.
    pub fn take_sides(&mut self) -> Option<SideStreams> {
        match self {
            Self::Quic(stream) => stream.take_sides(),
            Self::Tcp(_) | Self::Tls(_) | Self::Unix(_) | Self::Web(_) => None,
        }
    }

    /// [`Stream::receive`] for a hand-written future.
    ///
    /// # Errors
    /// As [`Stream::receive`].
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => receive_by(socket, cx, limit, sink),
            Self::Unix(socket) => receive_by(socket, cx, limit, sink),
            Self::Tls(stream) => stream.poll_receive(cx, limit, sink),
            Self::Quic(stream) => receive_by(&mut **stream, cx, limit, sink),
            Self::Web(stream) => stream.poll_receive(cx, limit, sink),
        }
    }
}

/// Reads into the buffer of this thread.
fn receive_by(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    limit: usize,
    sink: &mut dyn FnMut(&[u8]),
) -> Poll<io::Result<usize>> {
    with_scratch(|scratch| {
        let end = limit.clamp(1, READ_MAX).min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..end).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        if !bytes.is_empty() {
            sink(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
            Self::Quic(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
            Self::Web(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
            Self::Quic(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
            Self::Web(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
            Self::Quic(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
            Self::Web(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Quic(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Web(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Quic(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Web(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// Lends this thread's read buffer. All connections of a thread share it, since a poll runs to
/// its end before the next begins; so a connection owns no read buffer at all.
pub(crate) fn with_scratch<T>(job: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    }
    // Taken out rather than borrowed: should a waker ever re-enter, it finds none and makes its own.
    let mut buffer =
        SCRATCH.take().unwrap_or_else(|| vec![0; READ_MAX + RECORD_MAX].into_boxed_slice());
    let result = job(&mut buffer);
    SCRATCH.set(Some(buffer));
    result
}

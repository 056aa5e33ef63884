//! The streams that a client opens beside the first of its connection.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::{read_failed, write_slices};

/// What a stream is reset with that is closed from this side, or that its client has given up: nothing was wrong with the
/// connection.
const GIVEN_UP: VarInt = VarInt::from_u32(0);

/// The streams that a client opens beside the first of a QUIC connection, as they come.
pub struct SideStreams {
    connection: Connection,
    both_ways: Coming<(SendStream, RecvStream)>,
    one_way: Coming<RecvStream>,
}

/// One of them: bytes in both directions, or from the client only. Dropped, it is reset in every direction that has not
/// ended.
pub struct SideStream {
    send: Option<SendStream>,
    receive: RecvStream,
    finished: bool,
}

/// The next stream of a kind.
type Coming<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>> + Send>>;

impl SideStreams {
    /// Lets the client send ahead `window` bytes on all streams of the connection.
    pub(super) fn new(connection: &Connection, window: u32) -> Self {
        connection.set_receive_window(VarInt::from_u32(window));
        Self {
            connection: connection.clone(),
            both_ways: both_ways(connection),
            one_way: one_way(connection),
        }
    }

    /// The next stream that the client has opened and written to.
    ///
    /// # Errors
    /// The connection is over.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SideStream>> {
        if let Poll::Ready(come) = self.both_ways.as_mut().poll(cx) {
            self.both_ways = both_ways(&self.connection);
            let (send, receive) = come?;
            return Poll::Ready(Ok(SideStream { send: Some(send), receive, finished: false }));
        }
        let receive = ready!(self.one_way.as_mut().poll(cx));
        self.one_way = one_way(&self.connection);
        Poll::Ready(Ok(SideStream { send: None, receive: receive?, finished: false }))
    }
}

fn both_ways(connection: &Connection) -> Coming<(SendStream, RecvStream)> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_bi().await })
}

fn one_way(connection: &Connection) -> Coming<RecvStream> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_uni().await })
}

impl SideStream {
    /// Whether nothing can be written.
    #[must_use]
    pub fn is_one_way(&self) -> bool {
        self.send.is_none()
    }

    /// Ends this side's direction: what was written arrives, and nothing comes after it.
    pub fn finish(&mut self) {
        if let Some(send) = &mut self.send {
            // It fails if the peer has stopped it.
            let _ = send.finish();
        }
        self.finished = true;
    }
}

impl AsyncRead for SideStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().receive.poll_read_buf(cx, buf).map_err(read_failed)
    }
}

impl AsyncWrite for SideStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().send {
            Some(send) => write_slices(send, cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// As [`SideStream::finish`]; waits for nothing.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SideStream {
    fn drop(&mut self) {
        if let Some(send) = self.send.as_mut().filter(|_| !self.finished) {
            // Left alone it would end as if all had been said. It fails if it has ended already.
            let _ = send.reset(GIVEN_UP);
        }
    }
}

impl fmt::Debug for SideStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remote = self.connection.remote_address();
        f.debug_struct("SideStreams").field("remote", &remote).finish_non_exhaustive()
    }
}

impl fmt::Debug for SideStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SideStream").field("stream", &self.receive.id()).finish_non_exhaustive()
    }
}

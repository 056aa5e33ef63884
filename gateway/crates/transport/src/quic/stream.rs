//! The stream that is a connection.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use quinn::{Connection, ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::side::SideStreams;

/// Why a connection is closed that has been served: nothing went wrong.
const NO_ERROR: VarInt = VarInt::from_u32(0);

/// The first bidirectional stream of a QUIC connection, with the connection. The connection ends with it, and all other
/// streams with that.
pub struct QuicStream {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Under way once our direction has ended: everything has arrived, or nobody wants it.
    delivered: Option<Delivered>,
    /// Bytes that the client may send ahead of what has been read, on all streams; 0 if there is no other than this.
    window: u32,
}

/// Ends when the peer has acknowledged all that was sent, or will not.
type Delivered = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>;

impl QuicStream {
    /// `window` is for all streams of the connection, where there may be several.
    pub(crate) fn new(
        connection: Connection,
        send: SendStream,
        receive: RecvStream,
        window: u32,
    ) -> Self {
        Self { connection, send, receive, delivered: None, window }
    }

    /// The streams that the client opens beside this one, once; `None` if it may open none.
    pub(crate) fn take_sides(&mut self) -> Option<SideStreams> {
        let window = std::mem::take(&mut self.window);
        (window > 0).then(|| SideStreams::new(&self.connection, window))
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().receive.poll_read_buf(cx, buf).map_err(read_failed)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().send).poll_write(cx, buf).map_err(write_failed)
    }

    /// Takes as much of all slices as the connection has room for.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_slices(&mut self.get_mut().send, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our direction, and waits until the peer has everything: closing a connection throws away what is on its way.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { send, delivered, .. } = self.get_mut();
        let delivered = delivered.get_or_insert_with(|| {
            // It fails if the direction has ended already.
            let _ = send.finish();
            Box::pin(send.stopped())
        });
        match ready!(delivered.as_mut().poll(cx)) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, error))),
        }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.connection.close(NO_ERROR, b"");
    }
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream")
            .field("remote", &self.connection.remote_address())
            .field("stream", &self.send.id())
            .finish_non_exhaustive()
    }
}

/// Writes as much of all slices as a stream has room for.
pub(super) fn write_slices(
    send: &mut SendStream,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut written = 0;
    for slice in bufs.iter().filter(|slice| !slice.is_empty()) {
        match Pin::new(&mut *send).poll_write(cx, slice) {
            Poll::Ready(Ok(taken)) => {
                written += taken;
                if taken < slice.len() {
                    break;
                }
            }
            Poll::Ready(Err(error)) if written == 0 => {
                return Poll::Ready(Err(write_failed(error)));
            }
            Poll::Pending if written == 0 => return Poll::Pending,
            Poll::Ready(Err(_)) | Poll::Pending => break,
        }
    }
    Poll::Ready(Ok(written))
}

pub(super) fn read_failed(error: ReadError) -> io::Error {
    let kind = match error {
        ReadError::Reset(_) | ReadError::ConnectionLost(_) => io::ErrorKind::ConnectionReset,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn write_failed(error: WriteError) -> io::Error {
    let kind = match error {
        WriteError::Stopped(_) => io::ErrorKind::BrokenPipe,
        WriteError::ConnectionLost(_) => io::ErrorKind::ConnectionReset,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

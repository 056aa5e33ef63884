//! The bytes inside a WebSocket.
//!
//! What is read is unmasked where the caller wants it; what is written is one frame a write, its payload
//! passed on from where it lies. So a connection keeps a frame's head and a control frame at most, and a
//! silent one holds no memory besides itself.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{READ_MAX, Stream};
use crate::web::frame::{CONTROL_MAX, End, FrameDecoder};

/// A WebSocket, as the stream of bytes that its binary messages hold.
///
/// Pings are answered when something is read. The peer's close frame reads as the end of the stream, and is
/// answered; what breaks the protocol is answered with the close code for it and reads as `InvalidData`.
/// A shutdown says goodbye (1000) and leaves the stream below open until the peer has said so too: read to
/// the end, or drop it.
#[derive(Debug)]
pub struct WebStream {
    inner: Stream,
    decoder: FrameDecoder,
    /// The head of the frame that is being written, as far as it has not been taken.
    head: Head,
    /// Payload that this frame still lacks, in bytes. Between frames it is 0.
    frame_left: usize,
    /// A control frame that goes out between two frames, as far as it has not been taken.
    control: Vec<u8>,
    control_taken: usize,
    /// Our close frame is among what was given out: nothing may follow it.
    closing: bool,
    /// A writer waits for the stream below: a reader that writes would steal its wake-up.
    blocked: bool,
}

/// Slices of one write that become one frame.
const SLICES: usize = 16;

/// Bytes that are thrown away behind a frame that breaks the protocol, at most.
const UNREAD_MAX: usize = 1024 * 1024;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8A;

/// Nothing is wrong, and the purpose is fulfilled.
const NORMAL: u16 = 1000;

impl WebStream {
    pub(crate) fn new(inner: Stream) -> Self {
        Self {
            inner,
            decoder: FrameDecoder::default(),
            head: Head::default(),
            frame_left: 0,
            control: Vec::new(),
            control_taken: 0,
            closing: false,
            blocked: false,
        }
    }

    /// See [`Stream::poll_receive`].
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        // One of its own: the stream below uses that of the thread meanwhile.
        let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; READ_MAX].into_boxed_slice());
        let end = limit.clamp(1, READ_MAX);
        let mut buffer = ReadBuf::new(scratch.get_mut(..end).unwrap_or_default());
        let read = self.poll_payload(cx, &mut buffer);
        let bytes = buffer.filled();
        if !bytes.is_empty() {
            sink(bytes);
        }
        let outcome = read.map_ok(|()| bytes.len());
        SCRATCH.set(Some(scratch));
        outcome
    }

    fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(end) = self.decoder.end() {
                return Poll::Ready(self.part(cx, end));
            }
            self.try_control(cx);
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let arrived = buf.filled_mut().get_mut(before..).unwrap_or_default();
            if arrived.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = self.decoder.decode(arrived);
            buf.set_filled(before + kept);
            if let Some(ping) = self.decoder.take_ping() {
                self.give_out(PONG, &ping);
                self.try_control(cx);
            }
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Answers what the peer said last, and ends the stream. It is not waited for a peer that does not
    /// take the answer.
    fn part(&mut self, cx: &mut Context<'_>, end: End) -> io::Result<()> {
        let code = match end {
            End::Closed(code) => code,
            End::Fault(fault) => Some(fault.code()),
        };
        if !self.closing {
            self.closing = true;
            let code = code.map(u16::to_be_bytes);
            self.give_out(CLOSE, code.as_ref().map_or(&[], |bytes| bytes.as_slice()));
        }
        if !self.blocked && self.poll_between(cx).is_ready() {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
            let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
        }
        match end {
            End::Closed(_) => Ok(()),
            End::Fault(fault) => {
                // Closing over unread bytes would reset the connection, and a reset overtakes the answer.
                let mut thrown_away = 0;
                while thrown_away < UNREAD_MAX {
                    let mut count = |bytes: &[u8]| thrown_away += bytes.len();
                    match self.inner.poll_receive(cx, READ_MAX, &mut count) {
                        Poll::Ready(Ok(1..)) => {}
                        _ => break,
                    }
                }
                Err(io::Error::new(io::ErrorKind::InvalidData, fault))
            }
        }
    }

    /// Makes a control frame the next that goes out between two frames. One that waits is no longer needed
    /// then, unless a part of it is out already.
    fn give_out(&mut self, kind: u8, payload: &[u8]) {
        if self.closing && kind != CLOSE {
            return;
        }
        let payload = payload.get(..CONTROL_MAX).unwrap_or(payload);
        // Not above CONTROL_MAX.
        let length = u8::try_from(payload.len()).unwrap_or_default();
        let half_out = if self.control_taken == 0 { 0 } else { self.first_control() };
        self.control.truncate(half_out);
        self.control.extend_from_slice(&[kind, length]);
        self.control.extend_from_slice(payload);
    }

    /// Bytes of the control frame that goes first.
    fn first_control(&self) -> usize {
        self.control.get(1).map_or(0, |length| 2 + usize::from(*length))
    }

    /// Writes what waits between two frames, where nobody else waits to write.
    fn try_control(&mut self, cx: &mut Context<'_>) {
        if !self.blocked && self.is_between() && !self.control.is_empty() {
            // An error shows to the next who writes. Where it has to wait, this reader is woken.
            if let Poll::Ready(Ok(())) = self.poll_control(cx) {
                let _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
        }
    }

    fn is_between(&self) -> bool {
        self.frame_left == 0 && self.head.is_empty()
    }

    /// [`Self::poll_control`] where a control frame may go out now.
    fn poll_between(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_between() { self.poll_control(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) =
            self.control.get(self.control_taken..).filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.control_taken += written,
            }
            let first = self.first_control();
            if self.control_taken >= first {
                self.control.drain(..first.min(self.control.len()));
                self.control_taken -= first;
            }
        }
        self.control = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = bufs.get(..SLICES).unwrap_or(bufs);
        let offered = bufs.iter().map(|slice| slice.len()).sum();
        if offered == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.is_between() {
                ready!(self.poll_control(cx))?;
                if self.closing {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                (self.head, self.frame_left) = (Head::of(offered), offered);
            }
            let mut slices = [IoSlice::new(&[]); SLICES + 1];
            let (mut count, mut room) = (0, self.frame_left);
            let head = self.head;
            for (place, bytes) in slices
                .iter_mut()
                .zip(std::iter::once(head.bytes()).chain(bufs.iter().map(|slice| &**slice)))
            {
                let limit = if count == 0 { bytes.len() } else { room };
                let bytes = bytes.get(..limit).unwrap_or(bytes);
                if count > 0 {
                    room -= bytes.len();
                }
                *place = IoSlice::new(bytes);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let slices = if head.is_empty() { slices.get(1..).unwrap_or_default() } else { slices };
            let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let payload = self.head.take(written);
            self.frame_left = self.frame_left.saturating_sub(payload);
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            self.give_out(CLOSE, &NORMAL.to_be_bytes());
        }
        let between = self.is_between();
        ready!(self.poll_between(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // Who has not heard a goodbye cannot answer it, and who has said one will say no more.
        if between && self.decoder.end().is_none() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for WebStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_payload(cx, buf)
    }
}

impl AsyncWrite for WebStream {
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
        let this = self.get_mut();
        let outcome = this.poll_frame(cx, bufs);
        this.blocked = outcome.is_pending();
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match this.poll_between(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.inner).poll_flush(cx),
            other => other,
        };
        this.blocked = outcome.is_pending();
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = this.poll_goodbye(cx);
        this.blocked = outcome.is_pending();
        outcome
    }
}

/// The head of a frame of ours, as far as it has not been taken.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: [u8; 10],
    taken: u8,
    len: u8,
}

impl Head {
    /// Of a binary message in one frame.
    fn of(payload: usize) -> Self {
        let mut head = Self { bytes: [0; 10], taken: 0, len: 0 };
        head.push(&[BINARY]);
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ 0..126), _) => head.push(&[short]),
            (_, Ok(middle)) => {
                head.push(&[126]);
                head.push(&middle.to_be_bytes());
            }
            _ => {
                head.push(&[127]);
                head.push(&u64::try_from(payload).unwrap_or(u64::MAX).to_be_bytes());
            }
        }
        head
    }

    fn push(&mut self, bytes: &[u8]) {
        let rest = self.bytes.iter_mut().skip(usize::from(self.len));
        rest.zip(bytes).for_each(|(to, from)| *to = *from);
        self.len += u8::try_from(bytes.len()).unwrap_or_default();
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.taken)..usize::from(self.len)).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.taken == self.len
    }

    /// Takes what of `written` is the head's; the rest is payload.
    fn take(&mut self, written: usize) -> usize {
        let own = written.min(self.bytes().len());
        self.taken += u8::try_from(own).unwrap_or_default();
        written - own
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

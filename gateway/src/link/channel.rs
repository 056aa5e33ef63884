use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker::{Answer, Closing, Conversation, Lane, Limit, Memory, Outbox};
use mqtt::{Decoder, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::foresight::Foresight;
use crate::hub::{Hub, LARGE, Next, no_room};
use crate::judge::Judge;
use crate::patience::Patience;

/// Bytes that are asked of a socket at a time, and that may wait to be written before it is
/// not read any more.
const READ_MAX: usize = 64 * 1024;

/// With TLS a read may bring the rest of a record more than was asked for.
const READ_ROOM: usize = READ_MAX + 18 * 1024;

thread_local! {
    /// One buffer per thread serves every connection, so that an idle one costs none.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_ROOM].into_boxed_slice());
}

/// One stream of bytes, with what was read of it and not handled, and what is to be written to it.
pub(super) struct Channel<S> {
    pub(super) stream: S,
    pub(super) lane: Lane,
    /// Bytes that were read and not handled yet.
    unhandled: Vec<u8>,
    /// How many of those have been handled since.
    handled: usize,
    /// With fewer bytes `unhandled` holds no whole packet.
    wanted: usize,
    /// How long the rest of what it holds is waited for.
    patience: Patience,
    /// `unhandled` may hold a whole packet, or one that waits for an answer.
    try_again: bool,
    /// Answers about what is to be passed on next.
    foresight: Foresight,
    may_read: bool,
    /// The packet at the front waits until the stream may be read again.
    held: bool,
    pub(super) outbox: Outbox,
    written: usize,
    needs_flush: bool,
}

/// Who talks, and what its packets go through.
pub(super) struct Desk<'a> {
    pub(super) hub: &'a Hub,
    pub(super) conversation: Conversation,
    pub(super) decoder: &'a mut Decoder,
    pub(super) judge: &'a mut Judge,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    /// The rest of a packet that has begun is waited for so long, besides the time for its bytes.
    pub(super) fn new(stream: S, lane: Lane, unhandled: Vec<u8>, time: Duration) -> Self {
        Self {
            stream,
            lane,
            try_again: !unhandled.is_empty(),
            unhandled,
            handled: 0,
            wanted: 0,
            patience: Patience::new(time),
            foresight: Foresight::default(),
            may_read: true,
            held: false,
            outbox: Outbox::default(),
            written: 0,
            needs_flush: false,
        }
    }

    /// Gives the answer that the packet at the front waits for.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.foresight.answer(answer);
        self.try_again = true;
    }

    /// Whether the stream is to be read from now on. What waited for that is passed on again.
    pub(super) fn allow_reading(&mut self, may_read: bool) {
        self.may_read = may_read;
        if may_read && std::mem::take(&mut self.held) {
            self.try_again = true;
        }
    }

    /// Gives a packet that has begun so much time, besides that for its bytes.
    pub(super) fn set_patience(&mut self, time: Duration) {
        self.patience = Patience::new(time);
    }

    /// Writes what is in hand until none is left.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        const SEGMENTS: usize = 16;
        while self.written < self.outbox.len() {
            let mut slices = [io::IoSlice::new(&[]); SEGMENTS];
            let mut count = 0;
            for (slice, segment) in slices.iter_mut().zip(self.outbox.segments(self.written)) {
                *slice = io::IoSlice::new(segment);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.needs_flush = true;
        }
        if !self.outbox.is_empty() {
            self.outbox.clear();
            self.written = 0;
        }
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what was kept, if that may be of use.
    pub(super) fn retry(&mut self, desk: &mut Desk<'_>) -> Option<Next> {
        std::mem::take(&mut self.try_again).then(|| self.handle_joined(desk))
    }

    /// Reads if that is wanted now, where `written` tells whether all that was in hand is written, and passes on what came.
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        desk: &mut Desk<'_>,
        written: bool,
    ) -> Poll<io::Result<Next>> {
        if !self.may_read || (!written && self.outbox.len() >= READ_MAX) {
            self.patience.rest();
            return Poll::Pending;
        }
        let read = self.poll_read(context, desk);
        if read.is_pending() {
            self.check_patience(context, desk);
        }
        read
    }

    /// Lets go of a peer that takes too long over a packet that it has begun. The hub rings then, as it always does when a
    /// connection ends.
    fn check_patience(&mut self, context: &mut Context<'_>, desk: &Desk<'_>) {
        if self.unhandled.len() <= self.handled {
            self.patience.rest();
        } else if self.patience.is_over(context, self.wanted) {
            let why = format!("a packet of {} bytes did not come in time", self.wanted);
            let closing = Closing::new(ReasonCode::QuotaExceeded, why);
            desk.hub.disconnect(desk.conversation, closing.because_of(Limit::PacketTime));
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        desk: &mut Desk<'_>,
    ) -> Poll<io::Result<Next>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut filled = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut filled))?;
            let bytes = filled.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if self.unhandled.is_empty() {
                return Poll::Ready(Ok(self.handle_fresh(bytes, desk)));
            }
            self.unhandled.drain(..self.handled);
            self.handled = 0;
            if self.unhandled.len() > LARGE {
                desk.hub.watch_memory();
                if desk.hub.memory() == Memory::Full {
                    desk.hub.disconnect(desk.conversation, no_room(self.wanted));
                    return Poll::Ready(Ok(Next::Closed));
                }
            }
            self.unhandled.extend_from_slice(bytes);
            if self.unhandled.len() < self.wanted {
                return Poll::Ready(Ok(Next::Read));
            }
            Poll::Ready(Ok(self.handle_joined(desk)))
        })
    }

    /// Reads until the peer closes. Closing over unread bytes would reset the connection, and
    /// a reset overtakes the last bytes that were written.
    pub(super) fn discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut filled = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut self.stream).poll_read(context, &mut filled)) {
                    Ok(()) if !filled.filled().is_empty() => {}
                    Ok(()) | Err(_) => return Poll::Ready(()),
                }
            }
        })
    }

    /// Passes on bytes that nothing came before, and keeps what is left of them.
    fn handle_fresh(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> Next {
        let (consumed, next) = self.pass(bytes, desk);
        if let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            self.unhandled = rest.to_vec();
        }
        next
    }

    /// Passes on what was kept. What is left of it stays where it is.
    fn handle_joined(&mut self, desk: &mut Desk<'_>) -> Next {
        let joined = std::mem::take(&mut self.unhandled);
        let (consumed, next) = self.pass(joined.get(self.handled..).unwrap_or_default(), desk);
        self.handled += consumed;
        if self.handled < joined.len() {
            self.unhandled = joined;
        } else {
            self.handled = 0;
        }
        next
    }

    fn pass(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> (usize, Next) {
        desk.judge.prepare(desk.decoder, bytes, &mut self.foresight);
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let batch = desk.hub.receive(
                desk.conversation,
                self.lane,
                desk.decoder,
                rest,
                &mut self.foresight,
                &mut self.outbox,
            );
            self.foresight.advance(batch.consumed);
            if batch.consumed > 0 {
                self.patience.rest();
            }
            consumed += batch.consumed;
            self.may_read = batch.may_read;
            self.held = matches!(batch.next, Next::Wait);
            let rest = bytes.get(consumed..).unwrap_or_default();
            self.wanted = rest.len().saturating_add(batch.missing);
            // Where the extension answers at once nobody needs to wait, and the socket is not needed meanwhile.
            let foresight = &mut self.foresight;
            if !desk.judge.has_at_once(&batch.next, desk.decoder, rest, foresight) {
                self.foresight.clear();
                self.try_again |= matches!(batch.next, Next::Yield);
                return (consumed, batch.next);
            }
        }
    }
}

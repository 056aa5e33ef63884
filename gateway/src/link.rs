use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker::{Answer, Closing, Conversation, Delivery, Limit, Outbox, Question, Reviewed};
use mqtt::{Decoder, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::foresight::Foresight;
use crate::hub::{Hub, Next, Registration};
use crate::judge::Judge;
use crate::patience::Patience;

/// Bytes that are asked of a socket at a time, and that may wait to be written before it is
/// not read any more.
const READ_MAX: usize = 64 * 1024;

/// With TLS a read may bring the rest of a record more than was asked for.
const READ_ROOM: usize = READ_MAX + 18 * 1024;

/// How long a peer may take to read its last bytes once the broker has let go of it.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// How long a peer may take to close its side once it has been sent everything.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// How long the rest of a packet is waited for unless somebody says otherwise.
const PACKET_TIME: Duration = Duration::from_secs(30);

thread_local! {
    /// One buffer per thread serves every connection, so that an idle one costs none.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_ROOM].into_boxed_slice());
}

/// One accepted connection: moves bytes between the socket and the hub. It holds no MQTT
/// state besides the decoder and the bytes of a packet that is not complete.
pub(crate) struct Link<S> {
    stream: S,
    hub: Arc<Hub>,
    registration: Registration,
    conversation: Conversation,
    decoder: Decoder,
    /// Bytes that were read and not handled yet.
    unhandled: Vec<u8>,
    /// How many of those have been handled since.
    handled: usize,
    /// With fewer bytes `unhandled` holds no whole packet.
    wanted: usize,
    /// How long the rest of what it holds is waited for.
    patience: Patience,
    /// `unhandled` may hold a whole packet, or one that waits for `answer`.
    try_again: bool,
    /// Answers about what is to be passed on next.
    foresight: Foresight,
    may_read: bool,
    outbox: Outbox,
    written: usize,
    needs_flush: bool,
    closing: bool,
    /// Runs while the last bytes are written.
    linger: Option<Pin<Box<Sleep>>>,
    /// All has been written; what the peer still sends is thrown away until it closes.
    shut: bool,
}

/// Why [`Link::poll`] came to a stop.
pub(crate) enum Step {
    /// The packet at the front waits for this to be answered.
    Ask(Question),
    /// Interceptors are to see these before they leave.
    Review(Vec<Delivery>),
    /// The connection is over.
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(
        stream: S,
        hub: Arc<Hub>,
        registration: Registration,
        conversation: Conversation,
        decoder: Decoder,
        unhandled: Vec<u8>,
    ) -> Self {
        // What came behind CONNECT, and the CONNACK that waits, are looked at first.
        registration.mailbox.ring();
        Self {
            stream,
            hub,
            registration,
            conversation,
            decoder,
            try_again: !unhandled.is_empty(),
            unhandled,
            handled: 0,
            wanted: 0,
            patience: Patience::new(PACKET_TIME),
            foresight: Foresight::default(),
            may_read: true,
            outbox: Outbox::default(),
            written: 0,
            needs_flush: false,
            closing: false,
            linger: None,
            shut: false,
        }
    }

    /// Gives a packet that has begun so much time, besides that for its bytes.
    pub(crate) fn patient_for(mut self, time: Duration) -> Self {
        self.patience = Patience::new(time);
        self
    }

    /// Runs until the packet at the front needs an answer, interceptors are to see something or the connection is over.
    pub(crate) async fn run(&mut self, judge: &mut Judge) -> Step {
        std::future::poll_fn(|context| self.poll(context, judge)).await
    }

    /// Gives the answer that [`Step::Ask`] asked for.
    pub(crate) fn answer(&mut self, answer: Answer) {
        self.foresight.answer(answer);
        self.try_again = true;
    }

    /// Says what interceptors made of what [`Step::Review`] brought.
    pub(crate) fn reviewed(&mut self, made: Vec<Reviewed>) {
        self.hub.reviewed(self.conversation, made);
    }

    fn poll(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Step> {
        self.registration.mailbox.listen(context);
        match self.advance(context, judge) {
            Poll::Pending if self.gave_up_waiting(context) => Poll::Ready(Step::Done),
            step => step,
        }
    }

    /// Goes on until the socket or the hub makes it wait.
    fn advance(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Step> {
        loop {
            if self.shut {
                return self.discard(context);
            }
            let written = self.poll_write(context);
            if let Poll::Ready(Err(error)) = &written {
                return Poll::Ready(self.lost("write to", error));
            }
            if written.is_ready() && self.closing {
                self.shut = match ready!(Pin::new(&mut self.stream).poll_shutdown(context)) {
                    Ok(()) => true,
                    // The peer has gone already; there is nobody left to tell.
                    Err(_) => return Poll::Ready(Step::Done),
                };
                self.linger = Some(Box::pin(tokio::time::sleep(FAREWELL)));
                continue;
            }
            if written.is_ready() && self.registration.mailbox.take_ring() {
                if let Some(deliveries) = self.fetch(judge) {
                    return Poll::Ready(Step::Review(deliveries));
                }
                continue;
            }
            if self.closing {
                return Poll::Pending;
            }
            if self.try_again {
                self.try_again = false;
                match self.handle_joined(judge) {
                    Next::Read | Next::Closed => continue,
                    Next::Ask(question) => return Poll::Ready(Step::Ask(question)),
                }
            }
            if !self.may_read || (written.is_pending() && self.outbox.len() >= READ_MAX) {
                self.patience.rest();
                return Poll::Pending;
            }
            match self.poll_read(context, judge) {
                Poll::Ready(Ok(Next::Read | Next::Closed)) => {}
                Poll::Ready(Ok(Next::Ask(question))) => return Poll::Ready(Step::Ask(question)),
                Poll::Ready(Err(error)) => return Poll::Ready(self.lost("read from", &error)),
                Poll::Pending => {
                    self.check_patience(context);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Lets go of a peer that takes too long over a packet that it has begun. The hub rings then, as it always does when a
    /// connection ends.
    fn check_patience(&mut self, context: &mut Context<'_>) {
        if self.unhandled.len() <= self.handled {
            self.patience.rest();
        } else if self.patience.is_over(context, self.wanted) {
            let why = format!("a packet of {} bytes did not come in time", self.wanted);
            let closing = Closing::new(ReasonCode::QuotaExceeded, why);
            self.hub.disconnect(self.conversation, closing.because_of(Limit::PacketTime));
        }
    }

    /// Reads until the peer closes. Closing over unread bytes would reset the connection, and
    /// a reset overtakes the last bytes that were written.
    fn discard(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut filled = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut self.stream).poll_read(context, &mut filled)) {
                    Ok(()) if !filled.filled().is_empty() => {}
                    Ok(()) | Err(_) => return Poll::Ready(Step::Done),
                }
            }
        })
    }

    /// Whether the broker has let go of the connection and the peer takes too long over the rest.
    fn gave_up_waiting(&mut self, context: &mut Context<'_>) -> bool {
        if !self.closing && !self.registration.mailbox.is_closed() {
            return false;
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        linger.as_mut().poll(context).is_ready()
    }

    /// Writes what is in hand until none is left.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Fetches output, and notices when the broker has let go. Answers deliveries that interceptors are to see, if that
    /// takes waiting.
    fn fetch(&mut self, judge: &Judge) -> Option<Vec<Delivery>> {
        if let Some(last) = self.registration.mailbox.take_last() {
            self.outbox = last;
            self.closing = true;
            return None;
        }
        let link = self.registration.link;
        let fetched = self.hub.take_output(self.conversation, link, &mut self.outbox);
        self.may_read = fetched.may_read && fetched.alive;
        if fetched.deliveries.is_empty() {
            return None;
        }
        match judge.review_now(&fetched.deliveries) {
            Some(made) => {
                self.reviewed(made);
                None
            }
            None => Some(fetched.deliveries),
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        judge: &mut Judge,
    ) -> Poll<io::Result<Next>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut filled = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut filled))?;
            let bytes = filled.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if self.unhandled.is_empty() {
                return Poll::Ready(Ok(self.handle_fresh(bytes, judge)));
            }
            self.unhandled.drain(..self.handled);
            self.handled = 0;
            self.unhandled.extend_from_slice(bytes);
            if self.unhandled.len() < self.wanted {
                return Poll::Ready(Ok(Next::Read));
            }
            Poll::Ready(Ok(self.handle_joined(judge)))
        })
    }

    /// Passes on bytes that nothing came before, and keeps what is left of them.
    fn handle_fresh(&mut self, bytes: &[u8], judge: &mut Judge) -> Next {
        let (consumed, next) = self.pass(bytes, judge);
        if let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            self.unhandled = rest.to_vec();
        }
        next
    }

    /// Passes on what was kept. What is left of it stays where it is.
    fn handle_joined(&mut self, judge: &mut Judge) -> Next {
        let joined = std::mem::take(&mut self.unhandled);
        let (consumed, next) = self.pass(joined.get(self.handled..).unwrap_or_default(), judge);
        self.handled += consumed;
        if self.handled < joined.len() {
            self.unhandled = joined;
        } else {
            self.handled = 0;
        }
        next
    }

    fn pass(&mut self, bytes: &[u8], judge: &mut Judge) -> (usize, Next) {
        judge.prepare(&self.decoder, bytes, &mut self.foresight);
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let batch = self.hub.receive(
                self.conversation,
                self.registration.link,
                &mut self.decoder,
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
            let rest = bytes.get(consumed..).unwrap_or_default();
            self.wanted = rest.len().saturating_add(batch.missing);
            // Where the extension answers at once nobody needs to wait, and the socket is not needed meanwhile.
            if !judge.has_at_once(&batch.next, &self.decoder, rest, &mut self.foresight) {
                self.foresight.clear();
                return (consumed, batch.next);
            }
        }
    }

    /// The network connection is gone.
    fn lost(&mut self, verb: &str, error: &io::Error) -> Step {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the client closed the connection without DISCONNECT".to_owned()
            }
            _ => format!("cannot {verb} the socket: {error}"),
        };
        self.hub.disconnect(self.conversation, Closing::new(ReasonCode::UnspecifiedError, why));
        Step::Done
    }
}

impl<S> Drop for Link<S> {
    /// Whatever ended the task, a panic included: the broker must not go on as if the client were there.
    fn drop(&mut self) {
        let why = "the connection's task ended";
        self.hub.disconnect(self.conversation, Closing::new(ReasonCode::UnspecifiedError, why));
    }
}

#[cfg(test)]
mod tests;

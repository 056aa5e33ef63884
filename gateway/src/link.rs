use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker::{Answer, Closing, Conversation, Delivery, Lane, Question, Reviewed};
use mqtt::{Decoder, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use transport::SideStreams;

use crate::hub::{Hub, Next, Registration};
use crate::judge::Judge;
use channel::{Channel, Desk};
use sides::Sides;

mod channel;
mod sides;

/// How long a peer may take to read its last bytes once the broker has let go of it.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// How long a peer may take to close its side once it has been sent everything.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// How long the rest of a packet is waited for unless somebody says otherwise.
const PACKET_TIME: Duration = Duration::from_secs(30);

/// One accepted connection: moves bytes between the socket and the hub. It holds no MQTT
/// state besides the decoder and the bytes of a packet that is not complete.
pub(crate) struct Link<S> {
    main: Channel<S>,
    /// The streams beside it, where the transport has such.
    sides: Option<Box<Sides>>,
    /// The sides' turn is first.
    sides_first: bool,
    /// How long the rest of a packet is waited for, on each stream.
    packet_time: Duration,
    hub: Arc<Hub>,
    registration: Registration,
    conversation: Conversation,
    decoder: Decoder,
    /// Where the packet is that waits for an answer.
    asking: Lane,
    /// The hub has something, and what was fetched before is not written.
    look: bool,
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
    /// Its turn in the hub is over, and there is more to pass on: others come first.
    Yield,
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
            main: Channel::new(stream, Lane::CONTROL, unhandled, PACKET_TIME),
            packet_time: PACKET_TIME,
            sides: None,
            sides_first: false,
            hub,
            registration,
            conversation,
            decoder,
            asking: Lane::CONTROL,
            look: false,
            closing: false,
            linger: None,
            shut: false,
        }
    }

    /// Gives a packet that has begun so much time, besides that for its bytes.
    pub(crate) fn patient_for(mut self, time: Duration) -> Self {
        self.main.set_patience(time);
        self.packet_time = time;
        self
    }

    /// The same, for a connection whose client may open streams beside the first, with the patience that it has by now.
    pub(crate) fn with_sides(mut self, coming: Option<SideStreams>) -> Self {
        let time = self.packet_time;
        self.sides = coming.map(|coming| Box::new(Sides::new(coming, time)));
        self
    }

    /// Runs until the packet at the front needs an answer, interceptors are to see something or the connection is over.
    pub(crate) async fn run(&mut self, judge: &mut Judge) -> Step {
        std::future::poll_fn(|context| self.poll(context, judge)).await
    }

    /// Gives the answer that [`Step::Ask`] asked for.
    pub(crate) fn answer(&mut self, answer: Answer) {
        if self.asking == Lane::CONTROL {
            self.main.answer(answer);
        } else if let Some(side) = self.sides.as_mut().and_then(|it| it.channel(self.asking)) {
            side.answer(answer);
        }
    }

    /// Says what interceptors made of what [`Step::Review`] brought.
    pub(crate) fn reviewed(&mut self, made: Vec<Reviewed>) {
        self.hub.reviewed(self.conversation, made);
    }

    fn poll(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Step> {
        self.registration.mailbox.listen(context);
        if let Some(sides) = &mut self.sides {
            sides.expect();
        }
        match self.advance(context, judge) {
            Poll::Pending if self.gave_up_waiting(context) => Poll::Ready(Step::Done),
            step => step,
        }
    }

    /// Goes on until the socket or the hub makes it wait.
    fn advance(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Step> {
        loop {
            if self.sides.is_none() || self.closing {
                if let Some(step) = ready!(self.turn(context, judge)) {
                    return Poll::Ready(step);
                }
                continue;
            }
            let mut moved = false;
            for of_sides in [self.sides_first, !self.sides_first] {
                let turn = match of_sides {
                    true => self.turn_sides(context, judge),
                    false => self.turn(context, judge),
                };
                if let Poll::Ready(Some(step)) = turn {
                    // Who asks at every packet leaves room for the others.
                    self.sides_first = !of_sides;
                    return Poll::Ready(step);
                }
                moved |= turn.is_ready();
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// One turn of the first stream. Ready if it did something, with a step if it comes to a stop.
    fn turn(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Option<Step>> {
        if self.shut {
            return self.main.discard(context).map(|()| Some(Step::Done));
        }
        let written = self.main.poll_write(context);
        if let Poll::Ready(Err(error)) = &written {
            return Poll::Ready(Some(self.lost("write to", error)));
        }
        if written.is_ready() && self.closing {
            self.shut = match ready!(Pin::new(&mut self.main.stream).poll_shutdown(context)) {
                Ok(()) => true,
                // The peer has gone already; there is nobody left to tell.
                Err(_) => return Poll::Ready(Some(Step::Done)),
            };
            self.linger = Some(Box::pin(tokio::time::sleep(FAREWELL)));
            return Poll::Ready(None);
        }
        if written.is_ready() && self.is_rung() {
            return Poll::Ready(self.fetch(judge).map(Step::Review));
        }
        if self.closing {
            return Poll::Pending;
        }
        let Self { main, hub, conversation, decoder, .. } = self;
        let mut desk = Desk { hub, conversation: *conversation, decoder, judge };
        if let Some(next) = main.retry(&mut desk) {
            return Poll::Ready(self.after(next, Lane::CONTROL));
        }
        match ready!(main.read(context, &mut desk, written.is_ready())) {
            Ok(next) => Poll::Ready(self.after(next, Lane::CONTROL)),
            Err(error) => Poll::Ready(Some(self.lost("read from", &error))),
        }
    }

    /// One turn of each stream beside the first.
    fn turn_sides(&mut self, context: &mut Context<'_>, judge: &mut Judge) -> Poll<Option<Step>> {
        let rung = self.registration.mailbox.take_ring();
        if rung {
            // The first stream's turn may have been before.
            self.look = true;
            if let Some(sides) = &mut self.sides {
                sides.ring();
            }
            // What interceptors are to see is fetched with the rest, unless the first stream is not read.
            if !self.main.outbox.is_empty() {
                let deliveries = self.hub.take_deliveries(self.conversation);
                if let Some(deliveries) = self.left_to_review(deliveries, judge) {
                    return Poll::Ready(Some(Step::Review(deliveries)));
                }
            }
        }
        let Self { sides: Some(sides), hub, conversation, decoder, .. } = self else {
            return Poll::Pending;
        };
        let mut desk = Desk { hub, conversation: *conversation, decoder, judge };
        match sides.turn(context, &mut desk) {
            Poll::Pending if rung => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(stop) => Poll::Ready(stop.and_then(|(lane, next)| self.after(next, lane))),
        }
    }

    fn after(&mut self, next: Next, lane: Lane) -> Option<Step> {
        match next {
            Next::Read | Next::Wait | Next::Closed => None,
            Next::Yield => Some(Step::Yield),
            Next::Ask(question) => {
                self.asking = lane;
                Some(Step::Ask(question))
            }
        }
    }

    /// Whether something is to be fetched from the hub.
    fn is_rung(&mut self) -> bool {
        let rung = self.registration.mailbox.take_ring();
        if let Some(sides) = self.sides.as_mut().filter(|_| rung) {
            sides.ring();
        }
        std::mem::take(&mut self.look) || rung
    }

    /// Whether the broker has let go of the connection and the peer takes too long over the rest.
    fn gave_up_waiting(&mut self, context: &mut Context<'_>) -> bool {
        if !self.closing && !self.registration.mailbox.is_closed() {
            return false;
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        linger.as_mut().poll(context).is_ready()
    }

    /// Fetches output, and notices when the broker has let go. Answers deliveries that interceptors are to see, if that
    /// takes waiting.
    fn fetch(&mut self, judge: &Judge) -> Option<Vec<Delivery>> {
        if let Some(last) = self.registration.mailbox.take_last() {
            self.main.outbox = last;
            self.closing = true;
            return None;
        }
        let fetched = self.hub.take_output(self.conversation, &mut self.main.outbox);
        self.main.allow_reading(fetched.may_read && fetched.alive);
        self.left_to_review(fetched.deliveries, judge)
    }

    /// What is left of deliveries that interceptors are to see, once those have answered that answer at once.
    fn left_to_review(
        &mut self,
        deliveries: Vec<Delivery>,
        judge: &Judge,
    ) -> Option<Vec<Delivery>> {
        if deliveries.is_empty() {
            return None;
        }
        match judge.review_now(&deliveries) {
            Some(made) => {
                self.reviewed(made);
                None
            }
            None => Some(deliveries),
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

use std::io;

use bridge::{End, Relay, Ruling};
use mqtt::Disconnect;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;
use transport::Dialed;

use super::review::{Review, Thinking};
use super::session::Session;
use super::status::Status;
use crate::clock::Clock;

/// Bytes that are read at a time.
const READ_MAX: usize = 64 << 10;

/// One connection to upstream, and the local conversation that belongs to it: moves bytes between the two and the relay.
pub(super) struct Conversation<'a> {
    pub(super) relay: Relay,
    pub(super) session: &'a Session,
    pub(super) status: &'a Status,
    pub(super) clock: Clock,
    /// Who sees what is sent.
    review: Option<&'a Review>,
    /// Somebody decides about a message.
    thinking: Option<Thinking>,
    from_upstream: ReadHalf<Dialed>,
    to_upstream: Way<WriteHalf<Dialed>>,
    local: Option<(ReadHalf<DuplexStream>, Way<WriteHalf<DuplexStream>>)>,
    /// What upstream is to be shown when what it was shown is about to end.
    renewals: mpsc::Receiver<Vec<u8>>,
    session_present: bool,
    /// Messages pass, and the operator has read so.
    told: bool,
}

/// Bytes on their way to somebody.
struct Way<W> {
    writer: W,
    bytes: Vec<u8>,
    written: usize,
    flushed: bool,
}

impl<W: AsyncWrite + Unpin> Way<W> {
    fn to(writer: W) -> Self {
        Self { writer, bytes: Vec::new(), written: 0, flushed: true }
    }

    /// Takes bytes over, if it has none.
    fn take(&mut self, more: &mut Vec<u8>) {
        if self.written == self.bytes.len() && !more.is_empty() {
            self.bytes = std::mem::take(more);
            (self.written, self.flushed) = (0, false);
        }
    }

    /// Writes until there is nothing more; never ready if there is nothing now. What is dropped before it is ready has lost
    /// nothing.
    async fn drain(&mut self) -> io::Result<()> {
        if self.flushed {
            return std::future::pending().await;
        }
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = self.writer.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += count;
        }
        self.writer.flush().await?;
        self.flushed = true;
        Ok(())
    }
}

/// What came, or that time has passed.
enum Input {
    Upstream(io::Result<usize>),
    Local(io::Result<usize>),
    Written(io::Result<()>),
    LocalWritten(io::Result<()>),
    Ruled(Ruling),
    Renewal(Vec<u8>),
    Deadline,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        stream: Dialed,
        relay: Relay,
        renewals: mpsc::Receiver<Vec<u8>>,
        session: &'a Session,
        status: &'a Status,
        clock: Clock,
    ) -> Self {
        let (from_upstream, writer) = tokio::io::split(stream);
        Self {
            relay,
            session,
            status,
            clock,
            review: None,
            thinking: None,
            from_upstream,
            to_upstream: Way::to(writer),
            local: None,
            renewals,
            session_present: false,
            told: false,
        }
    }

    /// Has these see what is sent.
    pub(super) fn reviewed(mut self, review: Option<&'a Review>) -> Self {
        self.review = review;
        self
    }

    /// Has decided about what is to be sent, as far as that is done at once.
    fn consult(&mut self) -> Result<(), End> {
        let Some(review) = self.review else { return Ok(()) };
        self.relay.show(review.filters());
        while self.thinking.is_none()
            && let Some(question) = self.relay.poll_question()
        {
            match review.decide(question) {
                Ok(ruling) => self.relay.handle_ruling(self.clock.now(), ruling)?,
                Err(thinking) => self.thinking = Some(thinking),
            }
        }
        Ok(())
    }

    /// Runs until either side ends it. Answers why.
    pub(super) async fn run(&mut self) -> End {
        let (mut upstream, mut local) = (Vec::new(), Vec::new());
        loop {
            match self.step(&mut upstream, &mut local).await {
                Ok(()) => {}
                Err(end) => {
                    self.report();
                    return end;
                }
            }
        }
    }

    /// Gives up all subscriptions at upstream; answers whether it has confirmed that.
    pub(super) async fn withdraw(&mut self) -> bool {
        if self.relay.withdraw(self.clock.now()).is_err() {
            return false;
        }
        let (mut upstream, mut local) = (Vec::new(), Vec::new());
        while !self.relay.is_withdrawn() {
            if self.step(&mut upstream, &mut local).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says goodbye, where upstream may still listen; if it `is_last`, upstream may forget the session as soon as nothing here
    /// waits for it.
    pub(super) async fn leave(&mut self, is_last: bool) {
        let kept_s = if self.session.waiting() == 0 { 0 } else { self.session.kept_for.as_secs() };
        let session_expiry = is_last.then(|| u32::try_from(kept_s).unwrap_or(u32::MAX));
        let last = Disconnect { session_expiry, ..Disconnect::default() };
        let mut bytes = Vec::new();
        // Without text there is nothing in it that could not be written.
        let _ = last.encode(self.relay.upstream_version(), &mut bytes);
        // Whoever does not listen any more has its own idea of why.
        let _ = self.to_upstream.drain_if_any().await;
        let _ = self.to_upstream.writer.write_all(&bytes).await;
        let _ = self.to_upstream.writer.shutdown().await;
    }

    async fn step(&mut self, upstream: &mut Vec<u8>, local: &mut Vec<u8>) -> Result<(), End> {
        if let Some(terms) = self.relay.local_terms() {
            self.session_present = terms.session_present;
            let stream = self.session.open(terms).map_err(End::Local)?;
            let (reader, writer) = tokio::io::split(stream);
            self.local = Some((reader, Way::to(writer)));
        }
        self.consult()?;
        self.to_upstream.take(self.relay.upstream_output());
        if let Some((_, way)) = &mut self.local {
            way.take(self.relay.local_output());
        }
        let input = self.input(upstream, local).await;
        let now = self.clock.now();
        match input {
            Input::Upstream(Ok(0)) => {
                return Err(self.relay.upstream_closed("the end of the connection"));
            }
            Input::Upstream(Ok(_)) => {
                let handled = self.relay.handle_upstream(now, upstream);
                upstream.clear();
                handled?;
            }
            Input::Local(Ok(0)) => return Err(End::Local("the broker closed it".to_owned())),
            Input::Local(Ok(_)) => {
                let handled = self.relay.handle_local(now, local);
                local.clear();
                handled?;
            }
            Input::Written(Ok(())) | Input::LocalWritten(Ok(())) => {}
            Input::Upstream(Err(error)) | Input::Written(Err(error)) => {
                return Err(self.relay.upstream_closed(&format!("nothing more: {error}")));
            }
            Input::Local(Err(error)) | Input::LocalWritten(Err(error)) => {
                return Err(End::Local(error.to_string()));
            }
            Input::Ruled(ruling) => {
                self.thinking = None;
                self.relay.handle_ruling(now, ruling)?;
            }
            Input::Renewal(shown) => self.relay.authenticate_again(now, &shown)?,
            Input::Deadline => self.relay.handle_deadline(now)?,
        }
        self.report();
        Ok(())
    }

    /// Waits for whatever comes first.
    async fn input(&mut self, upstream: &mut Vec<u8>, local: &mut Vec<u8>) -> Input {
        let deadline = self.relay.next_deadline().map(|at| self.clock.instant(at));
        let (wants_upstream, wants_local) = (self.relay.wants_upstream(), self.relay.wants_local());
        let (reader, way) = match &mut self.local {
            Some((reader, way)) => (Some(reader), Some(way)),
            None => (None, None),
        };
        tokio::select! {
            read = receive(Some(&mut self.from_upstream), upstream), if wants_upstream => Input::Upstream(read),
            read = receive(reader, local), if wants_local => Input::Local(read),
            written = self.to_upstream.drain() => Input::Written(written),
            written = drain(way) => Input::LocalWritten(written),
            ruling = ruled(&mut self.thinking) => Input::Ruled(ruling),
            Some(shown) = self.renewals.recv() => Input::Renewal(shown),
            () = sleep_until(deadline) => Input::Deadline,
        }
    }

    fn report(&mut self) {
        self.status.count(self.relay.counts());
        self.status.health(self.relay.health());
        while let Some(event) = self.relay.poll_event() {
            self.status.tell(&event);
        }
        if !self.told && self.relay.is_running() {
            self.told = true;
            self.status.connected(self.session_present);
        }
    }
}

impl<W: AsyncWrite + Unpin> Way<W> {
    async fn drain_if_any(&mut self) -> io::Result<()> {
        if self.flushed { Ok(()) } else { self.drain().await }
    }
}

async fn receive<R: AsyncRead + Unpin>(
    reader: Option<&mut R>,
    bytes: &mut Vec<u8>,
) -> io::Result<usize> {
    match reader {
        Some(reader) => {
            bytes.reserve(READ_MAX);
            reader.read_buf(bytes).await
        }
        None => std::future::pending().await,
    }
}

async fn drain<W: AsyncWrite + Unpin>(way: Option<&mut Way<W>>) -> io::Result<()> {
    match way {
        Some(way) => way.drain().await,
        None => std::future::pending().await,
    }
}

async fn ruled(thinking: &mut Option<Thinking>) -> Ruling {
    match thinking {
        Some(thinking) => thinking.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

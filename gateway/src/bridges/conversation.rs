use std::io;
use std::time::{Duration, Instant};

use bridge::{Each, End, Priority, Relay, Ruling};
use mqtt::Disconnect;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;
use transport::Dialed;

use super::review::{Review, Thinking};
use super::sessions::Sessions;
use super::status::Status;
use crate::clock::Clock;

/// How often it is looked what is left of a backlog, besides counting what goes.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that are read at a time.
const READ_MAX: usize = 64 << 10;

/// One connection to upstream, and the local conversations that belong to it: moves bytes between them and the relay.
pub(super) struct Conversation<'a> {
    pub(super) relay: Relay,
    pub(super) sessions: &'a Sessions,
    pub(super) status: &'a Status,
    pub(super) clock: Clock,
    /// Who sees what is sent.
    review: Option<&'a Review>,
    /// Somebody decides about a message.
    thinking: Option<Thinking>,
    from_upstream: ReadHalf<Dialed>,
    to_upstream: Way<WriteHalf<Dialed>>,
    locals: Each<Option<Local>>,
    /// What upstream is to be shown when what it was shown is about to end.
    renewals: mpsc::Receiver<Vec<u8>>,
    session_present: bool,
    /// When the backlog was last looked at.
    looked: Instant,
    /// Messages pass, and the operator has read so.
    told: bool,
}

/// A conversation with the local broker.
struct Local {
    reader: ReadHalf<DuplexStream>,
    way: Way<WriteHalf<DuplexStream>>,
    /// Bytes that were read.
    input: Vec<u8>,
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
    Local(Priority, LocalInput),
    Written(io::Result<()>),
    Ruled(Ruling),
    Renewal(Vec<u8>),
    Deadline,
}

enum LocalInput {
    Read(io::Result<usize>),
    Written(io::Result<()>),
}

impl Local {
    fn new(stream: DuplexStream) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, way: Way::to(writer), input: Vec::new() }
    }

    /// Waits for bytes, if any are wanted, and until those on their way are written. What is dropped before it is ready has
    /// lost nothing.
    async fn next(&mut self, wanted: bool) -> LocalInput {
        tokio::select! {
            read = receive(&mut self.reader, &mut self.input), if wanted => LocalInput::Read(read),
            written = self.way.drain() => LocalInput::Written(written),
        }
    }
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        stream: Dialed,
        relay: Relay,
        renewals: mpsc::Receiver<Vec<u8>>,
        sessions: &'a Sessions,
        status: &'a Status,
        clock: Clock,
    ) -> Self {
        let (from_upstream, writer) = tokio::io::split(stream);
        Self {
            relay,
            sessions,
            status,
            clock,
            review: None,
            thinking: None,
            from_upstream,
            to_upstream: Way::to(writer),
            locals: Each::default(),
            renewals,
            session_present: false,
            looked: Instant::now(),
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
        let mut upstream = Vec::new();
        loop {
            match self.step(&mut upstream).await {
                Ok(()) => {}
                Err(end) => {
                    self.report();
                    return end;
                }
            }
        }
    }

    /// Sends nothing more than what is on its way, and waits until upstream has that, and each side knows.
    pub(super) async fn finish(&mut self) {
        let mut upstream = Vec::new();
        let mut goes_on = self.relay.wind_up(self.clock.now()).is_ok();
        while goes_on && !(self.relay.is_wound_up() && self.has_written()) {
            goes_on = self.step(&mut upstream).await.is_ok();
        }
    }

    fn has_written(&self) -> bool {
        let mut locals = self.locals.iter().flatten();
        self.to_upstream.flushed && locals.all(|local| local.way.flushed)
    }

    /// Gives up all subscriptions at upstream; answers whether it has confirmed that.
    pub(super) async fn withdraw(&mut self) -> bool {
        if self.relay.withdraw(self.clock.now()).is_err() {
            return false;
        }
        let mut upstream = Vec::new();
        while !self.relay.is_withdrawn() {
            if self.step(&mut upstream).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says goodbye, where upstream may still listen; if it `is_last`, upstream may forget the session as soon as nothing here
    /// waits for it.
    pub(super) async fn leave(&mut self, is_last: bool) {
        let sessions = self.sessions;
        let kept_s = if sessions.waiting() == 0 { 0 } else { sessions.kept_for.as_secs() };
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

    async fn step(&mut self, upstream: &mut Vec<u8>) -> Result<(), End> {
        if let Some(terms) = self.relay.local_terms() {
            self.session_present = terms.session_present;
            for (priority, stream) in self.sessions.open(terms).map_err(End::Local)? {
                *self.locals.of_mut(priority) = Some(Local::new(stream));
            }
            self.look_at_backlog();
        }
        self.consult()?;
        self.to_upstream.take(self.relay.upstream_output());
        for priority in Priority::ALL {
            if let Some(local) = self.locals.of_mut(priority) {
                local.way.take(self.relay.local_output(priority));
            }
        }
        let input = self.input(upstream).await;
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
            Input::Local(_, LocalInput::Read(Ok(0))) => {
                return Err(End::Local("the broker closed it".to_owned()));
            }
            Input::Local(priority, LocalInput::Read(Ok(_))) => {
                let Some(local) = self.locals.of_mut(priority) else { return Ok(()) };
                let handled = self.relay.handle_local(now, priority, &local.input);
                local.input.clear();
                handled?;
            }
            Input::Written(Ok(())) | Input::Local(_, LocalInput::Written(Ok(()))) => {}
            Input::Upstream(Err(error)) | Input::Written(Err(error)) => {
                return Err(self.relay.upstream_closed(&format!("nothing more: {error}")));
            }
            Input::Local(_, LocalInput::Read(Err(error)) | LocalInput::Written(Err(error))) => {
                return Err(End::Local(error.to_string()));
            }
            Input::Ruled(ruling) => {
                self.thinking = None;
                self.relay.handle_ruling(now, ruling)?;
            }
            Input::Renewal(shown) => self.relay.authenticate_again(now, &shown)?,
            Input::Deadline => self.relay.handle_deadline(now)?,
        }
        if self.relay.backlog() > 0 && self.looked.elapsed() >= BACKLOG_INTERVAL {
            self.look_at_backlog();
        }
        self.report();
        Ok(())
    }

    /// Waits for whatever comes first.
    async fn input(&mut self, upstream: &mut Vec<u8>) -> Input {
        let deadline = self.relay.next_deadline().map(|at| self.clock.instant(at));
        let wants_upstream = self.relay.wants_upstream();
        let wanted = Each::from_fn(|priority| self.relay.wants_local(priority));
        let Each { high, normal, low } = &mut self.locals;
        tokio::select! {
            read = receive(&mut self.from_upstream, upstream), if wants_upstream => Input::Upstream(read),
            input = next(high, wanted.high) => Input::Local(Priority::High, input),
            input = next(normal, wanted.normal) => Input::Local(Priority::Normal, input),
            input = next(low, wanted.low) => Input::Local(Priority::Low, input),
            written = self.to_upstream.drain() => Input::Written(written),
            ruling = ruled(&mut self.thinking) => Input::Ruled(ruling),
            Some(shown) = self.renewals.recv() => Input::Renewal(shown),
            () = sleep_until(deadline) => Input::Deadline,
        }
    }

    /// Tells the relay what waits; some of what waited may have expired.
    fn look_at_backlog(&mut self) {
        for (priority, owed) in self.sessions.owed() {
            self.relay.note_owed(priority, owed);
        }
        self.looked = Instant::now();
    }

    fn report(&mut self) {
        self.status.count(self.relay.counts(), self.relay.backlog());
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

async fn receive<R: AsyncRead + Unpin>(reader: &mut R, bytes: &mut Vec<u8>) -> io::Result<usize> {
    bytes.reserve(READ_MAX);
    reader.read_buf(bytes).await
}

async fn next(local: &mut Option<Local>, wanted: bool) -> LocalInput {
    match local {
        Some(local) => local.next(wanted).await,
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

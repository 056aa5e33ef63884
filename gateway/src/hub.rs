mod lanes;
mod memory;
mod queries;
mod revocation;
mod turn;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use broker::durable::{Lsn, Page};
use broker::{
    Admission, Admitted, Broker, Closing, Conversation, Delivery, Effect, Event, Flow, Interests,
    Lane, Limit, LinkId, Memory, Outbox, Question, Reader, Reviewed,
};
use mqtt::{DecodeError, Decoded, Decoder, ReasonCode, TopicName};
use telemetry::Counter;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::disk::Errand;
use crate::facilities::Deed;
use crate::foresight::Foresight;
use crate::mailbox::Mailbox;
use crate::presence::Presence;
use crate::report::Reporter;
use crate::system::Totals;
use crate::tenants::Tenants;
use turn::Turn;

/// How long whoever has had a turn holds back for those who wait for theirs, at most.
const COURTESY: Duration = Duration::from_millis(1);

/// Bytes of a packet that is not whole yet, for which there is always room.
pub(crate) const LARGE: usize = 64 * 1024;

/// The one place where the broker lives. Links enter it with a whole batch of bytes; the
/// committer enters it when the disk has caught up; the timer when something is due.
///
/// Every entry takes one short lock, never held across an await or a system call, and
/// then carries out what the broker asked for: wake links, hand a commit to the disk.
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    /// Threads that wait for the lock.
    waiting: AtomicUsize,
    clock: Clock,
    disk: Box<dyn Fn(Errand) + Send + Sync>,
    reporter: Arc<Reporter>,
    /// Connections that listeners accepted.
    pub(crate) sockets: Counter,
    /// CONNECT packets.
    connects: Counter,
    /// Rung when the next deadline has moved nearer.
    pub(crate) nearer_deadline: Notify,
    /// Rung when the disk has caught up with everything.
    settled: Notify,
    meter: memory::Meter,
}

struct Inner {
    broker: Broker,
    tenants: Tenants,
    /// The deadline that the timer sleeps towards.
    deadline: Option<broker::Timestamp>,
    /// The gateway stops: nobody is let in any more.
    stopping: bool,
}

/// A link's entry in the hub, which goes with it.
pub(crate) struct Registration {
    hub: Arc<Hub>,
    pub(crate) link: LinkId,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// What became of the bytes that a link passed in.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Bytes that were handled; the rest is an incomplete packet, or waits for an answer.
    pub(crate) consumed: usize,
    /// Bytes that the rest lacks at least to be a whole packet.
    pub(crate) missing: usize,
    pub(crate) next: Next,
    /// Whether the link is to go on reading its socket; if not, it is rung in time.
    pub(crate) may_read: bool,
}

/// What a link has fetched besides its output.
pub(crate) struct Fetched {
    /// Whether the broker still knows the connection.
    pub(crate) alive: bool,
    /// Whether the link is to go on reading its socket.
    pub(crate) may_read: bool,
    /// What interceptors are to see before it leaves.
    pub(crate) deliveries: Vec<Delivery>,
}

/// How a link goes on.
#[derive(Debug)]
pub(crate) enum Next {
    Read,
    /// Its turn is over, and there is more to pass on; others come first.
    Yield,
    /// The packet at the front is to be passed again when the link may read again.
    Wait,
    Ask(Question),
    Closed,
}

/// What an entry leaves to be done once the lock is released.
#[derive(Default)]
struct Aftermath {
    wake: Vec<Arc<Mailbox>>,
    close: Vec<(Arc<Mailbox>, Outbox)>,
    /// Each with how the client came in that was denied something.
    events: Vec<(Event, Option<Arc<Presence>>)>,
    errands: Vec<Errand>,
    nearer_deadline: bool,
    settled: bool,
}

impl Hub {
    pub(crate) fn new(
        broker: Broker,
        clock: Clock,
        disk: Box<dyn Fn(Errand) + Send + Sync>,
        reporter: Arc<Reporter>,
    ) -> Self {
        let inner = Inner { broker, tenants: Tenants::default(), deadline: None, stopping: false };
        let nearer_deadline = Notify::new();
        Self {
            inner: Mutex::new(inner),
            waiting: AtomicUsize::new(0),
            clock,
            disk,
            reporter,
            sockets: Counter::default(),
            connects: Counter::default(),
            nearer_deadline,
            settled: Notify::new(),
            meter: memory::Meter::new(),
        }
    }

    /// Makes a link known, so that the broker can reach it.
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let mailbox = Arc::new(Mailbox::default());
        let link = self.lock().tenants.add(&mailbox);
        Registration { hub: Arc::clone(self), link, mailbox }
    }

    pub(crate) fn new_client_id(&self) -> Arc<str> {
        self.lock().broker.new_client_id()
    }

    /// A CONNECT of `bytes` was read, whatever becomes of it.
    pub(crate) fn knocked(&self, bytes: usize) {
        self.connects.increment();
        self.lock().broker.count_input(1, bytes as u64);
    }

    pub(crate) fn connect(&self, admission: Admission<'_>) -> Admitted {
        let now = self.clock.now();
        let mut inner = self.lock();
        if inner.stopping {
            return Admitted::Refused(Closing::new(
                ReasonCode::ServerShuttingDown,
                "the gateway stops",
            ));
        }
        let admitted = inner.broker.connect(now, admission);
        self.finish(inner, None);
        admitted
    }

    /// Handles every whole packet in `bytes` for which there is time, one at least, which came on `lane`, and fetches output
    /// for that if `outbox` is empty.
    pub(crate) fn receive(
        &self,
        from: Conversation,
        lane: Lane,
        decoder: &mut Decoder,
        bytes: &[u8],
        foresight: &mut Foresight,
        outbox: &mut Outbox,
    ) -> Batch {
        self.watch_memory();
        let now = self.clock.now();
        let (mut consumed, mut missing, mut packets) = (0, 0, 0);
        let mut inner = self.lock();
        let broker = &mut inner.broker;
        let mut turn = Turn::begin(now, broker.searches());
        let backlog = broker.backlog();
        if foresight.take_revoked() {
            broker.forget_rulings(from);
        }
        let next = loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            match decoder.decode(rest) {
                Ok(Decoded::Incomplete { missing: at_least }) => {
                    missing = at_least;
                    if missing > LARGE && broker.memory() == Memory::Full {
                        broker.disconnect(now, from, no_room(missing));
                        break Next::Closed;
                    }
                    break Next::Read;
                }
                Ok(Decoded::Packet { packet, len }) => {
                    let answer = foresight.about(consumed);
                    let flow = broker.receive_on(now, from, lane, &packet, answer);
                    match flow {
                        Flow::Ask(question) => break Next::Ask(question),
                        Flow::Wait => break Next::Wait,
                        Flow::Continue | Flow::Closed => {}
                    }
                    consumed += len;
                    packets += 1;
                    if flow == Flow::Closed {
                        break Next::Closed;
                    }
                    if turn.is_over(len, broker.searches(), || self.clock.now()) {
                        break Next::Yield;
                    }
                }
                Err(error) => {
                    broker.disconnect(now, from, broken(&error));
                    break Next::Closed;
                }
            }
        };
        broker.count_input(packets, consumed as u64);
        // A link that still writes comes back when it is rung.
        let fetches = outbox.is_empty();
        if fetches && lane == Lane::CONTROL {
            broker.take_output(now, from, outbox);
        } else if fetches {
            // Should the stream be over, the link hears it when it is rung.
            broker.take_output_of(now, from, lane, outbox);
        }
        let adds = inner.broker.backlog() > backlog;
        let may_read = inner.may_read(from, lane, adds);
        self.finish(inner, fetches.then_some(from));
        if matches!(next, Next::Yield) {
            self.give_way();
        }
        Batch { consumed, missing, next, may_read }
    }

    /// Fetches what waits for a link: on its first stream, and for interceptors.
    pub(crate) fn take_output(&self, to: Conversation, outbox: &mut Outbox) -> Fetched {
        let now = self.clock.now();
        let mut inner = self.lock();
        let alive = inner.broker.take_output(now, to, outbox);
        let deliveries = inner.broker.take_deliveries(now, to);
        let may_read = inner.may_read(to, Lane::CONTROL, false);
        self.finish(inner, Some(to));
        Fetched { alive, may_read, deliveries }
    }

    /// Interceptors have seen what was fetched last.
    pub(crate) fn reviewed(&self, to: Conversation, made: Vec<Reviewed>) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.reviewed(now, to, made);
        self.finish(inner, None);
    }

    /// The interceptors of a listener want to see other messages from now on.
    pub(crate) fn set_interests(&self, listener: u16, interests: Interests) {
        self.lock().broker.set_interests(listener, interests);
    }

    pub(crate) fn disconnect(&self, from: Conversation, closing: Closing) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.disconnect(now, from, closing);
        self.finish(inner, None);
    }

    /// The disk has written everything up to `upto`, and synced it, or not yet.
    pub(crate) fn committed(&self, upto: Lsn, synced: bool) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.committed(now, upto, synced);
        let resumed = if inner.broker.is_congested() { Vec::new() } else { inner.tenants.resume() };
        self.finish(inner, None);
        resumed.iter().for_each(|mailbox| mailbox.ring());
    }

    /// The disk has read what the broker wanted.
    pub(crate) fn page_read(&self, reader: Reader, page: Page) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.page_read(now, reader, page);
        self.finish(inner, None);
    }

    /// The disk is full, or has space again.
    pub(crate) fn set_disk_full(&self, full: bool) {
        self.lock().broker.set_disk_full(full);
    }

    /// Does what is due, and says when to come again.
    pub(crate) fn tick(&self) -> Option<std::time::Instant> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.handle_deadline(now);
        inner.deadline = inner.broker.next_deadline();
        let next = inner.deadline.map(|at| self.clock.instant(at));
        self.finish(inner, None);
        next
    }

    /// Ends every conversation; what they are owed goes to the disk.
    pub(crate) fn shut_down(&self) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.stopping = true;
        inner.broker.shut_down(now);
        self.finish(inner, None);
    }

    /// Waits until everything that the broker wants on disk is there.
    pub(crate) async fn settled(&self) {
        loop {
            let rung = self.settled.notified();
            if self.lock().broker.is_settled() {
                return;
            }
            rung.await;
        }
    }

    /// What is counted here; the disk counts for itself.
    pub(crate) fn totals(&self) -> Totals {
        let (sockets, connects) = (self.sockets.get(), self.connects.get());
        let inner = self.lock();
        let (broker, pauses) = (inner.broker.stats(), inner.tenants.pauses());
        let decisions_dropped = self.reporter.decisions.as_ref().map_or(0, |it| it.dropped());
        let events_missed = self.reporter.missed();
        let memory = self.memory_usage();
        Totals {
            broker,
            sockets,
            connects,
            pauses,
            decisions_dropped,
            events_missed,
            memory,
            ..Totals::default()
        }
    }

    /// Publishes what the gateway says of itself: topics and their values.
    pub(crate) fn publish_system(&self, values: &[(String, String)]) {
        let now = self.clock.now();
        let mut inner = self.lock();
        for (topic, value) in values {
            if let Ok(topic) = TopicName::new(topic) {
                inner.broker.publish_system(now, topic, value.as_bytes());
            }
        }
        self.finish(inner, None);
    }

    /// Does what extensions want done, in order.
    pub(crate) fn carry_out(&self, deeds: Vec<Deed>) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let mut undone = Vec::new();
        for deed in deeds {
            if let Err(why) = deed.carry_out(now, &mut inner.broker) {
                undone.push((deed.by, why));
            }
        }
        self.finish(inner, None);
        for (extension, why) in undone {
            self.reporter.order_undone(&extension, &why);
        }
    }

    /// A panic in the broker would be a bug that one packet brought out; the lock is taken
    /// over because the other conversations had no part in it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        match self.inner.try_lock() {
            Ok(inner) => return inner,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        inner
    }

    /// Lets those in who wait. The lock itself is not fair: whoever releases it and comes again at once is there before a
    /// thread that has to wake up first.
    fn give_way(&self) {
        let until = Instant::now() + COURTESY;
        while self.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            thread::yield_now();
        }
    }

    /// Collects what the broker asked for, releases the lock, and carries it out. `own` is
    /// the link that entered and fetched its output: it is rung only if there is more.
    fn finish(&self, mut inner: MutexGuard<'_, Inner>, own: Option<Conversation>) {
        let aftermath = inner.aftermath(own);
        drop(inner);
        aftermath.errands.into_iter().for_each(&self.disk);
        aftermath.wake.iter().for_each(|mailbox| mailbox.ring());
        for (mailbox, last) in aftermath.close {
            mailbox.close(last);
        }
        for (event, presence) in aftermath.events {
            self.reporter.event(&event, presence.as_deref());
        }
        if aftermath.nearer_deadline {
            self.nearer_deadline.notify_one();
        }
        if aftermath.settled {
            self.settled.notify_one();
        }
    }
}

impl Inner {
    fn aftermath(&mut self, own: Option<Conversation>) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let sated = own.filter(|own| !self.broker.has_output(*own)).map(Conversation::link);
        while let Some(effect) = self.broker.poll_effect() {
            match effect {
                Effect::Wake(link) if Some(link) == sated => {}
                Effect::Wake(link) => aftermath.wake.extend(self.tenants.mailbox(link)),
                Effect::Close { link, last } => {
                    let mailbox = self.tenants.mailbox(link);
                    aftermath.close.extend(mailbox.map(|mailbox| (mailbox, last)));
                }
                Effect::Read { reader, read } => {
                    aftermath.errands.push(Errand::Read { reader, read });
                }
                Effect::Event(event) => {
                    let presence = self.denied(&event);
                    aftermath.events.push((event, presence));
                }
            }
        }
        if let Some(commit) = self.broker.take_commit() {
            aftermath.errands.push(Errand::Commit(commit));
        }
        aftermath.settled = self.stopping && self.broker.is_settled();
        let next = self.broker.next_deadline();
        if next.is_some_and(|next| self.deadline.is_none_or(|known| next < known)) {
            self.deadline = next;
            aftermath.nearer_deadline = true;
        }
        aftermath
    }

    /// How the client came in that is denied something.
    fn denied(&self, event: &Event) -> Option<Arc<Presence>> {
        let Event::Denied { client_id, .. } = event else { return None };
        self.tenants.presence(self.broker.link_of(client_id)?)
    }

    /// Whether a link is to read its socket. If not, it will be rung when that may have changed.
    /// While the disk lags, one that `adds` to what the disk has to do stops; the others go on
    /// until so much waits that everybody stops.
    fn may_read(&mut self, who: Conversation, lane: Lane, adds: bool) -> bool {
        let link = who.link();
        if self.broker.is_congested() {
            if adds || self.broker.is_jammed() {
                self.tenants.pause(link);
            }
            if self.tenants.is_paused(link) {
                return false;
            }
        }
        !self.broker.is_overdrawn_on(who, lane)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.lock().tenants.remove(self.link);
    }
}

/// Why a conversation ends of which a large packet would have to be kept until it is whole.
pub(crate) fn no_room(bytes: usize) -> Closing {
    let why = format!("there is no memory for a packet of which {bytes} bytes are still to come");
    Closing::new(ReasonCode::QuotaExceeded, why).because_of(Limit::Memory)
}

/// Why a conversation ends whose bytes make no sense.
fn broken(error: &DecodeError) -> Closing {
    let closing = Closing::new(error.reason_code(), error.to_string());
    match error {
        DecodeError::PacketTooLarge { .. } => closing.because_of(Limit::PacketSize),
        _ => closing,
    }
}

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker::durable::Lsn;
use broker::{
    Admission, Admitted, Answer, Broker, Closing, Conversation, Effect, Event, Flow, Limit, LinkId,
    Outbox, Question,
};
use mqtt::{DecodeError, Decoded, Decoder, ReasonCode, TopicName};
use slab::Slab;
use telemetry::Counter;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::mailbox::Mailbox;
use crate::report::Reporter;
use crate::system::Totals;

/// The one place where the broker lives. Links enter it with a whole batch of bytes; the
/// committer enters it when the disk has caught up; the timer when something is due.
///
/// Every entry takes one short lock, never held across an await or a system call, and
/// then carries out what the broker asked for: wake links, hand a commit to the disk.
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    clock: Clock,
    disk: Box<dyn Fn(broker::durable::Commit) + Send + Sync>,
    reporter: Arc<Reporter>,
    /// Connections that listeners accepted.
    pub(crate) sockets: Counter,
    /// CONNECT packets.
    connects: Counter,
    /// Rung when the next deadline has moved nearer.
    pub(crate) nearer_deadline: Notify,
    /// Rung when the disk has caught up with everything.
    settled: Notify,
}

struct Inner {
    broker: Broker,
    links: Slab<Tenant>,
    next_link: u64,
    /// Links that do not read until the disk has caught up.
    paused: Vec<LinkId>,
    /// How often a link had to stop reading until then.
    pauses: u64,
    /// The deadline that the timer sleeps towards.
    deadline: Option<broker::Timestamp>,
    /// A commit is on its way to the disk.
    committing: bool,
    /// The gateway stops: nobody is let in any more.
    stopping: bool,
}

/// A link that the broker can reach.
struct Tenant {
    link: LinkId,
    mailbox: Arc<Mailbox>,
    /// It is in `Inner::paused`, where it must not be twice.
    paused: bool,
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

/// How a link goes on.
#[derive(Debug)]
pub(crate) enum Next {
    Read,
    Ask(Question),
    Closed,
}

/// What an entry leaves to be done once the lock is released.
#[derive(Default)]
struct Aftermath {
    wake: Vec<Arc<Mailbox>>,
    close: Vec<(Arc<Mailbox>, Outbox)>,
    events: Vec<Event>,
    commit: Option<broker::durable::Commit>,
    nearer_deadline: bool,
    settled: bool,
}

impl Hub {
    pub(crate) fn new(
        broker: Broker,
        clock: Clock,
        disk: Box<dyn Fn(broker::durable::Commit) + Send + Sync>,
        reporter: Arc<Reporter>,
    ) -> Self {
        let inner = Inner {
            broker,
            links: Slab::new(),
            next_link: 0,
            paused: Vec::new(),
            pauses: 0,
            deadline: None,
            committing: false,
            stopping: false,
        };
        let nearer_deadline = Notify::new();
        Self {
            inner: Mutex::new(inner),
            clock,
            disk,
            reporter,
            sockets: Counter::default(),
            connects: Counter::default(),
            nearer_deadline,
            settled: Notify::new(),
        }
    }

    /// Makes a link known, so that the broker can reach it.
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let mailbox = Arc::new(Mailbox::default());
        let mut inner = self.lock();
        inner.next_link += 1;
        let serial = inner.next_link;
        let entry = inner.links.vacant_entry();
        // The low half finds the entry, the high half tells its tenants apart.
        let link = LinkId((serial << 32) | (entry.key() as u64 & 0xFFFF_FFFF));
        entry.insert(Tenant { link, mailbox: Arc::clone(&mailbox), paused: false });
        drop(inner);
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

    /// Handles every whole packet in `bytes`, and fetches output if `outbox` is empty.
    pub(crate) fn receive(
        &self,
        from: Conversation,
        link: LinkId,
        decoder: &mut Decoder,
        bytes: &[u8],
        mut answer: Option<Answer>,
        outbox: &mut Outbox,
    ) -> Batch {
        let now = self.clock.now();
        let (mut consumed, mut missing, mut packets) = (0, 0, 0);
        let mut inner = self.lock();
        let broker = &mut inner.broker;
        let next = loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            match decoder.decode(rest) {
                Ok(Decoded::Incomplete { missing: at_least }) => {
                    missing = at_least;
                    break Next::Read;
                }
                Ok(Decoded::Packet { packet, len }) => {
                    let flow = broker.receive(now, from, &packet, answer.take());
                    if let Flow::Ask(question) = flow {
                        break Next::Ask(question);
                    }
                    consumed += len;
                    packets += 1;
                    if flow == Flow::Closed {
                        break Next::Closed;
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
        if fetches {
            broker.take_output(now, from, outbox);
        }
        let may_read = inner.may_read(from, link);
        self.finish(inner, fetches.then_some((link, from)));
        Batch { consumed, missing, next, may_read }
    }

    /// Fetches what waits for a link; false when the broker has let go of it.
    pub(crate) fn take_output(
        &self,
        to: Conversation,
        link: LinkId,
        outbox: &mut Outbox,
    ) -> (bool, bool) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let alive = inner.broker.take_output(now, to, outbox);
        let may_read = inner.may_read(to, link);
        self.finish(inner, Some((link, to)));
        (alive, may_read)
    }

    pub(crate) fn disconnect(&self, from: Conversation, closing: Closing) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.disconnect(now, from, closing);
        self.finish(inner, None);
    }

    pub(crate) fn committed(&self, upto: Lsn) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.committing = false;
        inner.broker.committed(now, upto);
        let resumed = inner.resume();
        self.finish(inner, None);
        resumed.iter().for_each(|mailbox| mailbox.ring());
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
            if !self.lock().committing {
                return;
            }
            rung.await;
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let (sockets, connects) = (self.sockets.get(), self.connects.get());
        let inner = self.lock();
        Totals { broker: inner.broker.stats(), sockets, connects, pauses: inner.pauses }
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

    /// A panic in the broker would be a bug that one packet brought out; the lock is taken
    /// over because the other conversations had no part in it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects what the broker asked for, releases the lock, and carries it out. `own` is
    /// the link that entered and fetched its output: it is rung only if there is more.
    fn finish(&self, mut inner: MutexGuard<'_, Inner>, own: Option<(LinkId, Conversation)>) {
        let aftermath = inner.aftermath(own);
        drop(inner);
        if let Some(commit) = aftermath.commit {
            (self.disk)(commit);
        }
        aftermath.wake.iter().for_each(|mailbox| mailbox.ring());
        for (mailbox, last) in aftermath.close {
            mailbox.close(last);
        }
        for event in aftermath.events {
            self.reporter.event(&event);
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
    fn aftermath(&mut self, own: Option<(LinkId, Conversation)>) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let sated = own
            .filter(|(_, conversation)| !self.broker.has_output(*conversation))
            .map(|(link, _)| link);
        while let Some(effect) = self.broker.poll_effect() {
            match effect {
                Effect::Wake(link) if Some(link) == sated => {}
                Effect::Wake(link) => aftermath.wake.extend(self.mailbox(link)),
                Effect::Close { link, last } => {
                    aftermath.close.extend(self.mailbox(link).map(|mailbox| (mailbox, last)));
                }
                Effect::Event(event) => aftermath.events.push(event),
            }
        }
        aftermath.commit = self.broker.take_commit();
        self.committing |= aftermath.commit.is_some();
        aftermath.settled = self.stopping && !self.committing;
        let next = self.broker.next_deadline();
        if next.is_some_and(|next| self.deadline.is_none_or(|known| next < known)) {
            self.deadline = next;
            aftermath.nearer_deadline = true;
        }
        aftermath
    }

    /// Whether a link is to read its socket. If not, it will be rung when that may have changed.
    fn may_read(&mut self, who: Conversation, link: LinkId) -> bool {
        if self.broker.is_congested() {
            if let Some(tenant) = self.tenant(link).filter(|tenant| !tenant.paused) {
                tenant.paused = true;
                self.pauses += 1;
                self.paused.push(link);
            }
            return false;
        }
        !self.broker.is_overdrawn(who)
    }

    /// The links that may read again, if the disk has caught up.
    fn resume(&mut self) -> Vec<Arc<Mailbox>> {
        if self.broker.is_congested() {
            return Vec::new();
        }
        let paused = std::mem::take(&mut self.paused);
        let mut mailboxes = Vec::with_capacity(paused.len());
        for link in paused {
            if let Some(tenant) = self.tenant(link) {
                tenant.paused = false;
                mailboxes.push(Arc::clone(&tenant.mailbox));
            }
        }
        mailboxes
    }

    fn mailbox(&mut self, link: LinkId) -> Option<Arc<Mailbox>> {
        self.tenant(link).map(|tenant| Arc::clone(&tenant.mailbox))
    }

    fn tenant(&mut self, link: LinkId) -> Option<&mut Tenant> {
        self.links.get_mut(index(link)).filter(|tenant| tenant.link == link)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if inner.tenant(self.link).is_some() {
            inner.links.remove(index(self.link));
        }
    }
}

/// Why a conversation ends whose bytes make no sense.
fn broken(error: &DecodeError) -> Closing {
    let closing = Closing::new(error.reason_code(), error.to_string());
    match error {
        DecodeError::PacketTooLarge { .. } => closing.because_of(Limit::PacketSize),
        _ => closing,
    }
}

fn index(link: LinkId) -> usize {
    usize::try_from(link.0 & 0xFFFF_FFFF).unwrap_or(usize::MAX)
}

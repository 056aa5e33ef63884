use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use auth::PermissionSet;
use broker::durable::{Commit, Lsn, Read, Urgency};
use broker::{
    Admission, Admitted, Answer, Broker, Closing, Conversation, Delivery, Effect, Flow,
    Interception, Interests, Lane, LinkId, Memory, Outbox, Question, Reader, Reviewed, Settings,
    Timestamp, Verdict,
};
use mqtt::{Connect, Decoded, Decoder, Publish, ReasonCode, TopicName, Version};

use self::lanes::Side;
use crate::disk::Disk;
use crate::history::{Moment, What};

mod lanes;

/// The shell around the broker, as a value: links, a clock and a disk that do what they are
/// told. A link fetches its output when it is woken and at no other time, so a wake that is
/// forgotten shows.
pub struct World {
    settings: Settings,
    seed: u64,
    /// What is driven.
    pub broker: Broker,
    /// What survives a power cut.
    pub disk: Disk,
    /// What was written, and survives the end of the process.
    cache: Disk,
    /// Reads that the disk has not answered.
    reads: VecDeque<(Reader, Read)>,
    /// Whether reads wait until somebody lets the disk answer.
    pub slow_reads: bool,
    /// The time.
    pub now: Timestamp,
    /// What became durable since somebody looked, op by op.
    pub written: Vec<&'static str>,
    /// What happened since somebody looked.
    pub history: Vec<Moment>,
    committing: Option<Commit>,
    next_link: u64,
    links: BTreeMap<LinkId, Link>,
    /// What interceptors want to see.
    interests: Interests,
}

/// The number of the listener through which everybody comes.
const LISTENER: u16 = 0;

/// One connection as the shell sees it.
struct Link {
    conversation: Conversation,
    decoder: Decoder,
    /// A packet that waits for an answer, and what came behind it.
    unhandled: Vec<u8>,
    /// Bytes for the client that it has not looked at.
    wire: Vec<u8>,
    open: bool,
    /// The socket takes nothing at the moment.
    stalled: bool,
    woken: bool,
    /// Deliveries that interceptors are looking at.
    shown: Vec<Delivery>,
    /// The streams beside the first.
    sides: BTreeMap<Lane, Side>,
    /// The first packet of `unhandled` waits until the client may send again.
    waits: Option<Lane>,
    /// What was asked when it had waited.
    asked: Option<Question>,
}

/// Who connects, and what an extension said about it.
pub struct Login<'a> {
    /// What it sent.
    pub connect: &'a Connect<'a>,
    /// Who it is.
    pub principal: &'a str,
    /// What it may do.
    pub permissions: Arc<PermissionSet>,
    /// How long it may stay, in milliseconds.
    pub valid_for_ms: Option<u64>,
    /// How much it may do.
    pub limits: auth::Limits,
    /// What CONNACK is to bring of its authentication method.
    pub authentication_data: Option<&'a [u8]>,
    /// What was said about its will.
    pub will_verdict: Option<Verdict>,
    /// What interceptors made of it.
    pub will_interception: Option<Interception>,
}

/// What became of a CONNECT.
pub enum Door {
    /// It was let in.
    Open(LinkId),
    /// A guest is to be asked about its will.
    Ask(Question),
    /// It was refused.
    Shut(Closing),
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let now = Timestamp::from_unix_ms(1_000_000);
        let disk = Disk::default();
        Self {
            broker: Broker::new(settings.clone(), seed, now, disk.snapshot()),
            settings,
            seed,
            cache: disk.clone(),
            disk,
            reads: VecDeque::new(),
            slow_reads: false,
            now,
            written: Vec::new(),
            history: Vec::new(),
            committing: None,
            next_link: 1,
            links: BTreeMap::new(),
            interests: Interests::default(),
        }
    }

    /// Interceptors want to see other messages from now on.
    pub fn set_interests(&mut self, interests: Interests) {
        self.interests = interests.clone();
        self.broker.set_interests(LISTENER, interests);
    }

    /// The deliveries that interceptors are to see, until they are [`reviewed`](Self::reviewed) or the link is closed.
    #[must_use]
    pub fn shown(&self, link: LinkId) -> &[Delivery] {
        let entry = self.links.get(&link).filter(|entry| entry.open);
        entry.map(|entry| &*entry.shown).unwrap_or_default()
    }

    /// Interceptors have seen what is [`shown`](Self::shown).
    pub fn reviewed(&mut self, link: LinkId, made: Vec<Reviewed>) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| entry.open) else { return };
        entry.shown.clear();
        let conversation = entry.conversation;
        self.record(What::Reviewed { link, made: made.clone() });
        self.broker.reviewed(self.now, conversation, made);
        self.settle();
    }

    /// A client that has been authenticated wants in.
    pub fn connect(&mut self, login: &Login<'_>) -> Door {
        let link = LinkId(self.next_link);
        let connect = login.connect;
        let client_id = match connect.client_id {
            "" => self.broker.new_client_id(),
            id => id.into(),
        };
        let admission = Admission {
            link,
            connect,
            client_id: Arc::clone(&client_id),
            principal: login.principal.into(),
            attributes: Vec::new(),
            permissions: Arc::clone(&login.permissions),
            valid_for_ms: login.valid_for_ms,
            limits: login.limits,
            will_verdict: login.will_verdict.clone(),
            will_interception: login.will_interception.clone(),
            listener: Some(LISTENER),
            arrangement: None,
            authentication_data: login.authentication_data,
            durability: broker::Durability::Strict,
        };
        match self.broker.connect(self.now, admission) {
            Admitted::Ask(question) => Door::Ask(question),
            Admitted::Refused(closing) => Door::Shut(closing),
            Admitted::Accepted(conversation) => {
                self.next_link += 1;
                let mut bytes = Vec::new();
                connect.encode(&mut bytes).expect("a CONNECT that can be written");
                self.record(What::Accepted { link, client_id, connect: bytes });
                self.let_in(link, conversation, connect.version);
                self.settle();
                Door::Open(link)
            }
        }
    }

    fn let_in(&mut self, link: LinkId, conversation: Conversation, version: Version) {
        let mut decoder = Decoder::new(self.settings.max_packet_size);
        decoder.set_version(version);
        let entry = Link {
            conversation,
            decoder,
            unhandled: Vec::new(),
            wire: Vec::new(),
            open: true,
            stalled: false,
            // A new link looks once, for its CONNACK.
            woken: true,
            shown: Vec::new(),
            sides: BTreeMap::new(),
            waits: None,
            asked: None,
        };
        self.links.insert(link, entry);
    }

    /// Bytes of the client arrive.
    pub fn send(&mut self, link: LinkId, bytes: &[u8]) -> Option<Question> {
        let entry = self.links.get_mut(&link)?;
        entry.unhandled.extend_from_slice(bytes);
        // Nothing is read behind a packet that waits.
        match entry.waits {
            Some(_) => None,
            None => self.handle(link, Lane::CONTROL, None),
        }
    }

    /// What a packet asks that had to wait before.
    pub fn asked_late(&mut self, link: LinkId) -> Option<Question> {
        self.links.get_mut(&link)?.asked.take()
    }

    /// What extensions said before about publishes of the client does not count any more.
    pub fn forget_rulings(&mut self, link: LinkId) {
        let Some(entry) = self.links.get(&link).filter(|entry| entry.open) else { return };
        self.broker.forget_rulings(entry.conversation);
        self.history.push(Moment { at: self.now, what: What::Forgotten(link) });
    }

    /// The extension answers what [`send`](Self::send) brought back.
    pub fn answer(&mut self, link: LinkId, answer: Answer) -> Option<Question> {
        self.handle(link, Lane::CONTROL, Some(answer))
    }

    fn handle(&mut self, link: LinkId, lane: Lane, mut answer: Option<Answer>) -> Option<Question> {
        let entry = self.links.get_mut(&link).filter(|entry| entry.open)?;
        let bytes = std::mem::take(&mut entry.unhandled);
        let mut rest = &bytes[..];
        let mut asked = None;
        let mut effects = Vec::new();
        let mut packets = 0;
        loop {
            let conversation = entry.conversation;
            match entry.decoder.decode(rest) {
                Ok(Decoded::Incomplete { .. }) => break,
                Ok(Decoded::Packet { packet, len }) => {
                    let said = answer.take();
                    let flow =
                        self.broker.receive_on(self.now, conversation, lane, &packet, said.clone());
                    match flow {
                        Flow::Ask(question) => {
                            asked = Some(question);
                            break;
                        }
                        Flow::Wait => {
                            entry.waits = Some(lane);
                            break;
                        }
                        Flow::Continue | Flow::Closed => {}
                    }
                    let packet = rest[..len].to_vec();
                    let what = What::Handled { link, packet, answer: said };
                    self.history.push(Moment { at: self.now, what });
                    // What it says belongs to this packet, though it is done after the batch.
                    let mut fresh: Vec<Effect> =
                        std::iter::from_fn(|| self.broker.poll_effect()).collect();
                    note(&mut self.history, self.now, &mut fresh);
                    effects.append(&mut fresh);
                    if flow == Flow::Closed {
                        break;
                    }
                    rest = &rest[len..];
                    packets += 1;
                }
                Err(error) => {
                    let closing = Closing::new(error.reason_code(), error.to_string());
                    self.broker.disconnect(self.now, conversation, closing);
                    break;
                }
            }
        }
        self.broker.count_input(packets, (bytes.len() - rest.len()) as u64);
        entry.unhandled = rest.to_vec();
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        self.settle();
        asked
    }

    /// Memory runs short, or there is enough again.
    pub fn set_memory(&mut self, memory: Memory) {
        self.broker.set_memory(self.now, memory);
        self.settle();
    }

    /// The gateway has something to say of itself.
    pub fn publish_system(&mut self, topic: &str, value: &str) {
        let topic = TopicName::new(topic).expect("a topic");
        self.broker.publish_system(self.now, topic, value.as_bytes());
        self.settle();
    }

    /// Somebody who is no client publishes; answers whether the broker took it.
    pub fn publish_from_outside(&mut self, publish: &Publish<'_>) -> bool {
        let topic = publish.topic.expect("a topic");
        let taken = self.broker.publish_from_outside(self.now, topic, publish).is_ok();
        self.settle();
        taken
    }

    /// Somebody who is no client has one disconnected; answers whether it was connected.
    pub fn disconnect_client(&mut self, client_id: &str, code: ReasonCode) -> bool {
        let closing = Closing::new(code, "somebody wants it so");
        let was_there = self.broker.disconnect_client(self.now, client_id, closing);
        self.settle();
        was_there
    }

    /// Somebody who is no client gives one other permissions; answers whether it is known.
    pub fn replace_permissions(&mut self, client_id: &str, set: Arc<PermissionSet>) -> bool {
        let known = self.broker.replace_permissions(client_id, set);
        self.settle();
        known
    }

    /// The connection is gone, without a word.
    pub fn cut(&mut self, link: LinkId) {
        self.hang_up(link);
        self.links.remove(&link);
        self.settle();
    }

    /// The client will send nothing more, and may still read.
    pub fn hang_up(&mut self, link: LinkId) {
        if let Some(entry) = self.links.get(&link).filter(|entry| entry.open) {
            let closing = Closing::new(ReasonCode::UnspecifiedError, "the connection was cut");
            self.broker.disconnect(self.now, entry.conversation, closing);
            self.record(What::Lost(link));
        }
        self.settle();
    }

    /// Time passes; what is due happens when it is due.
    pub fn advance(&mut self, by: Duration) {
        let target = self.now.after(by);
        let mut rounds = 0;
        while let Some(at) = self.broker.next_deadline().filter(|at| *at <= target) {
            self.now = self.now.max(at);
            self.record(What::Due);
            self.broker.handle_deadline(self.now);
            self.settle();
            rounds += 1;
            assert!(rounds < 100_000, "a deadline that is handled must not stay due");
        }
        self.now = target;
        self.record(What::Due);
    }

    /// The disk takes the next commit, which is lost if the power fails now.
    pub fn begin_commit(&mut self) -> bool {
        if self.committing.is_none() {
            self.committing = self.broker.take_commit();
        }
        self.committing.is_some()
    }

    /// The disk has written the commit that it took.
    pub fn finish_commit(&mut self) {
        if let Some((upto, urgency)) = self.write() {
            let synced = urgency == Urgency::Now;
            if synced {
                self.sync();
            }
            self.broker.committed(self.now, upto, synced);
        }
        self.settle();
    }

    fn write(&mut self) -> Option<(Lsn, Urgency)> {
        let commit = self.committing.take()?;
        for op in commit.ops {
            let kind = self.cache.apply(op);
            self.written.push(kind);
        }
        Some((commit.upto, commit.urgency))
    }

    /// What was written survives a power cut from now on.
    pub fn sync(&mut self) {
        self.disk.clone_from(&self.cache);
    }

    /// The disk answers one read; false when none waits.
    pub fn finish_read(&mut self) -> bool {
        let Some((reader, read)) = self.reads.pop_front() else { return false };
        let page = self.cache.read(&read);
        self.broker.page_read(self.now, reader, page);
        self.record(What::Read);
        self.settle();
        true
    }

    /// The disk writes all there is.
    pub fn flush(&mut self) {
        while self.begin_commit() {
            self.finish_commit();
        }
        self.sync();
    }

    /// Power fails and comes back: what is not on disk is gone, and so are all links. The
    /// commit under way is either there with all before it, or not.
    pub fn crash(&mut self, with_commit: bool) {
        if with_commit {
            self.write();
            self.sync();
        }
        self.cache.clone_from(&self.disk);
        self.committing = None;
        self.reads.clear();
        self.links.clear();
        let snapshot = self.disk.snapshot();
        self.broker = Broker::new(self.settings.clone(), self.seed, self.now, snapshot);
        self.broker.set_interests(LISTENER, self.interests.clone());
    }

    /// The gateway ends every conversation, as before a stop.
    pub fn shut_down(&mut self) {
        self.broker.shut_down(self.now);
        self.settle();
    }

    /// The client's socket takes nothing, or takes again.
    pub fn stall(&mut self, link: LinkId, stalled: bool) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.stalled = stalled;
        self.settle();
    }

    /// The bytes that wait for the client to look at them.
    pub fn wire(&mut self, link: LinkId) -> Option<&mut Vec<u8>> {
        self.links.get_mut(&link).map(|entry| &mut entry.wire)
    }

    /// Whether the broker holds this connection.
    #[must_use]
    pub fn is_open(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|entry| entry.open)
    }

    /// Whether this connection's Keep Alive is not watched, for the disk lags.
    #[must_use]
    pub fn is_excused(&self, link: LinkId) -> bool {
        let entry = self.links.get(&link);
        entry.is_some_and(|entry| self.broker.is_excused(entry.conversation))
    }

    /// Whether this connection's socket is full.
    #[must_use]
    pub fn is_stalled(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|entry| entry.stalled)
    }

    /// Whether the shell would read this connection's socket.
    #[must_use]
    pub fn may_read(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|entry| {
            !self.broker.is_congested() && !self.broker.is_overdrawn(entry.conversation)
        })
    }

    /// Connections that take output, have not been woken, and for which output waits.
    pub fn forgotten(&self) -> impl Iterator<Item = LinkId> + '_ {
        let quiet = self.links.iter().filter(|(_, l)| l.open && !l.stalled && !l.woken);
        quiet.filter(|(_, l)| self.broker.has_output(l.conversation)).map(|(link, _)| *link)
    }

    fn fetch(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        if entry.stalled || !entry.open {
            return;
        }
        entry.woken = false;
        let mut outbox = Outbox::default();
        self.broker.take_output(self.now, entry.conversation, &mut outbox);
        let shown = self.broker.take_deliveries(self.now, entry.conversation);
        entry.shown.extend_from_slice(&shown);
        if !shown.is_empty() {
            self.record(What::Shown { link, deliveries: shown });
        }
        self.emit(link, &outbox);
        self.resume(link);
    }

    /// Passes a packet again that waited until the client may send more.
    fn resume(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        let Some(lane) = entry.waits else { return };
        if !self.broker.is_overdrawn(entry.conversation) {
            entry.waits = None;
            let asked = self.handle(link, lane, None);
            if let Some(entry) = self.links.get_mut(&link) {
                entry.asked = asked;
            }
        }
    }

    fn emit(&mut self, link: LinkId, outbox: &Outbox) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        if outbox.is_empty() {
            return;
        }
        let bytes = outbox.segments(0).collect::<Vec<_>>().concat();
        entry.wire.extend_from_slice(&bytes);
        self.record(What::Emitted { link, bytes });
    }

    /// Does what the broker asks for until it asks for nothing.
    fn settle(&mut self) {
        loop {
            let mut effects: Vec<Effect> =
                std::iter::from_fn(|| self.broker.poll_effect()).collect();
            note(&mut self.history, self.now, &mut effects);
            let rung = |link: &&Link| link.woken && !link.stalled && link.open;
            let woken: Vec<LinkId> =
                self.links.iter().filter(|(_, link)| rung(link)).map(|(id, _)| *id).collect();
            let beside = self.rung_beside();
            if effects.is_empty() && woken.is_empty() && beside.is_empty() {
                if self.slow_reads || !self.finish_read() {
                    return;
                }
                continue;
            }
            effects.into_iter().for_each(|effect| self.carry_out(effect));
            woken.into_iter().for_each(|link| self.fetch(link));
            beside.into_iter().for_each(|link| self.fetch_lanes(link));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Wake(link) => {
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.woken = true;
                    entry.sides.values_mut().for_each(|side| side.woken = true);
                }
            }
            Effect::Close { link, last } => {
                self.emit(link, &last);
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.open = false;
                }
            }
            Effect::Read { reader, read } => self.reads.push_back((reader, read)),
            Effect::Event(_) => {}
        }
    }

    fn record(&mut self, what: What) {
        self.history.push(Moment { at: self.now, what });
    }
}

/// Writes down what effects say, and leaves those that do something.
fn note(history: &mut Vec<Moment>, at: Timestamp, effects: &mut Vec<Effect>) {
    for effect in effects.iter() {
        let what = match effect {
            Effect::Event(event) => What::Told(event.clone()),
            Effect::Close { link, .. } => What::Closed(*link),
            Effect::Wake(_) | Effect::Read { .. } => continue,
        };
        history.push(Moment { at, what });
    }
    effects.retain(|effect| !matches!(effect, Effect::Event(_)));
}

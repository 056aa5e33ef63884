use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use mqtt::{Packet, ReasonCode};
use session::{Lane, Outbound, Timestamp};
use slab::Slab;

use crate::client::{Client, Promise, Tag};
use crate::durable::{Commit, Lsn, Snapshot};
use crate::estate::Estate;
use crate::frames::Frames;
use crate::journal::Journal;
use crate::retained::Retained;
use crate::routes::Routes;
use crate::subscriptions::Subscriptions;
use crate::timers::Timers;
use crate::{
    Answer, Closing, Effect, Event, Interests, LinkId, Memory, Outbox, Question, Settings, Stats,
};

/// All MQTT sessions and everything that they share: subscriptions, retained messages,
/// queues, wills, take-over. It does no IO and never asks for the time.
///
/// Inputs: [`connect`](Self::connect), [`receive`](Self::receive),
/// [`disconnect`](Self::disconnect), [`committed`](Self::committed),
/// [`handle_deadline`](Self::handle_deadline), [`shut_down`](Self::shut_down).
///
/// Outputs, to be drained after every input: [`poll_effect`](Self::poll_effect) until `None`,
/// [`take_commit`](Self::take_commit) when the disk is idle,
/// [`take_output`](Self::take_output) and [`take_deliveries`](Self::take_deliveries) for a link that was woken, and
/// [`next_deadline`](Self::next_deadline).
///
/// Time never goes backwards from one call to the next.
#[derive(Debug)]
pub struct Broker {
    pub(crate) settings: Settings,
    pub(crate) clients: Slab<Client>,
    pub(crate) by_client_id: HashMap<Arc<str>, u32, FixedState>,
    /// Where the ends of durable sessions are written that the disk has not caught up with.
    pub(crate) ended: BTreeMap<Arc<str>, Lsn>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) routes: Routes,
    pub(crate) retained: Retained,
    /// What the gateway says of itself, retained in memory only.
    pub(crate) system: Retained,
    pub(crate) journal: Journal<Waiter>,
    pub(crate) timers: Timers,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) frames: Frames,
    pub(crate) stats: Stats,
    /// Bytes that wait in all queues.
    pub(crate) queued_bytes: usize,
    /// Those of them that are in memory.
    pub(crate) waiting_bytes: usize,
    /// What would take more of the disk is refused.
    pub(crate) disk_is_full: bool,
    /// How much memory there is, as the shell has measured it.
    pub(crate) memory: Memory,
    /// Sessions whose Keep Alive is not watched until the disk has done something.
    pub(crate) excused: Vec<(u32, u64)>,
    /// What interceptors want to see, by the number of the listener.
    pub(crate) interests: Vec<Interests>,
    /// Ended sessions whose part in shared subscriptions is to be given to others.
    pub(crate) estates: BTreeMap<u64, Estate>,
    pub(crate) next_uid: u64,
    pub(crate) random: u64,
}

/// Names an accepted connection in calls to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub(crate) session: u32,
    pub(crate) link: LinkId,
}

impl Conversation {
    /// The connection.
    #[must_use]
    pub fn link(self) -> LinkId {
        self.link
    }
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// It was handled; go on with the next.
    Continue,
    /// It was not handled: have this answered, then pass the same packet again.
    Ask(Question),
    /// It was not handled: the client has sent more than it may in a time. The link is woken when it is time to pass the
    /// same packet again.
    Wait,
    /// The conversation is over; an [`Effect::Close`] says what to write last.
    Closed,
}

/// What waits for something to be durable.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// An acknowledgement to a publisher.
    Promise(Promise),
    /// A session whose output is held, whose queue may go on, or be put away.
    Connection { session: u32, uid: u64 },
    /// An estate that is to be read.
    Estate { uid: u64, from: u64 },
    /// A packet for a connection.
    Packet { session: u32, link: LinkId, lane: Lane, bytes: Box<[u8]> },
}

impl Broker {
    /// A broker that goes on from `snapshot`. `seed` decides its hash functions and the
    /// client identifiers that it assigns, and nothing that a client could observe otherwise.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Timestamp, snapshot: Snapshot) -> Self {
        let mut broker = Self {
            settings,
            clients: Slab::new(),
            by_client_id: HashMap::with_hasher(FixedState::with_seed(seed)),
            ended: BTreeMap::new(),
            subscriptions: Subscriptions::new(seed),
            routes: Routes::new(seed),
            retained: Retained::default(),
            system: Retained::default(),
            journal: Journal::new(snapshot.next_session),
            timers: Timers::default(),
            effects: VecDeque::new(),
            frames: Frames::default(),
            stats: Stats::default(),
            queued_bytes: 0,
            waiting_bytes: 0,
            disk_is_full: false,
            memory: Memory::default(),
            excused: Vec::new(),
            interests: Vec::new(),
            estates: BTreeMap::new(),
            next_uid: 1,
            random: seed,
        };
        broker.restore(now, snapshot);
        broker
    }

    /// Handles one packet of an accepted connection. When it answers [`Flow::Ask`], the
    /// caller passes the same packet again with the answer; when it answers [`Flow::Wait`], as it is.
    pub fn receive(
        &mut self,
        now: Timestamp,
        from: Conversation,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        self.receive_on(now, from, Lane::CONTROL, packet, answer)
    }

    /// As [`receive`](Self::receive), for a packet that came on a stream that was [opened](Self::open_lane) beside the first.
    pub fn receive_on(
        &mut self,
        now: Timestamp,
        from: Conversation,
        lane: Lane,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let Some(client) = self.clients.get_mut(from.session as usize) else { return Flow::Closed };
        let Some(online) = client.online.as_mut().filter(|o| o.link == from.link) else {
            return Flow::Closed;
        };
        online.keep_alive.heard(now);
        if online.pace.is_some() || online.lanes.is_some() || lane != Lane::CONTROL {
            return self.receive_restrained(now, from, lane, packet, answer);
        }
        self.take(now, from.session, packet, answer)
    }

    /// The same of a client with rates or with streams; most have neither.
    fn receive_restrained(
        &mut self,
        now: Timestamp,
        from: Conversation,
        lane: Lane,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let client = self.clients.get_mut(from.session as usize);
        let Some(online) = client.and_then(|client| client.online.as_mut()) else {
            return Flow::Closed;
        };
        let paced = online.pace.is_some();
        let known = match online.lanes.as_mut() {
            Some(lanes) => lanes.hear(lane),
            None => lane == Lane::CONTROL,
        };
        if !known {
            // The stream was reset from this side, and what came on it since is as if it had never come.
            return Flow::Continue;
        }
        if let Err(closing) = crate::streams::check_packet(lane, packet) {
            self.close(now, from.session, closing);
            return Flow::Closed;
        }
        if paced {
            return self.receive_paced(now, from, packet, answer);
        }
        self.take(now, from.session, packet, answer)
    }

    /// Handles a packet; one that breaks the rules ends the conversation.
    #[inline]
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        session: u32,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        match self.handle(now, session, packet, answer) {
            Ok(flow) => flow,
            Err(closing) => {
                self.close(now, session, closing);
                Flow::Closed
            }
        }
    }

    fn handle(
        &mut self,
        now: Timestamp,
        session: u32,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        match packet {
            Packet::Publish(publish) => return self.publish(now, session, publish, answer),
            Packet::PubAck(ack) => self.puback(now, session, ack),
            Packet::PubRec(ack) => self.pubrec(now, session, ack),
            Packet::PubRel(ack) => self.pubrel(session, ack),
            Packet::PubComp(ack) => self.pubcomp(now, session, ack),
            Packet::Subscribe(subscribe) => return self.subscribe(now, session, subscribe, answer),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(session, unsubscribe)?,
            Packet::PingReq => self.ping(session),
            Packet::Disconnect(disconnect) => {
                return self.client_disconnects(now, session, disconnect);
            }
            Packet::Connect(_) => {
                return Err(Closing::new(
                    ReasonCode::ProtocolError,
                    "a second CONNECT was sent on one connection (MQTT-3.1.0-2)",
                ));
            }
            Packet::Auth(auth) => return self.auth(now, session, auth, answer),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                let why =
                    format!("{:?} was sent by a client; only a server sends it", packet.kind());
                return Err(Closing::new(ReasonCode::ProtocolError, why));
            }
        }
        Ok(Flow::Continue)
    }

    /// The next thing for the shell to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Swaps what waits for this connection with `outbox`, which must be empty. Answers
    /// false when the conversation is over.
    pub fn take_output(&mut self, now: Timestamp, to: Conversation, outbox: &mut Outbox) -> bool {
        debug_assert!(outbox.is_empty(), "what was taken before is written first");
        let Some(client) = self.clients.get_mut(to.session as usize) else { return false };
        let Some(online) = client.online.as_mut().filter(|o| o.link == to.link) else {
            return false;
        };
        // Whoever comes for nothing, because the output is held, is to be woken again.
        online.woken = false;
        if online.held.is_some_and(|lsn| !self.journal.is_durable(lsn)) {
            return true;
        }
        online.held = None;
        online.greeted = true;
        self.stats.count_output(&online.outbox);
        let was_full = online.outbox.len() >= self.settings.max_outbox_bytes;
        std::mem::swap(&mut online.outbox, outbox);
        if was_full || client.outbound.has_unsent() {
            self.pump(now, to.session);
        }
        true
    }

    /// Whether [`take_output`](Self::take_output) would find something.
    #[must_use]
    pub fn has_output(&self, to: Conversation) -> bool {
        let online = self.clients.get(to.session as usize).and_then(|c| c.online.as_ref());
        online.is_some_and(|o| {
            let held = o.held.is_some_and(|lsn| !self.journal.is_durable(lsn));
            o.link == to.link && (o.has_deliveries() || o.has_bytes() && !held)
        })
    }

    /// The next group of ops to make durable; `None` while one is under way.
    pub fn take_commit(&mut self) -> Option<Commit> {
        self.journal.take_commit()
    }

    /// Whether the disk has been given everything, and has written it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.journal.is_settled()
    }

    /// Everything up to `upto` is on disk, and if it was `synced`, what was promised on that
    /// condition leaves.
    pub fn committed(&mut self, now: Timestamp, upto: Lsn, synced: bool) {
        self.journal.committed(upto, synced);
        self.expect_excused(now);
        self.ended.retain(|_, lsn| !self.journal.is_durable(*lsn));
        while let Some(waiter) = self.journal.next_served() {
            match waiter {
                Waiter::Promise(promise) => self.keep_promise(promise),
                Waiter::Connection { session, uid } => {
                    let client = self.clients.get_mut(session as usize);
                    if let Some(client) = client.filter(|client| client.uid == uid) {
                        client.waits = false;
                        client.sweep.release(now);
                        self.put_away(session);
                        self.pump(now, session);
                        self.trim_topics(session);
                        self.wake(session);
                        self.set_alarm(session);
                    }
                }
                Waiter::Estate { uid, from } => self.read_estate(uid, from),
                Waiter::Packet { session, link, lane, bytes } => {
                    let client = self.clients.get_mut(session as usize);
                    let online = client.and_then(|c| c.online.as_mut());
                    if let Some(online) = online.filter(|o| o.link == link) {
                        online.outbox_of(lane).packet_mut().extend_from_slice(&bytes);
                        if let Some(lanes) = online.lanes.as_mut() {
                            lanes.disk_done(lane);
                        }
                        self.wake(session);
                    }
                }
            }
        }
    }

    /// The disk is full, or has space again. While it is full, what would have to be written is
    /// refused (0x97; a client of 3.1.1 is disconnected, so that it comes again with it); what
    /// waits is delivered, which frees space.
    pub fn set_disk_full(&mut self, full: bool) {
        self.disk_is_full = full;
    }

    /// The earliest moment at which [`handle_deadline`](Self::handle_deadline) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Bytes between the broker and the disk.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.journal.backlog()
    }

    /// Whether sockets that add to the backlog should not be read until the disk has caught up.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.backlog() > self.settings.max_journal_bytes
    }

    /// Whether no socket should be read until then: what adds to the backlog is not always what a
    /// client has just sent.
    #[must_use]
    pub fn is_jammed(&self) -> bool {
        self.backlog() / 2 > self.settings.max_journal_bytes
    }

    /// Whether this client's first stream should not be read until what it is owed has left:
    /// acknowledgements, of which 3.1.1 has no Receive Maximum, or answers that it does not read,
    /// which nothing else would bound. Or until its rates allow it.
    #[must_use]
    pub fn is_overdrawn(&self, who: Conversation) -> bool {
        self.is_overdrawn_on(who, Lane::CONTROL)
    }

    /// As [`is_overdrawn`](Self::is_overdrawn), for a stream beside the first.
    #[must_use]
    pub fn is_overdrawn_on(&self, who: Conversation, lane: Lane) -> bool {
        self.clients.get(who.session as usize).is_some_and(|client| {
            let Some(online) = &client.online else { return self.is_owed_too_much(client) };
            self.is_owed_too_much(client)
                || online.unsent_bytes(lane) >= self.settings.max_outbox_bytes
                || online.waits_until().is_some()
        })
    }

    /// Whether the Keep Alive of this client is not watched until the disk has done something.
    #[must_use]
    pub fn is_excused(&self, who: Conversation) -> bool {
        let client = self.clients.get(who.session as usize);
        let online = client.and_then(|client| client.online.as_ref());
        online.is_some_and(|online| online.link == who.link && online.keep_alive.is_suspended())
    }

    /// Whether a client may go unheard because of the gateway, which does not read what it sends
    /// until the disk has caught up.
    pub(crate) fn may_be_unheard(&self, client: &Client) -> bool {
        self.is_congested() || self.is_owed_too_much(client)
    }

    fn is_owed_too_much(&self, client: &Client) -> bool {
        client.inbound.owed() >= usize::from(self.settings.receive_maximum)
    }

    /// Changes what a session is owed, and the sums over all sessions with it.
    pub(crate) fn with_queue<R>(
        &mut self,
        session: u32,
        change: impl FnOnce(&mut Outbound<Tag>) -> R,
    ) -> Option<R> {
        let queue = &mut self.clients.get_mut(session as usize)?.outbound;
        let (bytes, in_memory) = (queue.weight(), queue.weight_in_memory());
        let result = change(queue);
        self.queued_bytes = self.queued_bytes + queue.weight() - bytes;
        self.waiting_bytes = self.waiting_bytes + queue.weight_in_memory() - in_memory;
        Some(result)
    }

    /// Tells the link of this session that bytes wait, unless it knows.
    pub(crate) fn wake(&mut self, session: u32) {
        let client = self.clients.get_mut(session as usize);
        let Some(online) = client.and_then(|c| c.online.as_mut()) else { return };
        let first = !online.woken && (!online.outbox.is_empty() || online.has_deliveries());
        online.woken |= first;
        let side = online.lanes.as_mut().is_some_and(|lanes| lanes.wake());
        if first || side {
            self.effects.push_back(Effect::Wake(online.link));
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.effects.push_back(Effect::Event(event));
    }

    fn ping(&mut self, session: u32) {
        let client = self.clients.get_mut(session as usize);
        if let Some(online) = client.and_then(|c| c.online.as_mut()) {
            // PINGRESP has neither fields nor versions (MQTT 5, 3.13).
            online.outbox_of(online.answers()).packet_mut().extend_from_slice(&[0xD0, 0x00]);
            self.wake(session);
        }
    }

    /// The next number of a generator (SplitMix64) that begins at the seed.
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

mod authentication;
mod batching;
mod ending;
mod flow;
mod greeting;
mod inward;
mod outward;
mod probing;
mod reviewing;
mod subscriptions;
mod unpacking;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt::{Packet, PacketId, PacketKind, ReasonCode, Version};
use session::Timestamp;

use crate::aliases::Aliases;
use crate::batches::Batches;
use crate::heartbeat::Due;
use crate::held::Held;
use crate::lane::{Lane, Reply};
use crate::letters::Letters;
use crate::pace::Pacer;
use crate::probe::Probe;
use crate::review::Review;
use crate::side::Side;
use crate::{Counts, Each, End, Event, Priority, Settings};
use unpacking::Unpacking;

/// One connection to an upstream broker, and the local conversations that belong to it: one for each priority.
///
/// Inputs: [`handle_upstream`](Self::handle_upstream), [`handle_local`](Self::handle_local),
/// [`handle_deadline`](Self::handle_deadline). After each, outputs: [`local_terms`](Self::local_terms) says once when the local
/// conversations are to begin; [`upstream_output`](Self::upstream_output) and [`local_output`](Self::local_output) hold bytes to
/// send; [`next_deadline`](Self::next_deadline), [`poll_event`](Self::poll_event). An [`End`] is the end of all conversations.
#[derive(Debug)]
pub struct Relay {
    settings: Arc<Settings>,
    phase: Phase,
    upstream: Side,
    /// What comes from upstream goes to the one of normal priority.
    locals: Each<Side>,
    /// The priorities of which the local broker has let us in.
    entered: BTreeSet<Priority>,
    terms: Option<LocalTerms>,
    /// Messages for upstream that wait for their turn.
    held: Each<Held>,
    pacer: Pacer,
    /// When turns were last taken.
    turned: Timestamp,
    /// Messages that were sent upstream on this connection, and whose exchanges have not ended.
    in_flight: BTreeSet<PacketId>,
    /// As many as upstream takes.
    window: usize,
    /// From the local broker to upstream.
    outward: Lane,
    /// From upstream to the local broker.
    inward: Lane,
    /// Messages on their way upstream as they came, to make dead letters of.
    kept: BTreeMap<PacketId, Box<[u8]>>,
    kept_bytes: usize,
    letters: Letters,
    /// Exchanges of upstream that the local broker has not answered.
    unanswered: BTreeSet<PacketId>,
    /// Identifiers that were released before a new message of upstream came under them.
    freed: BTreeSet<PacketId>,
    /// The identifier that upstream used last.
    last_id: u16,
    /// The gateway that upstream is, if it is one.
    peer: Option<String>,
    /// Since when upstream owes an answer to AUTH.
    authenticating: Option<Timestamp>,
    /// The filters of each SUBSCRIBE that is not answered.
    asked: BTreeMap<PacketId, Vec<String>>,
    review: Review,
    batches: Batches,
    aliases: Aliases,
    unpacking: Option<Unpacking>,
    probe: Option<Probe>,
    /// The identifier of the latest SUBSCRIBE or UNSUBSCRIBE.
    questions: u16,
    /// Those of each UNSUBSCRIBE that is not answered.
    leaving: BTreeMap<PacketId, Vec<String>>,
    /// Those for which upstream has no subscription any more.
    left: Vec<String>,
    /// Everything is given up.
    withdraws: bool,
    /// Nothing more is sent upstream that is not on its way already.
    winds_up: bool,
    counts: Counts,
    events: VecDeque<Event>,
}

/// What each local conversation is to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTerms {
    /// Deliveries of QoS 1 and 2 that upstream takes at a time.
    pub receive_maximum: u16,
    /// Whether upstream went on with a session.
    pub session_present: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT has been sent upstream, at this moment.
    Connecting(Timestamp),
    /// Upstream has let us in; the local broker has not.
    Between,
    Running,
}

/// Bytes that may wait for upstream before the local broker is not read any more.
const TO_UPSTREAM_MAX: usize = 256 << 10;

/// Bytes that may wait for the local broker before messages of QoS 0 are dropped, and before upstream is not read any more. The
/// second is far away, because the acknowledgements that make room come the same way.
const TO_LOCAL_QOS_0_MAX: usize = 256 << 10;
const TO_LOCAL_MAX: usize = 4 << 20;

/// Bytes of messages that are kept to make dead letters of. One that is refused and was not kept comes again, as one of the first.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes of the largest packet that is read from upstream. Where MQTT has a word for what is accepted here, it is told less.
const FROM_UPSTREAM_MAX: u32 = 16 << 20;

/// Events that wait to be fetched.
const EVENTS_MAX: usize = 64;

impl Relay {
    /// Begins a connection on which nothing has been sent.
    #[must_use]
    pub fn new(settings: Arc<Settings>, version: Version, now: Timestamp) -> Self {
        let largest = FROM_UPSTREAM_MAX.max(settings.local.max_packet_size);
        let mut relay = Self {
            phase: Phase::Connecting(now),
            upstream: Side::new(version, largest, now),
            // What the local broker sends was small enough when it came.
            locals: Each::from_fn(|_| Side::new(Version::V5, mqtt::limits::VARINT_MAX, now)),
            entered: BTreeSet::new(),
            terms: None,
            held: Each::default(),
            pacer: Pacer::new(settings.pace, now),
            turned: now,
            in_flight: BTreeSet::new(),
            window: 0,
            outward: Lane::default(),
            inward: Lane::default(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
            letters: Letters::default(),
            unanswered: BTreeSet::new(),
            freed: BTreeSet::new(),
            last_id: 0,
            peer: None,
            authenticating: None,
            asked: BTreeMap::new(),
            review: Review::default(),
            batches: Batches::default(),
            aliases: Aliases::default(),
            unpacking: None,
            probe: Self::new_probe(&settings, now),
            questions: 0,
            leaving: BTreeMap::new(),
            left: Vec::new(),
            withdraws: false,
            winds_up: false,
            counts: Counts::default(),
            events: VecDeque::new(),
            settings,
        };
        relay.greet(now);
        relay
    }

    /// Bytes that came from upstream.
    ///
    /// # Errors
    /// The end of all conversations.
    pub fn handle_upstream(&mut self, now: Timestamp, bytes: &[u8]) -> Result<(), End> {
        self.upstream.heartbeat.heard(now);
        self.upstream.input.extend_from_slice(bytes);
        self.read_upstream(now)?;
        self.take_turns(now)
    }

    /// Why the connection is over when upstream has closed it; `what` it was that came instead of bytes.
    #[must_use]
    pub fn upstream_closed(&self, what: &str) -> End {
        match self.phase {
            Phase::Connecting(_) if self.upstream.input.is_empty() => End::Unanswered,
            _ => End::Unexpected(what.to_owned()),
        }
    }

    /// Bytes that came from the local broker, in the conversation of a priority.
    ///
    /// # Errors
    /// The end of all conversations.
    pub fn handle_local(
        &mut self,
        now: Timestamp,
        priority: Priority,
        bytes: &[u8],
    ) -> Result<(), End> {
        let local = self.locals.of_mut(priority);
        local.heartbeat.heard(now);
        local.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut local.input);
        let mut at = 0;
        let broken = |error: mqtt::DecodeError| End::Local(error.to_string());
        while let Some((packet, len)) =
            self.locals.of_mut(priority).next(&input, at).map_err(broken)?
        {
            let raw = input.get(at..at + len).unwrap_or_default();
            self.take_local(now, priority, &packet, raw)?;
            at += len;
        }
        self.locals.of_mut(priority).input = input.get(at..).unwrap_or_default().to_vec();
        // What waits from upstream may have waited for this.
        self.unpack_on(now)?;
        self.read_upstream(now)?;
        self.take_turns(now)
    }

    /// The time of [`next_deadline`](Self::next_deadline) has come.
    ///
    /// # Errors
    /// The end of all conversations.
    pub fn handle_deadline(&mut self, now: Timestamp) -> Result<(), End> {
        if let Phase::Connecting(since) = self.phase
            && since.after(self.settings.answer_timeout) <= now
        {
            return Err(End::Silent("CONNECT"));
        }
        if self.authentication_deadline().is_some_and(|deadline| deadline <= now) {
            return Err(End::Silent("AUTH"));
        }
        match self.upstream.heartbeat.due(now) {
            Due::Dead => return Err(End::Silent("PINGREQ")),
            Due::Ping => self.tell(now, &Packet::PingReq)?,
            Due::Nothing => {}
        }
        for priority in Priority::ALL {
            let local = self.locals.of_mut(priority);
            if local.heartbeat.due(now) == Due::Ping {
                local.send(now, &Packet::PingReq).map_err(|e| End::Local(e.to_string()))?;
                // What else is there to do than to wait for it: its broker is this process.
                local.heartbeat.answered();
            }
        }
        self.send_due_batches(now)?;
        self.probe_if_due(now)?;
        self.take_turns(now)
    }

    /// When [`handle_deadline`](Self::handle_deadline) is to be called.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        let connecting = match self.phase {
            Phase::Connecting(since) => Some(since.after(self.settings.answer_timeout)),
            Phase::Between | Phase::Running => None,
        };
        let locals = self.locals.iter().filter_map(|local| local.heartbeat.deadline());
        let beats = self.upstream.heartbeat.deadline().into_iter().chain(locals).min();
        let probe = self.probe.as_ref().and_then(Probe::due);
        let others = [self.batches.due(), self.authentication_deadline(), self.next_turn_at()];
        [connecting, beats, probe].into_iter().chain(others).flatten().min()
    }

    /// What the local conversations are to begin with, one for each of the settings' priorities; once, when it is time.
    pub fn local_terms(&mut self) -> Option<LocalTerms> {
        self.terms.take()
    }

    /// Bytes for upstream. Whoever sends some takes them away.
    pub fn upstream_output(&mut self) -> &mut Vec<u8> {
        &mut self.upstream.output
    }

    /// Bytes for the local broker, in the conversation of a priority, from its CONNACK on. Whoever sends some takes them away.
    pub fn local_output(&mut self, priority: Priority) -> &mut Vec<u8> {
        &mut self.locals.of_mut(priority).output
    }

    /// Whether upstream is to be read.
    #[must_use]
    pub fn wants_upstream(&self) -> bool {
        self.has_room_for_upstream() && self.phase != Phase::Between
    }

    /// Whether messages pass.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The version of MQTT that upstream is spoken to in.
    #[must_use]
    pub fn upstream_version(&self) -> Version {
        self.upstream.version
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What the operator may want to read. Of what is not fetched in time the oldest is left out.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn event(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// An upstream of 3.1.1 knows no receive maximum; it waits where the local broker would be asked too much.
    fn has_room_for_upstream(&self) -> bool {
        let most = usize::from(self.settings.local.receive_maximum);
        self.unpacking.is_none()
            && self.locals.normal.output.len() < TO_LOCAL_MAX
            && self.unanswered.len() + self.letters.len() < most
    }

    fn read_upstream(&mut self, now: Timestamp) -> Result<(), End> {
        let input = std::mem::take(&mut self.upstream.input);
        let mut at = 0;
        if matches!(self.phase, Phase::Connecting(_)) {
            greeting::check_old_connack(self.upstream.version, &input)?;
        }
        while self.wants_upstream() {
            let next = self.upstream.next(&input, at).map_err(End::Broken)?;
            let Some((packet, len)) = next else { break };
            self.take_upstream(now, &packet)?;
            at += len;
        }
        self.upstream.input = input.get(at..).unwrap_or_default().to_vec();
        Ok(())
    }

    fn take_upstream(&mut self, now: Timestamp, packet: &Packet<'_>) -> Result<(), End> {
        match (self.phase, packet) {
            (Phase::Connecting(_), Packet::ConnAck(connack)) => self.connected(now, connack),
            (_, Packet::Disconnect(last)) => {
                let reason = last.reason.map(str::to_owned);
                Err(End::Disconnected { code: last.code, reason })
            }
            (Phase::Running, Packet::Publish(publish)) => self.bring(now, publish),
            (Phase::Running, Packet::PubAck(ack)) => {
                self.upstream_has(now, PacketKind::PubAck, ack)
            }
            (Phase::Running, Packet::PubRec(ack)) => {
                self.upstream_has(now, PacketKind::PubRec, ack)
            }
            (Phase::Running, Packet::PubComp(ack)) => {
                self.counts.confirmed += 1;
                let id = ack.packet_id;
                self.in_flight.remove(&id);
                let done = Reply::Source(PacketKind::PubComp, ReasonCode::Success);
                self.reply_outward(now, id, done);
                Ok(())
            }
            (Phase::Running, Packet::PubRel(ack)) => {
                let knows = self.locals.normal.max_qos == mqtt::QoS::ExactlyOnce;
                let reply = self.inward.pubrel(ack.packet_id, knows);
                self.reply_inward(now, ack.packet_id, reply);
                Ok(())
            }
            (Phase::Running, Packet::SubAck(suback)) => {
                if !self.probe_is_granted(now, suback) {
                    self.subscribed(suback);
                }
                Ok(())
            }
            (Phase::Running, Packet::UnsubAck(unsuback)) => {
                self.unsubscribed(unsuback);
                Ok(())
            }
            (Phase::Running, Packet::PingResp) => {
                self.upstream.heartbeat.answered();
                Ok(())
            }
            (Phase::Running, Packet::Auth(auth)) => self.authenticated(auth),
            (_, other) => Err(End::Unexpected(format!("a {} out of turn", other.kind()))),
        }
    }

    fn take_local(
        &mut self,
        now: Timestamp,
        priority: Priority,
        packet: &Packet<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        // Those that are in already may speak while others are not.
        match (self.phase, packet) {
            (Phase::Between, Packet::ConnAck(connack)) => {
                self.let_in(now, priority, connack);
                Ok(())
            }
            (_, Packet::Disconnect(last)) => {
                let words = last.reason.map_or_else(|| last.code.to_string(), str::to_owned);
                Err(End::Local(words))
            }
            (Phase::Between | Phase::Running, Packet::Publish(publish)) => {
                self.line_up(now, priority, publish, raw)
            }
            (Phase::Running, Packet::PubAck(ack)) => self.local_has(now, PacketKind::PubAck, ack),
            (Phase::Running, Packet::PubRec(ack)) => self.local_has(now, PacketKind::PubRec, ack),
            (Phase::Running, Packet::PubComp(ack)) => {
                self.local_is_done(now, ack.packet_id);
                Ok(())
            }
            (Phase::Between | Phase::Running, Packet::PubRel(ack)) => {
                let knows = self.upstream.max_qos == mqtt::QoS::ExactlyOnce;
                let reply = self.outward.pubrel(ack.packet_id, knows);
                self.reply_outward(now, ack.packet_id, reply);
                Ok(())
            }
            (Phase::Running, Packet::PingResp) => Ok(()),
            (_, other) => Err(End::Local(format!("it sent a {} out of turn", other.kind()))),
        }
    }

    /// Sends what a lane says; the source of outward messages is the local broker.
    fn reply_outward(&mut self, now: Timestamp, id: PacketId, reply: Reply) {
        match reply {
            Reply::Source(kind, code) => {
                let priority = Priority::of(id);
                // Upstream may make identifiers up.
                if self.entered.contains(&priority) {
                    self.locals.of_mut(priority).acknowledge(now, id, kind, code);
                }
            }
            Reply::Sink(kind, code) => self.upstream.acknowledge(now, id, kind, code),
        }
    }

    fn reply_inward(&mut self, now: Timestamp, id: PacketId, reply: Reply) {
        match reply {
            Reply::Source(kind, code) => {
                let code = self.audible(code);
                self.upstream.acknowledge(now, id, kind, code);
            }
            Reply::Sink(kind, code) => self.locals.normal.acknowledge(now, id, kind, code),
        }
    }

    fn tell(&mut self, now: Timestamp, packet: &Packet<'_>) -> Result<(), End> {
        self.upstream.send(now, packet).map_err(|error| End::Unexpected(error.to_string()))
    }
}

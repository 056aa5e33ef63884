//! The streams of one connection beside the first: which of them something goes on, and what waits for each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqtt::{PacketId, TopicFilterBuf, TopicName};
use session::{Delivery, Lane, Outbound, Timestamp, Transmission};

use crate::Outbox;
use crate::aliases::InboundAliases;
use crate::client::Tag;

/// How long nothing that waits may move, before the stream is closed that holds most of what is unconfirmed.
const STUCK_MAX: Duration = Duration::from_secs(10);

/// The streams of a client that has opened any beside the first. All of them are one conversation: one session, one window,
/// one space of packet identifiers; each has its own order, and its own bytes that wait.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    sides: BTreeMap<Lane, Side>,
    /// What other streams took along with them and the first is to send again, by number.
    again: VecDeque<u64>,
    /// Deliveries for the first stream that were passed over, by number.
    passed: VecDeque<u64>,
    /// Where messages go, for subscriptions that were made on one of the sides.
    filters: BTreeMap<TopicFilterBuf, Lane>,
    /// Where a QoS 2 identifier that the client uses came, if that was one of the sides; it is taken until PUBREL, whether
    /// the stream is there or not.
    takers: BTreeMap<PacketId, Lane>,
    /// Where the packet came that is being handled.
    current: Lane,
    /// What is next could not be sent for want of room.
    blocked: bool,
    /// Since when nothing that waits has moved.
    stuck_since: Option<Timestamp>,
}

/// One stream beside the first.
#[derive(Debug, Default)]
struct Side {
    outbox: Outbox,
    /// Topics for which the client has set an alias on it: what is said on two streams has no order.
    aliases: InboundAliases,
    /// Nothing can be said on it.
    one_way: bool,
    /// The client sends nothing more on it; it gets the acknowledgements that it is owed, and no deliveries.
    ended: bool,
    /// Its deliveries that were passed over, by number.
    passed: VecDeque<u64>,
    /// Its deliveries that are sent and not confirmed, and bytes of their messages.
    in_flight: Load,
    /// Packets for it that wait for the disk.
    awaited: usize,
    /// The link has been told that bytes wait for it and has not come for them yet.
    woken: bool,
}

/// Deliveries, and bytes of their messages.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    count: usize,
    weight: usize,
}

/// What a connection has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes that wait on the first stream.
    pub(crate) first: usize,
    /// Bytes that interceptors have not seen yet, of all streams.
    pub(crate) held: usize,
    /// Bytes that may wait on a stream.
    pub(crate) bytes_max: usize,
    /// Deliveries that may wait in memory, and bytes of their messages. A quarter of that is for those that are passed over,
    /// and another for what is in flight on all streams; so half of it, which is what the disk is read for, is never taken.
    pub(crate) waiting_max: usize,
    pub(crate) waiting_bytes_max: usize,
}

impl Room {
    /// Whether nothing more fits on the first stream.
    pub(crate) fn is_full(&self) -> bool {
        self.first + self.held >= self.bytes_max
    }
}

impl Lanes {
    /// The client has opened a stream.
    pub(crate) fn open(&mut self, lane: Lane, one_way: bool) {
        self.sides.insert(lane, Side { one_way, ..Side::default() });
    }

    /// Notes where the packet came that is to be handled next; false if there is no such stream.
    pub(crate) fn hear(&mut self, lane: Lane) -> bool {
        self.current = lane;
        lane == Lane::CONTROL || self.knows(lane)
    }

    /// Where an answer to the packet goes that is being handled.
    pub(crate) fn answers(&self) -> Lane {
        let side = self.sides.get(&self.current);
        side.filter(|side| !side.one_way).map_or(Lane::CONTROL, |_| self.current)
    }

    /// Where deliveries go that were meant for `lane`.
    pub(crate) fn resolve(&self, lane: Lane) -> Lane {
        let side = self.sides.get(&lane);
        side.filter(|side| !side.one_way && !side.ended).map_or(Lane::CONTROL, |_| lane)
    }

    /// Where a message on `topic` goes: with the subscription that it came of, and where several match with the one whose
    /// stream was opened last. `group` is the subscription if that is a shared one.
    pub(crate) fn lane_for(&self, topic: TopicName<'_>, group: Option<&TopicFilterBuf>) -> Lane {
        let lane = match group {
            Some(group) => self.filters.get(group).copied(),
            None => {
                let shared = |filter: &TopicFilterBuf| filter.as_filter().share_group().is_some();
                let matching = self
                    .filters
                    .iter()
                    .filter(|(filter, _)| !shared(filter) && filter.as_filter().matches(topic));
                matching.map(|(_, lane)| *lane).max()
            }
        };
        self.resolve(lane.unwrap_or_default())
    }

    /// A subscription was made, or made again, by the packet that is being handled.
    pub(crate) fn subscribed(&mut self, filter: &TopicFilterBuf) {
        match self.answers() {
            Lane::CONTROL => drop(self.filters.remove(filter)),
            lane => drop(self.filters.insert(filter.clone(), lane)),
        }
    }

    /// A subscription is over.
    pub(crate) fn unsubscribed(&mut self, filter: &str) {
        self.filters.remove(filter);
    }

    /// The packet that is being handled takes a QoS 2 identifier.
    pub(crate) fn take(&mut self, packet_id: PacketId) {
        if self.current != Lane::CONTROL {
            self.takers.insert(packet_id, self.current);
        }
    }

    /// A QoS 2 identifier is free again.
    pub(crate) fn release(&mut self, packet_id: PacketId) {
        self.takers.remove(&packet_id);
    }

    /// Whether a QoS 2 identifier that is in use was taken by another stream than that of the packet that is being handled.
    pub(crate) fn is_taken_elsewhere(&self, packet_id: PacketId) -> bool {
        self.takers.get(&packet_id).copied().unwrap_or_default() != self.current
    }

    /// What waits for a side on which something can be said.
    pub(crate) fn outbox_mut(&mut self, lane: Lane) -> Option<&mut Outbox> {
        let side = self.sides.get_mut(&lane).filter(|side| !side.one_way);
        side.map(|side| &mut side.outbox)
    }

    /// The aliases of the stream of the packet that is being handled, if that is a side.
    pub(crate) fn aliases_mut(&mut self) -> Option<&mut InboundAliases> {
        self.sides.get_mut(&self.current).map(|side| &mut side.aliases)
    }

    /// Whether bytes wait on one of the sides.
    pub(crate) fn has_output(&self) -> bool {
        self.sides.values().any(|side| !side.outbox.is_empty())
    }

    /// Whether bytes wait on a side of which the link has not been told; from now on it has.
    pub(crate) fn wake(&mut self) -> bool {
        let mut any = false;
        for side in self.sides.values_mut().filter(|side| !side.outbox.is_empty()) {
            any |= !std::mem::replace(&mut side.woken, true);
        }
        any
    }

    /// The link has come for what waits on a side.
    pub(crate) fn visited(&mut self, lane: Lane) {
        if let Some(side) = self.sides.get_mut(&lane) {
            side.woken = false;
        }
    }

    /// Bytes that wait on a side; 0 for what is none.
    pub(crate) fn waiting_bytes(&self, lane: Lane) -> usize {
        self.sides.get(&lane).map_or(0, |side| side.outbox.len())
    }

    /// Bytes that wait on all sides.
    pub(crate) fn all_waiting_bytes(&self) -> usize {
        self.sides.values().map(|side| side.outbox.len()).sum()
    }

    /// Whether there is such a side.
    pub(crate) fn knows(&self, lane: Lane) -> bool {
        self.sides.contains_key(&lane)
    }

    /// Takes a side away whose client has ended it, if nothing more goes on it; `owed` tells whether an acknowledgement does.
    pub(crate) fn retire(&mut self, lane: Lane, owed: impl FnOnce() -> bool) -> bool {
        let done = |side: &Side| side.ended && side.awaited == 0 && side.outbox.is_empty();
        self.sides.get(&lane).is_some_and(done) && !owed() && self.sides.remove(&lane).is_some()
    }

    /// A packet for `lane` waits for the disk.
    pub(crate) fn await_disk(&mut self, lane: Lane) {
        if let Some(side) = self.sides.get_mut(&lane) {
            side.awaited += 1;
        }
    }

    /// One that did waits no more.
    pub(crate) fn disk_done(&mut self, lane: Lane) {
        if let Some(side) = self.sides.get_mut(&lane) {
            side.awaited = side.awaited.saturating_sub(1);
        }
    }

    /// The client has ended a side in order, or it is lost. Its subscriptions go on with the first stream; so do its
    /// deliveries, those that are not confirmed among them: they are sent again.
    pub(crate) fn end(&mut self, lane: Lane, outbound: &mut Outbound<Tag>, in_order: bool) {
        self.filters.retain(|_, of| *of != lane);
        let Some(mut side) = self.sides.remove(&lane) else { return };
        let again = outbound.send_again(|tag| tag.lane == lane);
        for delivery in outbound.iter_mut().filter(|delivery| delivery.tag.lane == lane) {
            delivery.tag.lane = Lane::CONTROL;
        }
        self.again.extend(again);
        self.again.make_contiguous().sort_unstable();
        self.passed.extend(side.passed.drain(..));
        self.passed.make_contiguous().sort_unstable();
        if in_order && !side.one_way {
            self.sides.insert(lane, Side { ended: true, in_flight: Load::default(), ..side });
        }
    }

    /// A delivery that was in flight on `lane` is settled; `weight` is that of the message that it had still.
    pub(crate) fn settled(&mut self, lane: Lane, weight: usize) {
        if let Some(side) = self.sides.get_mut(&lane) {
            side.in_flight.count = side.in_flight.count.saturating_sub(1);
        }
        self.lighten(lane, weight);
    }

    /// The message of a delivery in flight need not be kept any more.
    pub(crate) fn lighten(&mut self, lane: Lane, weight: usize) {
        if let Some(side) = self.sides.get_mut(&lane) {
            side.in_flight.weight = side.in_flight.weight.saturating_sub(weight);
        }
    }

    /// Whether a delivery for `lane` can be sent at once, as far as the lane goes. Each has its share of the client's window,
    /// so that one that is not read leaves some of it to the others.
    pub(crate) fn takes(&self, lane: Lane, outbound: &Outbound<Tag>, room: Room) -> bool {
        self.passed_of(lane).is_none_or(VecDeque::is_empty) && self.has_room(lane, outbound, room)
    }

    fn has_room(&self, lane: Lane, outbound: &Outbound<Tag>, room: Room) -> bool {
        let open = self.sides.values().filter(|side| !side.one_way && !side.ended).count();
        let (share, share_bytes) = (outbound.window(), room.waiting_bytes_max / 4);
        let (share, share_bytes) = (share / (1 + open), share_bytes / (1 + open));
        let in_flight = match self.sides.get(&lane) {
            Some(side) => side.in_flight,
            None => self.in_flight_on_first(outbound),
        };
        let fits = in_flight.count < share && in_flight.weight < share_bytes;
        self.has_bytes(lane, room) && (in_flight.count == 0 || fits)
    }

    /// Whether more may wait to be written to a stream.
    fn has_bytes(&self, lane: Lane, room: Room) -> bool {
        let bytes = self.sides.get(&lane).map_or(room.first, |side| side.outbox.len());
        bytes + room.held < room.bytes_max
    }

    fn in_flight_on_first(&self, outbound: &Outbound<Tag>) -> Load {
        let sides = || self.sides.values().map(|side| side.in_flight);
        let others = outbound.passed().weight + sides().map(|load| load.weight).sum::<usize>();
        Load {
            count: outbound.in_flight().saturating_sub(sides().map(|load| load.count).sum()),
            weight: outbound.weight_in_memory().saturating_sub(others),
        }
    }

    fn passed_of(&self, lane: Lane) -> Option<&VecDeque<u64>> {
        match lane {
            Lane::CONTROL => Some(&self.passed),
            lane => self.sides.get(&lane).map(|side| &side.passed),
        }
    }

    fn passed_of_mut(&mut self, lane: Lane) -> &mut VecDeque<u64> {
        match self.sides.get_mut(&lane) {
            Some(side) => &mut side.passed,
            None => &mut self.passed,
        }
    }

    /// The next thing to send, and where: what was passed over first, then what is next in the row. What cannot be sent
    /// because of its lane is passed over, as far as there is room for that.
    pub(crate) fn next_to_send<'a>(
        &mut self,
        outbound: &'a mut Outbound<Tag>,
        ready: impl Fn(&Delivery<Tag>) -> bool,
        room: Room,
    ) -> Option<(Lane, Transmission<'a, Tag>)> {
        if let Some(sequence) = self.next_repeat(outbound, &ready, room) {
            self.again.pop_front();
            self.stuck_since = None;
            return Some((Lane::CONTROL, outbound.send_passed(sequence, ready)?));
        }
        if let Some((lane, sequence)) = self.next_passed(outbound, &ready, room) {
            let transmission = outbound.send_passed(sequence, ready)?;
            self.passed_of_mut(lane).pop_front();
            self.moved(lane, weight(&transmission));
            return Some((lane, transmission));
        }
        self.blocked = outbound.has_unsent() && outbound.in_flight() >= outbound.window();
        if self.blocked {
            return None;
        }
        loop {
            let delivery = outbound.next_in_turn()?;
            if !ready(delivery) {
                return None;
            }
            self.blocked = true;
            let lane = self.resolve(delivery.tag.lane);
            if self.takes(lane, outbound, room) {
                let transmission = outbound.next_to_send(|_| true)?;
                self.blocked = false;
                self.moved(lane, weight(&transmission));
                return Some((lane, transmission));
            }
            let passed = outbound.passed();
            if passed.count >= room.waiting_max.div_ceil(4)
                || passed.weight >= room.waiting_bytes_max / 4
            {
                return None;
            }
            let sequence = outbound.pass_over()?;
            self.blocked = false;
            self.passed_of_mut(lane).push_back(sequence);
        }
    }

    /// The first delivery that is to be sent again, if that can be done now. It has its place in the window.
    fn next_repeat(
        &mut self,
        outbound: &Outbound<Tag>,
        ready: &impl Fn(&Delivery<Tag>) -> bool,
        room: Room,
    ) -> Option<u64> {
        // Some may have been confirmed on another way.
        while self.again.front().is_some_and(|sequence| !outbound.is_passed(*sequence)) {
            self.again.pop_front();
        }
        let sequence = *self.again.front()?;
        let can = outbound.get(sequence).is_some_and(ready) && !room.is_full();
        can.then_some(sequence)
    }

    /// The first delivery that was passed over and can be sent now.
    fn next_passed(
        &mut self,
        outbound: &Outbound<Tag>,
        ready: &impl Fn(&Delivery<Tag>) -> bool,
        room: Room,
    ) -> Option<(Lane, u64)> {
        if outbound.in_flight() >= outbound.window() {
            return None;
        }
        let lanes = self.sides.keys().copied().chain([Lane::CONTROL]);
        for lane in lanes.collect::<Vec<_>>() {
            let passed = self.passed_of_mut(lane);
            // Some may have been settled, or given up.
            while passed.front().is_some_and(|sequence| !outbound.is_passed(*sequence)) {
                passed.pop_front();
            }
            let Some(&sequence) = passed.front() else { continue };
            let delivery = outbound.get(sequence);
            if delivery.is_some_and(ready) && self.has_room(lane, outbound, room) {
                return Some((lane, sequence));
            }
        }
        None
    }

    /// A delivery was sent on `lane`, whose message has so many bytes.
    pub(crate) fn moved(&mut self, lane: Lane, weight: usize) {
        self.stuck_since = None;
        if let Some(side) = self.sides.get_mut(&lane) {
            side.in_flight.count += 1;
            side.in_flight.weight += weight;
        }
    }

    /// Everything that could be sent has been. `more` tells whether there is something behind the row.
    pub(crate) fn note_rest(&mut self, now: Timestamp, more: bool) {
        self.stuck_since = self.stuck_since.or(Some(now)).filter(|_| self.blocked || more);
    }

    /// When it is to be seen whether a side holds up the others.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        Some(self.stuck_since?.after(STUCK_MAX))
    }

    /// The side that holds up the others of a client with so many `subscriptions`: nothing has moved for too long, and that
    /// side holds more of what is unconfirmed than any other, and than the first stream.
    pub(crate) fn stuck(
        &mut self,
        now: Timestamp,
        outbound: &Outbound<Tag>,
        subscriptions: usize,
    ) -> Option<Lane> {
        self.stuck_since = Some(now);
        let first = self.in_flight_on_first(outbound).count + self.passed.len();
        let load = |side: &Side| side.in_flight.count + side.passed.len();
        let (lane, most) = self.sides.iter().max_by_key(|(_, side)| load(side))?;
        let others = subscriptions > self.filters.values().filter(|of| *of == lane).count();
        (others && load(most) > first).then_some(*lane)
    }
}

/// Bytes of the message that is sent.
fn weight(transmission: &Transmission<'_, Tag>) -> usize {
    match transmission {
        Transmission::Publish { delivery, .. } => delivery.weight(),
        Transmission::Release { .. } => 0,
    }
}

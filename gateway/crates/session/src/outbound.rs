use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use mqtt::{PacketId, QoS};

use crate::Message;
use classes::Classes;
pub use classes::{Class, Sum};
use delivery::Progress;
pub use delivery::{Delivery, Load, Rest, Returning, Settled, Transmission};
use identifiers::Identifiers;

mod classes;
mod delivery;
mod identifiers;
mod look;
mod overtaking;

/// The sending side of a conversation: every QoS 1 and 2 delivery of a session, from
/// the moment it is queued until the client has confirmed it.
///
/// Deliveries are numbered by a sequence that only grows, and the packet identifier
/// *is* that sequence modulo 65,535: a store that remembers the sequence remembers the
/// identifier, as MQTT-4.4.0-1 demands for resending after a restart. The deliveries
/// stand in one row: those in flight, then those that wait. What lies behind them may be
/// elsewhere, on disk: of this [`Rest`] only the sums are known here, and everything that is
/// added goes behind it.
///
/// ```text
///   front                    cursor                 back
///     | sent, not confirmed    | queued               | rest .........
/// ```
///
/// `T` is whatever the owner wants to find again when a delivery is settled.
///
/// Inputs: [`push`](Self::push), [`push_behind`](Self::push_behind), [`bring`](Self::bring),
/// [`connect`](Self::connect), the four acknowledgements. Output: [`next_to_send`](Self::next_to_send), which the
/// owner calls until it answers `None`.
#[derive(Debug)]
pub struct Outbound<T> {
    deliveries: VecDeque<Delivery<T>>,
    /// Index of the first delivery that was not sent on this connection.
    cursor: usize,
    /// Deliveries that were sent on this connection and are not confirmed.
    in_flight: usize,
    /// Deliveries that were passed over.
    passed: Sum,
    /// Unconfirmed deliveries in the whole row.
    live: usize,
    /// Bytes of the messages that the row keeps alive.
    weight: usize,
    /// What lies behind the row.
    rest: Rest,
    /// What is owed of each class.
    classes: Classes,
    next_sequence: u64,
    /// Deliveries before this number may have been sent.
    sent_below: u64,
    window: usize,
    identifiers: Identifiers,
}

impl<T: Default> Outbound<T> {
    /// An empty row whose first delivery will get number `next_sequence`.
    #[must_use]
    pub fn new(next_sequence: u64) -> Self {
        Self {
            deliveries: VecDeque::new(),
            cursor: 0,
            in_flight: 0,
            passed: Sum::default(),
            live: 0,
            weight: 0,
            rest: Rest::default(),
            classes: Classes::default(),
            next_sequence,
            sent_below: 0,
            window: 0,
            identifiers: Identifiers::ALL,
        }
    }

    /// A row of which nothing is in memory: `rest` comes before number `next_sequence`, and what
    /// comes before `sent_below` may have been sent on an earlier connection. `classes` says what
    /// of the rest belongs to classes.
    #[must_use]
    pub fn restored(
        rest: Rest,
        classes: impl IntoIterator<Item = (Class, Sum)>,
        next_sequence: u64,
        sent_below: u64,
    ) -> Self {
        let classes = Classes::restored(classes);
        Self { rest, classes, sent_below, ..Self::new(next_sequence) }
    }

    /// Has deliveries numbered within a range of packet identifiers from the next connection on. A row must always have the
    /// same one, or the client takes new messages for repeats. An empty range, or one that begins at 0, changes nothing.
    pub fn number_within(&mut self, range: &RangeInclusive<u16>) {
        self.identifiers = Identifiers::within(range).unwrap_or(self.identifiers);
    }

    /// Begins a connection: everything unconfirmed is to be sent again, in order
    /// (MQTT-4.4.0-1), at most `window` at a time.
    pub fn connect(&mut self, window: u16) {
        self.window = usize::from(window);
        self.cursor = 0;
        self.in_flight = 0;
        self.forget_passed();
        self.classes.recall();
        self.drop_settled_front();
    }

    /// Whether a delivery pushed now could be sent at once.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.cursor == self.deliveries.len()
            && self.rest.count == 0
            && self.in_flight < self.window
            && !self.wrapped(self.next_sequence)
    }

    /// The identifier that the next delivery will have.
    #[must_use]
    pub fn next_packet_id(&self) -> PacketId {
        self.identifiers.of(self.next_sequence)
    }

    /// Adds a delivery at the end of the row and gives it the next number. Only valid when there
    /// is no [`rest`](Self::rest).
    pub fn push(
        &mut self,
        message: Arc<Message>,
        qos: QoS,
        retain: bool,
        class: Option<Class>,
        tag: T,
    ) -> u64 {
        debug_assert!(self.rest.count == 0, "what lies behind the row comes first");
        let sequence = self.next_sequence;
        self.append(sequence, Some(message), qos, retain, class, tag);
        self.next_sequence = sequence + 1;
        sequence
    }

    /// Adds a delivery behind the row, of which the owner takes care, and gives it the next number.
    pub fn push_behind(&mut self, load: Load) -> u64 {
        let sequence = self.next_sequence;
        if self.rest.count == 0 {
            self.rest.first = sequence;
        }
        self.rest.add(load);
        self.classes.add(load.class, load.weight);
        self.next_sequence = sequence + 1;
        sequence
    }

    /// Adds a delivery that the owner sends at this moment; only valid when
    /// [`has_room`](Self::has_room). `message` may be left out by a session that
    /// never resends.
    pub fn push_sent(
        &mut self,
        message: Option<Arc<Message>>,
        qos: QoS,
        retain: bool,
        class: Option<Class>,
        tag: T,
    ) -> (u64, PacketId) {
        debug_assert!(self.has_room(), "push_sent needs a free place in the window");
        let sequence = self.next_sequence;
        self.append(sequence, message, qos, retain, class, tag);
        self.next_sequence = sequence + 1;
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = true;
            self.classes.send(class, delivery.weight());
        }
        self.sent_below = self.next_sequence;
        self.cursor = self.deliveries.len();
        self.in_flight += 1;
        (sequence, self.identifiers.of(sequence))
    }

    /// Brings the next delivery of the rest to the end of the row. Numbers must ascend.
    pub fn bring(&mut self, returning: Returning<T>) {
        let Returning { sequence, message, qos, retain, load, tag } = returning;
        debug_assert!(sequence >= self.rest.first, "what is brought stood behind the row");
        let released = message.is_none();
        self.append(sequence, message, qos, retain, load.class, tag);
        self.take_from_rest(load);
        self.rest.first = sequence + 1;
        let sent = sequence < self.sent_below;
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = sent || released;
            if released {
                delivery.progress = Progress::Released;
            }
        }
    }

    /// A delivery of the rest is given up.
    pub fn take_from_rest(&mut self, load: Load) {
        self.rest.subtract(load);
        self.classes.remove(load.class, load.weight, false);
    }

    /// There is nothing more behind the row, whatever was thought; answers what was.
    pub fn forget_rest(&mut self) -> Rest {
        self.classes = Classes::default();
        for (index, delivery) in self.deliveries.iter().enumerate() {
            if delivery.progress != Progress::Done {
                self.classes.add(delivery.class, delivery.weight());
                if index < self.cursor && delivery.is_in_flight() {
                    self.classes.send(delivery.class, delivery.weight());
                }
            }
        }
        std::mem::replace(&mut self.rest, Rest { first: self.next_sequence, ..Rest::default() })
    }

    /// Puts the whole row behind itself, where its owner has it too; `shared` tells which came of
    /// shared subscriptions. Only for a session whose client is away.
    pub fn put_away(&mut self, shared: impl Fn(&T) -> bool) {
        let row = std::mem::take(&mut self.deliveries);
        let mut row = row.into_iter().filter(|d| d.progress != Progress::Done).peekable();
        let Some(first) = row.peek() else { return };
        self.rest.first = first.sequence;
        for delivery in row {
            let (weight, class) = (delivery.weight(), delivery.class);
            self.rest.add(Load { weight, shared: shared(&delivery.tag), class });
        }
        self.classes.recall();
        (self.cursor, self.in_flight, self.live, self.weight) = (0, 0, 0, 0);
        self.passed = Sum::default();
    }

    /// The next thing to send, if the window allows one and `ready` agrees.
    pub fn next_to_send(
        &mut self,
        ready: impl FnOnce(&Delivery<T>) -> bool,
    ) -> Option<Transmission<'_, T>> {
        let sequence = self.next_in_turn()?.sequence;
        if self.in_flight >= self.window || self.wrapped(sequence) {
            return None;
        }
        if !ready(self.deliveries.get(self.cursor)?) {
            return None;
        }
        self.cursor += 1;
        self.transmit(self.cursor - 1)
    }

    /// The delivery at the cursor.
    pub fn next_in_turn(&mut self) -> Option<&Delivery<T>> {
        while self.deliveries.get(self.cursor).is_some_and(|d| d.progress == Progress::Done) {
            self.cursor += 1;
        }
        self.deliveries.get(self.cursor)
    }

    /// Sends the delivery at `index`.
    fn transmit(&mut self, index: usize) -> Option<Transmission<'_, T>> {
        let delivery = self.deliveries.get_mut(index)?;
        let sequence = delivery.sequence;
        if !std::mem::take(&mut delivery.again) {
            self.in_flight += 1;
            self.classes.send(delivery.class, delivery.weight());
        }
        let packet_id = self.identifiers.of(sequence);
        if delivery.progress == Progress::Released {
            return Some(Transmission::Release { packet_id });
        }
        let dup = std::mem::replace(&mut delivery.sent, true);
        self.sent_below = self.sent_below.max(sequence + 1);
        Some(Transmission::Publish { packet_id, dup, delivery })
    }

    /// PUBACK: a QoS 1 delivery is confirmed. `None` for an identifier that is not awaited.
    pub fn puback(&mut self, packet_id: PacketId) -> Option<Settled<T>> {
        let index = self.awaiting(packet_id, QoS::AtLeastOnce, Progress::Published)?;
        self.settle(index)
    }

    /// PUBREC with a success code: the client has a QoS 2 message, so that it is not kept here.
    /// Answers the delivery, for which PUBREL is now owed; repeated PUBRECs are answered the same
    /// way.
    pub fn pubrec(&mut self, packet_id: PacketId) -> Option<&mut Delivery<T>> {
        let index = self
            .awaiting(packet_id, QoS::ExactlyOnce, Progress::Published)
            .or_else(|| self.awaiting(packet_id, QoS::ExactlyOnce, Progress::Released))?;
        self.call_off(index);
        let delivery = self.deliveries.get_mut(index)?;
        delivery.progress = Progress::Released;
        let weight = delivery.weight();
        delivery.message = None;
        self.weight -= weight;
        self.classes.lighten(delivery.class, weight);
        Some(delivery)
    }

    /// PUBREC with an error code: the client refuses a QoS 2 message and the exchange ends
    /// (MQTT 5, 4.3.3).
    pub fn pubrec_refused(&mut self, packet_id: PacketId) -> Option<Settled<T>> {
        let index = self.awaiting(packet_id, QoS::ExactlyOnce, Progress::Published)?;
        self.settle(index)
    }

    /// PUBCOMP: a QoS 2 delivery is confirmed.
    pub fn pubcomp(&mut self, packet_id: PacketId) -> Option<Settled<T>> {
        let index = self.awaiting(packet_id, QoS::ExactlyOnce, Progress::Released)?;
        self.settle(index)
    }

    /// Gives up a delivery by number (it expired, or the client may not have it any more).
    pub fn discard(&mut self, sequence: u64) -> Option<Settled<T>> {
        let index = self.index_of(sequence)?;
        if self.deliveries.get(index)?.progress == Progress::Done {
            return None;
        }
        self.settle(index)
    }

    /// The unconfirmed delivery of that number.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut Delivery<T>> {
        let index = self.index_of(sequence)?;
        self.deliveries.get_mut(index).filter(|d| d.progress != Progress::Done)
    }

    /// Takes every unconfirmed delivery in memory out, oldest first, and leaves the row empty.
    pub fn drain(&mut self) -> Vec<Delivery<T>> {
        self.cursor = 0;
        self.in_flight = 0;
        self.live = 0;
        self.weight = 0;
        self.passed = Sum::default();
        self.classes.recall();
        let drained: Vec<Delivery<T>> =
            self.deliveries.drain(..).filter(|d| d.progress != Progress::Done).collect();
        drained.iter().for_each(|d| self.classes.remove(d.class, d.weight(), false));
        drained
    }

    /// Unconfirmed deliveries in memory, oldest first, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Delivery<T>> {
        self.deliveries.iter_mut().filter(|d| d.progress != Progress::Done)
    }

    fn append(
        &mut self,
        sequence: u64,
        message: Option<Arc<Message>>,
        qos: QoS,
        retain: bool,
        class: Option<Class>,
        tag: T,
    ) {
        let progress = Progress::Published;
        let (sent, passed, again) = (false, false, false);
        let delivery =
            Delivery { sequence, message, qos, retain, class, tag, progress, sent, passed, again };
        self.weight += delivery.weight();
        self.classes.add(class, delivery.weight());
        self.live += 1;
        self.deliveries.push_back(delivery);
    }

    /// Whether the identifier of `sequence` still belongs to an older delivery.
    fn wrapped(&self, sequence: u64) -> bool {
        let count = self.identifiers.count;
        self.deliveries.front().is_some_and(|front| sequence - front.sequence >= count)
    }

    /// Index of the delivery that was sent with this identifier and awaits this confirmation.
    fn awaiting(&self, packet_id: PacketId, qos: QoS, progress: Progress) -> Option<usize> {
        let front = self.deliveries.front()?.sequence;
        let ahead = self.identifiers.ahead(packet_id, front)?;
        let index = self.index_of(front + ahead)?;
        let delivery = self.deliveries.get(index)?;
        let awaits = delivery.qos == qos && delivery.progress == progress;
        // What is to be sent again may be confirmed before it is.
        let was_sent = index < self.cursor && (!delivery.passed || delivery.sent);
        (was_sent && awaits).then_some(index)
    }

    /// Rows are contiguous unless brought with gaps, so the first guess is nearly always right.
    fn index_of(&self, sequence: u64) -> Option<usize> {
        let front = self.deliveries.front()?.sequence;
        let guess = usize::try_from(sequence.checked_sub(front)?).ok()?;
        if self.deliveries.get(guess).is_some_and(|d| d.sequence == sequence) {
            return Some(guess);
        }
        self.deliveries.binary_search_by_key(&sequence, |d| d.sequence).ok()
    }

    fn settle(&mut self, index: usize) -> Option<Settled<T>> {
        let delivery = self.deliveries.get_mut(index)?;
        let weight = delivery.weight();
        let in_flight = index < self.cursor && delivery.is_in_flight();
        if std::mem::take(&mut delivery.passed) {
            self.passed.subtract(Sum::of(weight));
        }
        delivery.progress = Progress::Done;
        let tag = std::mem::take(&mut delivery.tag);
        let settled = Settled { sequence: delivery.sequence, tag, in_flight, weight };
        delivery.message = None;
        self.weight -= weight;
        self.classes.remove(delivery.class, weight, in_flight);
        self.live -= 1;
        self.in_flight -= usize::from(in_flight);
        self.drop_settled_front();
        Some(settled)
    }

    fn drop_settled_front(&mut self) {
        while self.deliveries.front().is_some_and(|d| d.progress == Progress::Done) {
            self.deliveries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
        // A row that once held a long backlog gives its memory back.
        if self.deliveries.is_empty() && self.deliveries.capacity() > 1024 {
            self.deliveries.shrink_to(64);
        }
    }
}

#[cfg(test)]
mod tests;

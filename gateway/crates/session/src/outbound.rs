use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::{PacketId, QoS};

use crate::Message;
use delivery::Progress;
pub use delivery::{Delivery, Rest, Returning, Settled, Transmission};

mod delivery;

/// Packet identifiers are 1..=65535, so this many deliveries can be told apart.
const IDENTIFIERS: u64 = 65_535;

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
    /// Deliveries before the cursor that are not confirmed.
    in_flight: usize,
    /// Unconfirmed deliveries in the whole row.
    live: usize,
    /// Bytes of the messages that the row keeps alive.
    weight: usize,
    /// What lies behind the row.
    rest: Rest,
    next_sequence: u64,
    /// Deliveries before this number may have been sent.
    sent_below: u64,
    window: usize,
}

impl<T: Default> Outbound<T> {
    /// An empty row whose first delivery will get number `next_sequence`.
    #[must_use]
    pub fn new(next_sequence: u64) -> Self {
        Self {
            deliveries: VecDeque::new(),
            cursor: 0,
            in_flight: 0,
            live: 0,
            weight: 0,
            rest: Rest::default(),
            next_sequence,
            sent_below: 0,
            window: 0,
        }
    }

    /// A row of which nothing is in memory: `rest` comes before number `next_sequence`, and what
    /// comes before `sent_below` may have been sent on an earlier connection.
    #[must_use]
    pub fn restored(rest: Rest, next_sequence: u64, sent_below: u64) -> Self {
        Self { rest, sent_below, ..Self::new(next_sequence) }
    }

    /// Begins a connection: everything unconfirmed is to be sent again, in order
    /// (MQTT-4.4.0-1), at most `window` at a time.
    pub fn connect(&mut self, window: u16) {
        self.window = usize::from(window);
        self.cursor = 0;
        self.in_flight = 0;
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
        packet_id(self.next_sequence)
    }

    /// Adds a delivery at the end of the row and gives it the next number. Only valid when there
    /// is no [`rest`](Self::rest).
    pub fn push(&mut self, message: Arc<Message>, qos: QoS, retain: bool, tag: T) -> u64 {
        debug_assert!(self.rest.count == 0, "what lies behind the row comes first");
        let sequence = self.next_sequence;
        self.append(sequence, Some(message), qos, retain, tag);
        self.next_sequence = sequence + 1;
        sequence
    }

    /// Adds a delivery of `weight` bytes behind the row, of which the owner takes care, and gives
    /// it the next number.
    pub fn push_behind(&mut self, weight: usize, shared: bool) -> u64 {
        let sequence = self.next_sequence;
        if self.rest.count == 0 {
            self.rest.first = sequence;
        }
        self.rest.count += 1;
        self.rest.weight += weight;
        self.rest.shared += usize::from(shared);
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
        tag: T,
    ) -> (u64, PacketId) {
        debug_assert!(self.has_room(), "push_sent needs a free place in the window");
        let sequence = self.next_sequence;
        self.append(sequence, message, qos, retain, tag);
        self.next_sequence = sequence + 1;
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = true;
        }
        self.sent_below = self.next_sequence;
        self.cursor = self.deliveries.len();
        self.in_flight += 1;
        (sequence, packet_id(sequence))
    }

    /// Brings the next delivery of the rest to the end of the row. Numbers must ascend.
    pub fn bring(&mut self, returning: Returning<T>) {
        let Returning { sequence, message, qos, retain, weight, shared, tag } = returning;
        debug_assert!(sequence >= self.rest.first, "what is brought stood behind the row");
        let released = message.is_none();
        self.take_from_rest(weight, shared);
        self.rest.first = sequence + 1;
        self.append(sequence, message, qos, retain, tag);
        let sent = sequence < self.sent_below;
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = sent || released;
            if released {
                delivery.progress = Progress::Released;
            }
        }
    }

    /// A delivery of the rest, of `weight` bytes, is given up.
    pub fn take_from_rest(&mut self, weight: usize, shared: bool) {
        self.rest.count = self.rest.count.saturating_sub(1);
        self.rest.weight = self.rest.weight.saturating_sub(weight);
        self.rest.shared = self.rest.shared.saturating_sub(usize::from(shared));
    }

    /// There is nothing more behind the row, whatever was thought; answers what was.
    pub fn forget_rest(&mut self) -> Rest {
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
            self.rest.count += 1;
            self.rest.weight += delivery.message.as_ref().map_or(0, |m| m.weight());
            self.rest.shared += usize::from(shared(&delivery.tag));
        }
        (self.cursor, self.in_flight, self.live, self.weight) = (0, 0, 0, 0);
    }

    /// The next thing to send, if the window allows one and `ready` agrees.
    pub fn next_to_send(
        &mut self,
        ready: impl FnOnce(&Delivery<T>) -> bool,
    ) -> Option<Transmission<'_, T>> {
        while self.deliveries.get(self.cursor).is_some_and(|d| d.progress == Progress::Done) {
            self.cursor += 1;
        }
        let sequence = self.deliveries.get(self.cursor)?.sequence;
        if self.in_flight >= self.window || self.wrapped(sequence) {
            return None;
        }
        if !ready(self.deliveries.get(self.cursor)?) {
            return None;
        }
        self.in_flight += 1;
        self.cursor += 1;
        let delivery = self.deliveries.get_mut(self.cursor - 1)?;
        let packet_id = packet_id(sequence);
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
        let delivery = self.deliveries.get_mut(index)?;
        delivery.progress = Progress::Released;
        self.weight -= delivery.message.take().map_or(0, |m| m.weight());
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
        self.deliveries.drain(..).filter(|d| d.progress != Progress::Done).collect()
    }

    /// The oldest delivery in memory that was never sent.
    #[must_use]
    pub fn first_unsent(&self) -> Option<&Delivery<T>> {
        let mut row = self.deliveries.iter().skip(self.cursor);
        row.find(|delivery| !delivery.sent && delivery.progress != Progress::Done)
    }

    /// Unconfirmed deliveries in memory, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery<T>> {
        self.deliveries.iter().filter(|d| d.progress != Progress::Done)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Delivery<T>> {
        self.deliveries.iter_mut().filter(|d| d.progress != Progress::Done)
    }

    /// Number of unconfirmed deliveries, sent or not, in memory or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live + self.rest.count
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What lies behind the row.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.rest
    }

    /// The number below which deliveries may have been sent.
    #[must_use]
    pub fn sent_below(&self) -> u64 {
        self.sent_below
    }

    /// Number of unconfirmed deliveries in memory.
    #[must_use]
    pub fn unsettled_in_memory(&self) -> usize {
        self.live
    }

    /// The number that the next delivery gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Number of deliveries in memory that are not sent on this connection.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.deliveries.len() - self.cursor
    }

    /// Number of deliveries that are sent and not confirmed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a delivery waits to be sent on this connection.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.cursor < self.deliveries.len()
    }

    /// Bytes of the messages that are owed, in memory or not; a message that several sessions
    /// wait for counts in each.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight + self.rest.weight
    }

    /// Bytes of the messages that the row keeps in memory.
    #[must_use]
    pub fn weight_in_memory(&self) -> usize {
        self.weight
    }

    fn append(
        &mut self,
        sequence: u64,
        message: Option<Arc<Message>>,
        qos: QoS,
        retain: bool,
        tag: T,
    ) {
        self.weight += message.as_ref().map_or(0, |m| m.weight());
        self.live += 1;
        self.deliveries.push_back(Delivery {
            sequence,
            message,
            qos,
            retain,
            tag,
            progress: Progress::Published,
            sent: false,
        });
    }

    /// Whether the identifier of `sequence` still belongs to an older delivery.
    fn wrapped(&self, sequence: u64) -> bool {
        self.deliveries.front().is_some_and(|front| sequence - front.sequence >= IDENTIFIERS)
    }

    /// Index of the delivery that was sent with this identifier and awaits this confirmation.
    fn awaiting(&self, packet_id: PacketId, qos: QoS, progress: Progress) -> Option<usize> {
        let front = self.deliveries.front()?.sequence;
        let ahead =
            (u64::from(packet_id.get()) - 1 + IDENTIFIERS - front % IDENTIFIERS) % IDENTIFIERS;
        let index = self.index_of(front + ahead)?;
        let delivery = self.deliveries.get(index)?;
        (index < self.cursor && delivery.qos == qos && delivery.progress == progress)
            .then_some(index)
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
        let in_flight = index < self.cursor;
        let delivery = self.deliveries.get_mut(index)?;
        delivery.progress = Progress::Done;
        let settled =
            Settled { sequence: delivery.sequence, tag: std::mem::take(&mut delivery.tag) };
        self.weight -= delivery.message.take().map_or(0, |m| m.weight());
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

/// The identifier that a delivery has on the wire.
fn packet_id(sequence: u64) -> PacketId {
    let number = u16::try_from(sequence % IDENTIFIERS).unwrap_or(0) + 1;
    PacketId::new(number).unwrap_or(PacketId::MIN)
}

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::{PacketId, QoS};

use crate::Message;

/// Packet identifiers are 1..=65535, so this many deliveries can be told apart.
const IDENTIFIERS: u64 = 65_535;

/// The sending side of a conversation: every QoS 1 and 2 delivery of a session, from
/// the moment it is queued until the client has confirmed it.
///
/// Deliveries are numbered by a sequence that only grows, and the packet identifier
/// *is* that sequence modulo 65,535: a store that remembers the sequence remembers the
/// identifier, as MQTT-4.4.0-1 demands for resending after a restart. The deliveries
/// stand in one row: those in flight, then those that wait.
///
/// ```text
///   front                    cursor                 back
///     | sent, not confirmed    | queued               |
/// ```
///
/// `T` is whatever the owner wants to find again when a delivery is settled.
///
/// Inputs: [`push`](Self::push), [`restore`](Self::restore), [`connect`](Self::connect),
/// the four acknowledgements. Output: [`next_to_send`](Self::next_to_send), which the
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
    next_sequence: u64,
    window: usize,
}

/// One delivery of one message to one session.
#[derive(Debug)]
pub struct Delivery<T> {
    /// Its place in the session's sequence.
    pub sequence: u64,
    /// The message; `None` once it need not be sent again, or when the session
    /// ends with the connection and so never resends.
    pub message: Option<Arc<Message>>,
    /// 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// The owner's note.
    pub tag: T,
    progress: Progress,
    /// Sent at least once, on this or an earlier connection: DUP is due (MQTT-3.3.1-1).
    sent: bool,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// PUBLISH is owed, or PUBACK or PUBREC awaited.
    Published,
    /// PUBREC was received, PUBREL is owed, or PUBCOMP awaited.
    Released,
    /// Confirmed; waits for older ones so that the row stays contiguous.
    Done,
}

/// What to put on the wire next.
#[derive(Debug)]
pub enum Transmission<'a, T> {
    /// A PUBLISH with this identifier.
    Publish {
        /// The packet identifier.
        packet_id: PacketId,
        /// The DUP flag.
        dup: bool,
        /// What to send.
        delivery: &'a mut Delivery<T>,
    },
    /// A PUBREL with this identifier.
    Release {
        /// The packet identifier.
        packet_id: PacketId,
    },
}

/// A delivery that has just been settled.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<T> {
    /// Its place in the session's sequence.
    pub sequence: u64,
    /// The owner's note.
    pub tag: T,
}

impl<T> Delivery<T> {
    /// Whether the client may have got it: it was sent at least once, or may have been before a
    /// restart.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent
    }
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
            next_sequence,
            window: 0,
        }
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
            && self.in_flight < self.window
            && !self.wrapped(self.next_sequence)
    }

    /// The identifier that the next delivery will have.
    #[must_use]
    pub fn next_packet_id(&self) -> PacketId {
        packet_id(self.next_sequence)
    }

    /// Adds a delivery at the end of the row and gives it the next number.
    pub fn push(&mut self, message: Arc<Message>, qos: QoS, retain: bool, tag: T) -> u64 {
        let sequence = self.next_sequence;
        self.append(sequence, Some(message), qos, retain, tag);
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
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = true;
        }
        self.cursor = self.deliveries.len();
        self.in_flight += 1;
        (sequence, packet_id(sequence))
    }

    /// Puts back a delivery that was durable when the gateway stopped. Sequences must
    /// ascend. It counts as sent, since nobody knows whether it was.
    pub fn restore(
        &mut self,
        sequence: u64,
        message: Arc<Message>,
        qos: QoS,
        retain: bool,
        released: bool,
        tag: T,
    ) {
        debug_assert!(sequence >= self.next_sequence, "restored sequences ascend");
        self.append(sequence, Some(message), qos, retain, tag);
        if let Some(delivery) = self.deliveries.back_mut() {
            delivery.sent = true;
            if released {
                delivery.progress = Progress::Released;
            }
        }
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
        Some(Transmission::Publish { packet_id, dup, delivery })
    }

    /// PUBACK: a QoS 1 delivery is confirmed. `None` for an identifier that is not awaited.
    pub fn puback(&mut self, packet_id: PacketId) -> Option<Settled<T>> {
        let index = self.awaiting(packet_id, QoS::AtLeastOnce, Progress::Published)?;
        self.settle(index)
    }

    /// PUBREC with a success code: the client has a QoS 2 message. Answers the delivery,
    /// for which PUBREL is now owed; repeated PUBRECs are answered the same way.
    pub fn pubrec(&mut self, packet_id: PacketId) -> Option<&mut Delivery<T>> {
        let index = self
            .awaiting(packet_id, QoS::ExactlyOnce, Progress::Published)
            .or_else(|| self.awaiting(packet_id, QoS::ExactlyOnce, Progress::Released))?;
        let delivery = self.deliveries.get_mut(index)?;
        delivery.progress = Progress::Released;
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

    /// Takes every unconfirmed delivery out, oldest first, and leaves the row empty.
    pub fn drain(&mut self) -> Vec<Delivery<T>> {
        self.cursor = 0;
        self.in_flight = 0;
        self.live = 0;
        self.weight = 0;
        self.deliveries.drain(..).filter(|d| d.progress != Progress::Done).collect()
    }

    /// Unconfirmed deliveries, oldest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Delivery<T>> {
        self.deliveries.iter_mut().filter(|d| d.progress != Progress::Done)
    }

    /// Number of unconfirmed deliveries, sent or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
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

    /// Bytes of the messages that the row keeps alive; a message that several sessions
    /// wait for counts in each.
    #[must_use]
    pub fn weight(&self) -> usize {
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
        self.next_sequence = sequence + 1;
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

    /// Rows are contiguous unless restored with gaps, so the first guess is nearly always right.
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

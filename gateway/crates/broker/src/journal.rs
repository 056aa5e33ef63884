use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use session::Message;

use crate::durable::{Commit, DeliveryRecord, Lsn, MessageKey, Op, SessionKey};

/// What is to be made durable, in order, and what waits for it.
///
/// At most one commit is under way; whatever comes meanwhile joins the next one.
/// That is the whole of group commit: the slower the disk, the larger the groups.
#[derive(Debug)]
pub(crate) struct Journal<W> {
    last: Lsn,
    durable: Lsn,
    committing: Option<(Lsn, usize)>,
    pending: Vec<Op>,
    pending_weight: usize,
    waiting: VecDeque<(Lsn, usize, W)>,
    /// Bytes that `waiting` keeps.
    waiting_weight: usize,
    /// How many queue entries on disk name a message that is on disk.
    references: HashMap<MessageKey, u32, FixedState>,
    next_message: u64,
    next_session: u32,
}

/// What an op weighs besides the message in it.
pub(crate) const OP_WEIGHT: usize = 64;

impl<W> Journal<W> {
    pub(crate) fn new(seed: u64, next_message: u64, next_session: u32) -> Self {
        Self {
            last: Lsn(0),
            durable: Lsn(0),
            committing: None,
            pending: Vec::new(),
            pending_weight: 0,
            waiting: VecDeque::new(),
            waiting_weight: 0,
            references: HashMap::with_hasher(FixedState::with_seed(seed)),
            next_message,
            next_session,
        }
    }

    /// Appends one op and says at which position it will be durable.
    pub(crate) fn append(&mut self, op: Op) -> Lsn {
        self.pending_weight += OP_WEIGHT
            + match &op {
                Op::PutMessage { body, .. } | Op::PutRetained { body } => body.weight(),
                _ => 0,
            };
        self.pending.push(op);
        self.last = Lsn(self.last.0 + 1);
        self.last
    }

    pub(crate) fn new_message_key(&mut self) -> MessageKey {
        self.next_message += 1;
        MessageKey(self.next_message - 1)
    }

    pub(crate) fn new_session_key(&mut self) -> SessionKey {
        self.next_session += 1;
        SessionKey(self.next_session - 1)
    }

    /// Stores one queue entry, and its message unless another entry has stored it.
    pub(crate) fn put_delivery(
        &mut self,
        session: SessionKey,
        sequence: u64,
        delivery: DeliveryRecord,
        body: &Arc<Message>,
    ) -> Lsn {
        let message = delivery.message;
        let references = self.references.entry(message).or_insert(0);
        *references += 1;
        if *references == 1 {
            self.append(Op::PutMessage { message, body: Arc::clone(body) });
        }
        self.append(Op::PutDelivery { session, sequence, delivery })
    }

    /// Removes one queue entry, and its message when no other entry names it.
    pub(crate) fn remove_delivery(
        &mut self,
        session: SessionKey,
        sequence: u64,
        message: MessageKey,
    ) {
        self.append(Op::RemoveDelivery { session, sequence });
        self.release(message);
    }

    /// One queue entry that named `message` is gone from disk by other means.
    pub(crate) fn release(&mut self, message: MessageKey) {
        let Some(references) = self.references.get_mut(&message) else { return };
        *references -= 1;
        if *references == 0 {
            self.references.remove(&message);
            self.append(Op::RemoveMessage { message });
        }
    }

    /// A queue entry found on disk at start-up names `message`.
    pub(crate) fn restore_reference(&mut self, message: MessageKey) {
        *self.references.entry(message).or_insert(0) += 1;
    }

    /// Removes a message that was found on disk and that no queue entry names.
    pub(crate) fn remove_unless_referenced(&mut self, message: MessageKey) {
        if !self.references.contains_key(&message) {
            self.append(Op::RemoveMessage { message });
        }
    }

    /// The position of the last op.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// Whether everything up to `lsn` is durable.
    pub(crate) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn <= self.durable
    }

    /// Remembers `waiter` until `lsn` is durable.
    pub(crate) fn wait(&mut self, lsn: Lsn, waiter: W) {
        self.wait_with(lsn, 0, waiter);
    }

    /// The same for one that keeps `weight` bytes, which nothing else bounds.
    pub(crate) fn wait_with(&mut self, lsn: Lsn, weight: usize, waiter: W) {
        debug_assert!(
            self.waiting.back().is_none_or(|(last, ..)| *last <= lsn),
            "waiters come in order"
        );
        self.waiting_weight += weight;
        self.waiting.push_back((lsn, weight, waiter));
    }

    /// The next group to commit, unless one is under way.
    pub(crate) fn take_commit(&mut self) -> Option<Commit> {
        if self.committing.is_some() || self.pending.is_empty() {
            return None;
        }
        let weight = std::mem::take(&mut self.pending_weight);
        self.committing = Some((self.last, weight));
        Some(Commit { ops: std::mem::take(&mut self.pending), upto: self.last, weight })
    }

    /// Everything up to `upto` is on disk.
    pub(crate) fn committed(&mut self, upto: Lsn) {
        self.durable = self.durable.max(upto);
        if self.committing.is_some_and(|(last, _)| last <= upto) {
            self.committing = None;
        }
    }

    /// The next waiter whose position is durable.
    pub(crate) fn next_served(&mut self) -> Option<W> {
        let (lsn, weight, _) = self.waiting.front()?;
        if *lsn > self.durable {
            return None;
        }
        self.waiting_weight -= weight;
        self.waiting.pop_front().map(|(.., waiter)| waiter)
    }

    /// Bytes between the broker and the disk, those included that wait for it.
    pub(crate) fn backlog(&self) -> usize {
        self.waiting_weight + self.pending_weight + self.committing.map_or(0, |(_, weight)| weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::{QoS, TopicName};

    fn body() -> Arc<Message> {
        Arc::new(Message {
            topic: TopicName::new("t").expect("valid").to_owned(),
            payload: Box::default(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Box::default(),
            expires: None,
        })
    }

    fn entry(message: MessageKey) -> DeliveryRecord {
        DeliveryRecord {
            message,
            qos: QoS::AtLeastOnce,
            retain: false,
            released: false,
            shared: false,
            ids: Vec::new(),
        }
    }

    #[test]
    fn a_message_is_stored_once_and_removed_with_its_last_entry() {
        let mut journal: Journal<()> = Journal::new(1, 1, 1);
        let key = journal.new_message_key();
        journal.put_delivery(SessionKey(1), 0, entry(key), &body());
        journal.put_delivery(SessionKey(2), 0, entry(key), &body());
        journal.remove_delivery(SessionKey(1), 0, key);
        journal.remove_delivery(SessionKey(2), 0, key);
        let ops = journal.take_commit().expect("pending").ops;
        let kinds: Vec<_> = ops
            .iter()
            .map(|op| match op {
                Op::PutMessage { .. } => "message",
                Op::PutDelivery { .. } => "entry",
                Op::RemoveDelivery { .. } => "-entry",
                Op::RemoveMessage { .. } => "-message",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, ["message", "entry", "entry", "-entry", "-entry", "-message"]);
    }

    #[test]
    fn one_commit_at_a_time_and_waiters_only_after_it() {
        let mut journal: Journal<&str> = Journal::new(1, 1, 1);
        let first = journal.append(Op::RemoveSession { session: SessionKey(1) });
        journal.wait(first, "first");
        let commit = journal.take_commit().expect("one op");
        let second = journal.append(Op::RemoveSession { session: SessionKey(2) });
        journal.wait(second, "second");
        assert!(journal.take_commit().is_none(), "one is under way");
        assert_eq!(journal.next_served(), None);
        journal.committed(commit.upto);
        assert_eq!(journal.next_served(), Some("first"));
        assert_eq!(journal.next_served(), None);
        assert!(journal.take_commit().is_some() && journal.backlog() > 0);
    }
}

use std::collections::VecDeque;

use crate::durable::{Commit, Lsn, MessageKey, Op, SessionKey, Urgency};

/// What is to be made durable, in order, and what waits for it.
///
/// At most one commit is under way; whatever comes meanwhile joins the next one.
/// That is the whole of group commit: the slower the disk, the larger the groups.
///
/// A commit that something waits for is synced at once, any other when the disk finds it
/// convenient; what waits for one that was not synced has it synced.
#[derive(Debug)]
pub(crate) struct Journal<W> {
    last: Lsn,
    /// Everything up to here survives a power cut.
    durable: Lsn,
    /// The commit that is under way: its end and its weight.
    committing: Option<(Lsn, usize)>,
    pending: Vec<Op>,
    pending_weight: usize,
    /// Whether one of the pending ops is to be synced soon.
    soon: bool,
    waiting: VecDeque<(Lsn, usize, W)>,
    /// Bytes that `waiting` keeps.
    waiting_weight: usize,
    next_message: u64,
    next_session: u32,
}

/// What an op weighs besides the message in it.
pub(crate) const OP_WEIGHT: usize = 64;

impl<W> Journal<W> {
    pub(crate) fn new(next_session: u32) -> Self {
        Self {
            last: Lsn(0),
            durable: Lsn(0),
            committing: None,
            pending: Vec::new(),
            pending_weight: 0,
            soon: false,
            waiting: VecDeque::new(),
            waiting_weight: 0,
            next_message: 1,
            next_session,
        }
    }

    /// Appends one op and says at which position it will be durable.
    pub(crate) fn append(&mut self, op: Op) -> Lsn {
        self.soon = true;
        self.append_unhurried(op)
    }

    /// The same for an op whose loss in a power cut somebody has accepted.
    pub(crate) fn append_unhurried(&mut self, op: Op) -> Lsn {
        self.pending_weight += OP_WEIGHT
            + match &op {
                Op::PutDelivery { body, .. } | Op::PutRetained { body } => body.weight(),
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

    /// The next group to commit, unless one is under way. It has no ops when something waits for
    /// what was written and not synced.
    pub(crate) fn take_commit(&mut self) -> Option<Commit> {
        let awaited = self.waiting.back().is_some_and(|(lsn, ..)| *lsn > self.durable);
        if self.committing.is_some() || (self.pending.is_empty() && !awaited) {
            return None;
        }
        let urgency = match (awaited, std::mem::take(&mut self.soon)) {
            (true, _) => Urgency::Now,
            (false, true) => Urgency::Soon,
            (false, false) => Urgency::Whenever,
        };
        let weight = std::mem::take(&mut self.pending_weight);
        let upto = self.last;
        self.committing = Some((upto, weight));
        Some(Commit { ops: std::mem::take(&mut self.pending), upto, weight, urgency })
    }

    /// Everything up to `upto` is on disk; `synced` tells whether it survives a power cut.
    pub(crate) fn committed(&mut self, upto: Lsn, synced: bool) {
        if synced {
            self.durable = self.durable.max(upto);
        }
        self.committing.take_if(|(end, _)| *end <= upto);
    }

    /// Whether nothing is pending, and no commit is under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.committing.is_none()
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
        let committing = self.committing.map_or(0, |(_, weight)| weight);
        self.waiting_weight + self.pending_weight + committing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(session: u32) -> Op {
        Op::RemoveSession { session: SessionKey(session) }
    }

    #[test]
    fn one_commit_at_a_time_and_waiters_only_after_it() {
        let mut journal: Journal<&str> = Journal::new(1);
        let first = journal.append(end(1));
        journal.wait(first, "first");
        let commit = journal.take_commit().expect("one op");
        assert_eq!(commit.urgency, Urgency::Now);
        let second = journal.append(end(2));
        journal.wait(second, "second");
        assert!(journal.take_commit().is_none(), "one is under way");
        assert_eq!(journal.next_served(), None);
        journal.committed(commit.upto, true);
        assert_eq!(journal.next_served(), Some("first"));
        assert_eq!(journal.next_served(), None);
        assert!(journal.take_commit().is_some() && journal.backlog() > 0);
    }

    #[test]
    fn what_nothing_waits_for_is_not_hurried_until_something_does() {
        let mut journal: Journal<&str> = Journal::new(1);
        let lsn = journal.append(end(1));
        let commit = journal.take_commit().expect("one op");
        assert_eq!(commit.urgency, Urgency::Soon);
        journal.committed(commit.upto, false);
        assert!(!journal.is_durable(lsn));
        assert!(journal.take_commit().is_none());
        journal.wait(lsn, "late");
        let sync = journal.take_commit().expect("a sync");
        assert_eq!((sync.ops.len(), sync.urgency), (0, Urgency::Now));
        assert_eq!(journal.next_served(), None);
        journal.committed(sync.upto, true);
        assert_eq!(journal.next_served(), Some("late"));
        assert!(journal.take_commit().is_none());
    }

    #[test]
    fn a_waiter_that_comes_while_its_commit_is_written_has_it_synced() {
        let mut journal: Journal<&str> = Journal::new(1);
        let lsn = journal.append(end(1));
        let commit = journal.take_commit().expect("one op");
        journal.wait(lsn, "late");
        journal.committed(commit.upto, false);
        assert_eq!(journal.next_served(), None);
        let sync = journal.take_commit().expect("a sync");
        journal.committed(sync.upto, true);
        assert_eq!(journal.next_served(), Some("late"));
        assert!(journal.take_commit().is_none(), "once is enough");
    }
}

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use broker::durable::{Commit, Lsn, Op, Read, Urgency};

use super::CommitterSettings;

/// What was submitted and not begun.
pub(super) struct Queue<T> {
    commits: VecDeque<Commit>,
    pub(super) reads: VecDeque<(T, Read)>,
    weight: usize,
    /// Whether one of the commits is to be durable at once.
    urgent: bool,
    pub(super) closing: bool,
    /// How often somebody asked whether the thread is there, and up to which time it has seen that.
    pub(super) knocks: u64,
    pub(super) answered: u64,
}

/// Commits that become durable together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ops: Vec<Op>,
    pub(super) upto: Lsn,
    pub(super) urgency: Urgency,
    pub(super) commits: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            commits: VecDeque::new(),
            reads: VecDeque::new(),
            weight: 0,
            urgent: false,
            closing: false,
            knocks: 0,
            answered: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, commit: Commit) {
        self.weight = self.weight.saturating_add(commit.weight);
        self.urgent |= commit.urgency == Urgency::Now;
        self.commits.push_back(commit);
    }

    pub(super) fn len(&self) -> usize {
        self.commits.len()
    }

    /// How long until the next group is due; `None` when there is none. `synced` is when the last
    /// one that cost the disk a sync was begun. One that costs none does not wait.
    pub(super) fn due_in(
        &self,
        settings: &CommitterSettings,
        synced: Option<Instant>,
    ) -> Option<Duration> {
        if self.commits.is_empty() {
            return None;
        }
        let full = self.closing || self.weight >= settings.group_bytes;
        match synced.filter(|_| self.urgent && !full) {
            None => Some(Duration::ZERO),
            Some(synced) => Some(settings.group_delay.saturating_sub(synced.elapsed())),
        }
    }

    pub(super) fn take_group(&mut self) -> Group {
        let mut group = Group::sync(Lsn::default());
        group.urgency = Urgency::Whenever;
        for commit in self.commits.drain(..) {
            if group.ops.is_empty() {
                group.ops = commit.ops;
            } else {
                group.ops.extend(commit.ops);
            }
            group.upto = commit.upto;
            group.urgency = group.urgency.max(commit.urgency);
            group.commits += 1;
        }
        self.weight = 0;
        self.urgent = false;
        group
    }
}

impl Group {
    /// Makes durable what is written.
    pub(super) fn sync(upto: Lsn) -> Self {
        Self { ops: Vec::new(), upto, urgency: Urgency::Now, commits: 0 }
    }
}

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use broker::durable::{Lsn, Read, Urgency};

use super::{CommitterSettings, Event, EventSink, Shared, queue::Group};
use crate::{Store, StoreError};

/// Reads that are served before a group that is due.
const READS_IN_A_ROW: u32 = 4;
/// How often space is looked for while the disk is full.
const SPACE_PAUSE: Duration = Duration::from_secs(1);
/// How often what the store occupies is looked at.
const USAGE_PAUSE: Duration = Duration::from_secs(1);

/// The thread's side of a committer.
pub(super) struct Worker<T> {
    store: Box<dyn Store>,
    settings: CommitterSettings,
    on_event: EventSink<T>,
    shared: Arc<Shared<T>>,
    /// The group that failed and is tried again.
    failed: Option<Failed>,
    /// When the last group that is synced was begun.
    synced: Option<Instant>,
    /// The last op that is written.
    written: Lsn,
    /// When something was written first that is to be durable soon and is not.
    soon_since: Option<Instant>,
    /// Whether something is written and not synced.
    unsynced: bool,
    reads_in_a_row: u32,
    refused: Refused<T>,
    upkeep: Upkeep,
    /// When what the store occupies is looked at next, if it may have changed.
    usage_due: Option<Instant>,
    usage_seen: Instant,
    full: bool,
    /// Since when the committer is closed and the disk refuses.
    refused_since: Option<Instant>,
}

struct Failed {
    group: Group,
    pause: Duration,
    due: Instant,
}

/// Reads that failed and are tried again, together.
struct Refused<T> {
    reads: Vec<(T, Read)>,
    due: Option<Instant>,
    /// The pause after the last failure.
    pause: Option<Duration>,
}

/// When the store is maintained next.
struct Upkeep {
    /// `None`: after the next group.
    due: Option<Instant>,
    /// The pause after the last failure.
    pause: Option<Duration>,
}

enum Work<T> {
    Read(T, Read),
    /// With the pause after it failed, if it did.
    Group(Group, Option<Duration>),
    Maintain,
    LookAtUsage,
    End,
}

impl<T> Worker<T> {
    pub(super) fn new(
        store: Box<dyn Store>,
        settings: CommitterSettings,
        on_event: EventSink<T>,
        shared: Arc<Shared<T>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            store,
            settings,
            on_event,
            shared,
            failed: None,
            synced: None,
            written: Lsn::default(),
            soon_since: None,
            unsynced: false,
            reads_in_a_row: 0,
            refused: Refused { reads: Vec::new(), due: None, pause: None },
            upkeep: Upkeep { due: Some(now), pause: None },
            usage_due: Some(now),
            usage_seen: now,
            full: false,
            refused_since: None,
        }
    }

    pub(super) fn run(mut self) -> Result<(), StoreError> {
        loop {
            match self.next() {
                Work::Read(reader, read) => self.read(reader, read),
                Work::Group(group, paused) => {
                    self.reads_in_a_row = 0;
                    self.commit(group, paused)?;
                    if self.upkeep.due.is_none_or(|due| due <= Instant::now()) {
                        self.maintain();
                    }
                    if self.usage_due.is_some_and(|due| due <= Instant::now()) {
                        self.look_at_usage();
                    }
                }
                Work::Maintain => self.maintain(),
                Work::LookAtUsage => self.look_at_usage(),
                Work::End => {
                    self.store.close();
                    return Ok(());
                }
            }
        }
    }

    /// Waits until something is due.
    fn next(&mut self) -> Work<T> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        loop {
            queue.answered = queue.knocks;
            let group_in = match &self.failed {
                Some(failed) => Some(left(failed.due)),
                None => queue.due_in(&self.settings, self.synced),
            };
            let soon = self.soon_since.filter(|_| self.failed.is_none());
            let sync_in =
                soon.map(|since| self.settings.soon_delay.saturating_sub(since.elapsed()));
            let group_is_due = [group_in, sync_in].contains(&Some(Duration::ZERO));
            let read_in = self.refused.due.map(left);
            if read_in == Some(Duration::ZERO) {
                self.refused.due = None;
                queue.reads.extend(self.refused.reads.drain(..));
            }
            if (self.reads_in_a_row < READS_IN_A_ROW || !group_is_due)
                && let Some((reader, read)) = queue.reads.pop_front()
            {
                self.reads_in_a_row = self.reads_in_a_row.saturating_add(1);
                return Work::Read(reader, read);
            }
            if group_in == Some(Duration::ZERO) {
                return match self.failed.take() {
                    Some(failed) => Work::Group(failed.group, Some(failed.pause)),
                    None => Work::Group(queue.take_group(), None),
                };
            }
            let closing = queue.closing && self.failed.is_none();
            if sync_in == Some(Duration::ZERO) || (closing && self.unsynced) {
                return Work::Group(Group::sync(self.written), None);
            }
            if closing {
                return Work::End;
            }
            let upkeep_in = self.upkeep.due.map(left);
            if upkeep_in == Some(Duration::ZERO) {
                return Work::Maintain;
            }
            let usage_in = self.usage_due.map(left);
            if usage_in == Some(Duration::ZERO) {
                return Work::LookAtUsage;
            }
            let waits = [group_in, sync_in, upkeep_in, usage_in, read_in];
            let wait = waits.into_iter().flatten().min();
            queue = match wait {
                None => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = shared.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn read(&mut self, reader: T, read: Read) {
        let page = self.store.read(&read);
        self.shared.counters.read(page.is_ok());
        match page {
            Ok(page) => {
                self.refused.pause = None;
                (self.on_event)(Event::Read { reader, page });
            }
            Err(error) => {
                self.refused.reads.push((reader, read));
                if self.refused.due.is_none() {
                    let pause = self.longer(self.refused.pause);
                    self.refused.pause = Some(pause);
                    self.refused.due = Some(Instant::now() + pause);
                    (self.on_event)(Event::ReadFailed { error, retry_in: pause });
                }
            }
        }
    }

    /// Tries once; what fails is tried again until patience ends after the committer was closed.
    fn commit(&mut self, group: Group, paused: Option<Duration>) -> Result<(), StoreError> {
        let began = Instant::now();
        if group.urgency == Urgency::Now {
            self.synced = Some(began);
        }
        match self.store.commit(&group.ops, group.urgency) {
            Ok(stats) => {
                self.shared.counters.committed(stats, began.elapsed());
                self.usage_changed();
                self.refused_since = None;
                let synced = group.urgency == Urgency::Now;
                self.written = group.upto;
                self.unsynced = !synced;
                match group.urgency {
                    Urgency::Now => self.soon_since = None,
                    Urgency::Soon => drop(self.soon_since.get_or_insert(began)),
                    Urgency::Whenever => {}
                }
                (self.on_event)(Event::Committed { upto: group.upto, synced, stats });
                Ok(())
            }
            Err(error) => self.try_again(group, paused, error),
        }
    }

    fn try_again(
        &mut self,
        group: Group,
        paused: Option<Duration>,
        error: StoreError,
    ) -> Result<(), StoreError> {
        self.shared.counters.failed();
        if error.is_no_space() {
            self.set_full(true);
            // What it does may free space.
            self.upkeep.due = Some(Instant::now());
        }
        let mut pause = self.longer(paused);
        let queue = self.shared.queue();
        let (closing, waiting) = (queue.closing, queue.len());
        drop(queue);
        if closing {
            let since = *self.refused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.settings.shutdown_patience {
                let abandoned = group.commits + waiting;
                return Err(StoreError::Stopped { abandoned, detail: error.to_string() });
            }
            pause = self.settings.retry_min;
        }
        (self.on_event)(Event::Failed { error, retry_in: pause });
        self.failed = Some(Failed { group, pause, due: Instant::now() + pause });
        Ok(())
    }

    fn longer(&self, paused: Option<Duration>) -> Duration {
        let CommitterSettings { retry_min, retry_max, .. } = self.settings;
        paused.map_or(retry_min, |paused| paused.saturating_mul(2).min(retry_max))
    }

    fn maintain(&mut self) {
        match self.store.maintain() {
            Ok(done) => {
                self.upkeep.pause = None;
                self.upkeep.due = if done.more {
                    Some(Instant::now())
                } else {
                    done.disk_full.then(|| Instant::now() + SPACE_PAUSE)
                };
                if self.failed.is_none() {
                    self.set_full(done.disk_full);
                }
                self.shared.counters.maintained(&done);
                for incident in done.incidents {
                    (self.on_event)(Event::Incident(incident));
                }
            }
            Err(error) => {
                self.shared.counters.failed();
                let pause = self.longer(self.upkeep.pause);
                self.upkeep.pause = Some(pause);
                self.upkeep.due = Some(Instant::now() + pause);
                if error.is_no_space() {
                    self.set_full(true);
                }
                (self.on_event)(Event::MaintenanceFailed { error, retry_in: pause });
            }
        }
        self.usage_changed();
    }

    /// Even if nothing follows, the counters are to tell what the last change left.
    fn usage_changed(&mut self) {
        self.usage_due.get_or_insert(self.usage_seen + USAGE_PAUSE);
    }

    fn look_at_usage(&mut self) {
        self.usage_due = None;
        self.usage_seen = Instant::now();
        self.shared.counters.set_usage(self.store.usage());
    }

    fn set_full(&mut self, full: bool) {
        if self.full != full {
            self.full = full;
            // What is said and what is counted agree.
            self.look_at_usage();
            (self.on_event)(if full { Event::Full } else { Event::Space });
        }
    }
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now())
}

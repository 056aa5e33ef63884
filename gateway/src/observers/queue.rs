use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use extension_host::MAX_EVENTS;

use super::told::Told;

/// Events that wait for one extension at most, and their bytes; the oldest go first.
const EVENTS_MAX: usize = 4096;
const BYTES_MAX: usize = 1 << 20;

/// Bytes of the events of one call, unless it is one alone: a guest has them in its memory.
const CALL_BYTES_MAX: usize = 256 << 10;

/// What has happened and has not been told to one extension.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Rung when there is something where there was nothing, or enough for a call.
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arc<Told>>,
    bytes: usize,
    /// Left out before those that wait, and not told of yet.
    missed: u64,
    /// Left out since the start.
    missed_ever: u64,
    /// Nothing is told before.
    rests_until: Option<Instant>,
    closed: bool,
}

/// What is told in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<Arc<Told>>,
    /// Left out before them.
    pub(super) missed: u64,
}

impl Queue {
    pub(super) fn put(&self, told: Arc<Told>) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        waiting.bytes += told.bytes();
        waiting.events.push_back(told);
        while waiting.events.len() > EVENTS_MAX || waiting.bytes > BYTES_MAX {
            if waiting.pop().is_none() {
                break;
            }
            waiting.miss(1);
        }
        let rings = waiting.events.len() == 1 || waiting.events.len() == MAX_EVENTS;
        drop(waiting);
        if rings {
            self.rung.notify_one();
        }
    }

    /// Waits until there is something to tell, and so long for more of it; none when the queue has been closed.
    pub(super) fn take(&self, pause: Duration) -> Option<Batch> {
        let mut waiting = self.lock();
        let mut until = None;
        loop {
            if waiting.closed {
                return None;
            }
            let now = Instant::now();
            let until = match waiting.rests_until.filter(|until| now < *until) {
                Some(rested) => rested,
                None if waiting.events.is_empty() => {
                    waiting = self.rung.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                None if waiting.events.len() >= MAX_EVENTS => return Some(waiting.batch()),
                None => *until.get_or_insert(now + pause),
            };
            let Some(left) = until.checked_duration_since(now).filter(|left| !left.is_zero())
            else {
                return Some(waiting.batch());
            };
            waiting =
                self.rung.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is left of a queue that has been closed.
    pub(super) fn take_left(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        (!waiting.events.is_empty()).then(|| waiting.batch())
    }

    /// A batch was not heard: it counts as missed, and nothing is told for so long.
    pub(super) fn put_off(&self, batch: &Batch, pause: Duration) {
        let mut waiting = self.lock();
        waiting.miss(batch.events.len() as u64);
        waiting.missed += batch.missed;
        waiting.rests_until = Some(Instant::now() + pause);
    }

    pub(super) fn missed_so_far(&self) -> u64 {
        self.lock().missed_ever
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.rung.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The oldest events, as many as make a call.
    fn batch(&mut self) -> Batch {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < MAX_EVENTS
            && let Some(next) = self.events.front()
            && (events.is_empty() || bytes + next.bytes() <= CALL_BYTES_MAX)
        {
            bytes += next.bytes();
            events.extend(self.pop());
        }
        Batch { events, missed: std::mem::take(&mut self.missed) }
    }

    fn pop(&mut self) -> Option<Arc<Told>> {
        let told = self.events.pop_front()?;
        self.bytes -= told.bytes();
        Some(told)
    }

    fn miss(&mut self, events: u64) {
        self.missed += events;
        self.missed_ever += events;
    }
}

#[cfg(test)]
mod tests {
    use broker::Event;

    use super::*;

    fn told(client_id: &str) -> Arc<Told> {
        let (client_id, principal) = (client_id.into(), "p".into());
        Arc::new(Told::of(&Event::Reauthenticated { client_id, principal }))
    }

    fn names(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|told| told.observed().client_id).collect()
    }

    #[test]
    fn what_comes_together_is_told_together_and_in_its_order() {
        let queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.put(told(name));
        }
        let began = Instant::now();
        let batch = queue.take(Duration::from_millis(20)).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20), "it waits for more");
        assert_eq!((names(&batch), batch.missed), (vec!["a", "b", "c"], 0));
        for number in 0..MAX_EVENTS + 1 {
            queue.put(told(&number.to_string()));
        }
        let began = Instant::now();
        assert_eq!(queue.take(Duration::from_secs(60)).unwrap().events.len(), MAX_EVENTS);
        assert!(began.elapsed() < Duration::from_secs(30), "it does not wait when there is enough");
        assert_eq!(names(&queue.take(Duration::ZERO).unwrap()), ["256"]);
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many_and_are_counted() {
        let queue = Queue::default();
        for number in 0..EVENTS_MAX + 10 {
            queue.put(told(&number.to_string()));
        }
        let batch = queue.take(Duration::ZERO).unwrap();
        assert_eq!((names(&batch)[0], batch.missed, queue.missed_so_far()), ("10", 10, 10));
        assert_eq!(queue.take(Duration::ZERO).unwrap().missed, 0, "they are told of once");

        let queue = Queue::default();
        let long = "x".repeat(60_000);
        for _ in 0..100 {
            queue.put(told(&long));
        }
        let batch = queue.take(Duration::ZERO).unwrap();
        assert_eq!(batch.events.len(), 4, "a call has fewer where they are large");
        assert_eq!(batch.missed, 100 - 17);
        let huge = "x".repeat(2 * BYTES_MAX);
        queue.put(told(&huge));
        assert!(queue.take_left().is_none(), "what is too large for the queue is left out too");
    }

    #[test]
    fn what_was_not_heard_counts_as_missed_after_a_rest() {
        let queue = Queue::default();
        queue.put(told("a"));
        let batch = queue.take(Duration::ZERO).unwrap();
        queue.put_off(&batch, Duration::from_millis(30));
        queue.put(told("b"));
        let began = Instant::now();
        let next = queue.take(Duration::ZERO).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(25), "{:?}", began.elapsed());
        assert_eq!((names(&next), next.missed), (vec!["b"], 1));
    }

    #[test]
    fn a_closed_queue_gives_what_is_left_and_takes_nothing() {
        let queue = Arc::new(Queue::default());
        let taker = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.take(Duration::from_secs(60)).is_none()
        });
        queue.put(told("a"));
        queue.close();
        queue.put(told("b"));
        assert!(taker.join().unwrap(), "whoever waits is woken");
        assert_eq!(names(&queue.take_left().unwrap()), ["a"]);
        assert!(queue.take_left().is_none());
    }
}

use mqtt::{EncodeError, Packet, Publish, QoS};
use session::Timestamp;

use super::reviewing::reread;
use super::{Phase, Relay, TO_UPSTREAM_MAX};
use crate::{End, Priority};

/// Bytes of messages that were read of one local conversation and wait for their turn. Beyond it that is not read, and the
/// acknowledgements behind them wait too.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Bytes that may wait for upstream before nothing is put behind them that a more urgent message would have to wait for.
const TO_UPSTREAM_LESS_URGENT_MAX: usize = 32 << 10;

/// A priority that is passed over so often in a row has a turn.
const PASSED_OVER_MAX: u32 = 8;

/// Which message goes upstream next, and when.
impl Relay {
    /// So many messages are owed in the session of a priority. What is owed when that is first said waited before the connection
    /// was made; said again, it corrects what is known of these: some expire.
    pub fn note_owed(&mut self, priority: Priority, owed: usize) {
        self.held.of_mut(priority).note_owed(owed);
    }

    /// Messages that waited before the connection was made and have not gone yet.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.held.iter().map(|held| held.backlog()).sum()
    }

    /// Whether the local conversation of a priority is to be read.
    #[must_use]
    pub fn wants_local(&self, priority: Priority) -> bool {
        self.upstream.output.len() < TO_UPSTREAM_MAX
            && self.held.of(priority).bytes() < HELD_BYTES_MAX
    }

    /// A message of the local broker; `raw` is its packet. It goes, or waits for its turn.
    pub(super) fn line_up(
        &mut self,
        now: Timestamp,
        priority: Priority,
        publish: &Publish<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        if self.held.of(priority).is_empty() && self.may_go(now, priority, publish.qos) {
            return self.go(now, priority, publish, raw);
        }
        self.counts.dropped += u64::from(!self.held.of_mut(priority).push(publish.qos, raw));
        Ok(())
    }

    /// Sends what may go, the most urgent first.
    pub(super) fn take_turns(&mut self, now: Timestamp) -> Result<(), End> {
        self.turned = now;
        while let Some(priority) = self.next_turn(now) {
            let Some(raw) = self.held.of_mut(priority).pop() else { break };
            let publish = reread(&raw);
            let publish = publish.ok_or(End::Again("a message that was held cannot be read"))?;
            self.go(now, priority, &publish, &raw)?;
        }
        Ok(())
    }

    /// When [`take_turns`](Self::take_turns) has something to send, unless something else happens before.
    pub(super) fn next_turn_at(&mut self) -> Option<Timestamp> {
        let now = self.turned;
        let times = Priority::ALL.map(|priority| {
            let qos = self.held.of(priority).front()?;
            let waited = self.held.of(priority).waited(qos);
            self.has_room(priority, qos).then(|| self.pacer.next(now, waited))
        });
        times.into_iter().flatten().min()
    }

    fn go(
        &mut self,
        now: Timestamp,
        priority: Priority,
        publish: &Publish<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        if self.held.of_mut(priority).leave(publish.qos) {
            self.pacer.drained(now);
        }
        self.take_in_turn(now, publish, raw)
    }

    /// Puts a message into the output for upstream.
    pub(super) fn put(&mut self, now: Timestamp, publish: Publish<'_>) -> Result<(), EncodeError> {
        let before = self.upstream.output.len();
        self.upstream.send(now, &Packet::Publish(publish))?;
        self.pacer.spend(now, self.upstream.output.len().saturating_sub(before));
        Ok(())
    }

    fn next_turn(&mut self, now: Timestamp) -> Option<Priority> {
        let able = Priority::ALL.map(|priority| {
            let qos = self.held.of(priority).front()?;
            self.may_go(now, priority, qos).then_some(priority)
        });
        let able = || able.into_iter().flatten();
        let starved = able().find(|it| self.held.of(*it).passed_over >= PASSED_OVER_MAX);
        let next = starved.or_else(|| able().next())?;
        for other in able() {
            self.held.of_mut(other).passed_over += 1;
        }
        self.held.of_mut(next).passed_over = 0;
        Some(next)
    }

    fn may_go(&mut self, now: Timestamp, priority: Priority, qos: QoS) -> bool {
        let waited = self.held.of(priority).waited(qos);
        self.has_room(priority, qos) && self.pacer.allows(now, waited)
    }

    /// Whether there is room upstream. What is less urgent leaves some to what is more so.
    fn has_room(&self, priority: Priority, qos: QoS) -> bool {
        let urgent = self.settings.priorities.iter().min().is_none_or(|most| priority <= *most);
        let bytes = if urgent { TO_UPSTREAM_MAX } else { TO_UPSTREAM_LESS_URGENT_MAX };
        let reserved = match priority {
            _ if urgent => 0,
            Priority::High | Priority::Normal => self.window / 8,
            Priority::Low => self.window / 4,
        };
        self.phase == Phase::Running
            && !self.winds_up
            && !self.review.holds()
            && self.upstream.output.len() < bytes
            && (qos == QoS::AtMostOnce || self.in_flight.len() < self.window - reserved)
    }
}

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Bytes a second at which a packet has to come, besides the time that any packet has: less than the slowest link that
/// is in use for MQTT carries.
const BYTES_PER_SECOND: u64 = 1024;

/// How long the rest of a packet may be waited for that has begun. Time in which nobody reads does not count.
///
/// The timer of one packet is left running for the next: most packets that come in two pieces are whole long before.
#[derive(Debug)]
pub(crate) struct Patience {
    /// For a packet of no length.
    time: Duration,
    /// Since when the rest of the packet at the front is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, since: None, timer: None }
    }

    /// Nothing is waited for: the packet is whole, or nobody reads.
    pub(crate) fn rest(&mut self) {
        self.since = None;
    }

    /// Whether a packet of so many bytes, as far as is known, has taken too long. If not, the task is woken when it has.
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>, bytes: usize) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let for_bytes =
            Duration::from_millis((bytes as u64).saturating_mul(1000) / BYTES_PER_SECOND);
        let end = since + self.time + for_bytes;
        if now >= end {
            return true;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        // One that was set for an earlier packet has gone off.
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= end {
                return true;
            }
            timer.as_mut().reset(end);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const TIME: Duration = Duration::from_millis(200);

    /// Waits for a packet of so many bytes until it is over; answers how long that took.
    async fn waits(patience: &mut Patience, bytes: usize) -> Duration {
        let begun = Instant::now();
        poll_fn(|context| match patience.is_over(context, bytes) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_packet_has_its_time_and_that_of_its_bytes() {
        let (short, long) = (waits(&mut Patience::new(TIME), 2).await, TIME * 2);
        assert!(short >= TIME && short < long, "{short:?}");
        let took = waits(&mut Patience::new(TIME), 512).await;
        assert!(took >= TIME + Duration::from_millis(500), "{took:?}");
    }

    #[tokio::test]
    async fn each_packet_has_a_time_of_its_own() {
        let mut patience = Patience::new(TIME);
        for bytes in [2, 1024, 2] {
            let over = poll_fn(|context| Poll::Ready(patience.is_over(context, bytes))).await;
            assert!(!over);
            tokio::time::sleep(TIME * 3 / 4).await;
            patience.rest();
        }
        let took = waits(&mut patience, 2).await;
        assert!(took >= TIME, "though a timer has gone off meanwhile: {took:?}");
    }
}

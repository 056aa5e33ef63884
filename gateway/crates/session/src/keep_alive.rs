use std::time::Duration;

use crate::Timestamp;

/// Watches that the client says something within one and a half times its Keep Alive
/// (MQTT-3.1.2-22).
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    limit: Option<Duration>,
    last: Timestamp,
    suspended: bool,
}

impl KeepAlive {
    /// Begins at `now` with a Keep Alive of `seconds`; 0 watches nothing (MQTT 5, 3.1.2.10).
    #[must_use]
    pub fn new(seconds: u16, now: Timestamp) -> Self {
        let limit = (seconds > 0).then(|| Duration::from_millis(u64::from(seconds) * 1500));
        Self { limit, last: now, suspended: false }
    }

    /// The client was heard.
    pub fn heard(&mut self, now: Timestamp) {
        self.last = now;
    }

    /// Watches nothing until [`KeepAlive::resume`].
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Watches again, as if the client had been heard now.
    pub fn resume(&mut self, now: Timestamp) {
        self.last = now;
        self.suspended = false;
    }

    /// Whether nothing is watched for the time being.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// When the connection is to be closed unless the client is heard again.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.limit.filter(|_| !self.suspended).map(|limit| self.last.after(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_one_and_a_half_times_the_keep_alive_after_the_last_packet() {
        let mut watch = KeepAlive::new(10, Timestamp::from_unix_ms(1_000));
        assert_eq!(watch.deadline(), Some(Timestamp::from_unix_ms(16_000)));
        watch.heard(Timestamp::from_unix_ms(5_000));
        assert_eq!(watch.deadline(), Some(Timestamp::from_unix_ms(20_000)));
    }

    #[test]
    fn what_is_suspended_is_watched_again_once_it_is_resumed() {
        let mut watch = KeepAlive::new(10, Timestamp::from_unix_ms(1_000));
        watch.suspend();
        watch.heard(Timestamp::from_unix_ms(2_000));
        assert_eq!(watch.deadline(), None);
        watch.resume(Timestamp::from_unix_ms(50_000));
        assert_eq!(watch.deadline(), Some(Timestamp::from_unix_ms(65_000)));
    }

    #[test]
    fn a_keep_alive_of_zero_never_closes() {
        assert_eq!(KeepAlive::new(0, Timestamp::default()).deadline(), None);
    }
}

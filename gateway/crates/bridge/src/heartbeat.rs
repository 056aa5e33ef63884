use std::time::Duration;

use session::Timestamp;

/// When PINGREQ is due, and whether it was answered (MQTT 5, 3.1.2.10).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    /// `None` where nothing is watched.
    interval: Option<Duration>,
    sent: Timestamp,
    heard: Timestamp,
    pinged: Option<Timestamp>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// The last one was not answered in time.
    Dead,
}

impl Heartbeat {
    /// 0 seconds watch nothing.
    pub(crate) fn new(seconds: u16, now: Timestamp) -> Self {
        let interval = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Self { interval, sent: now, heard: now, pinged: None }
    }

    /// Half of it: for a side that closes after one and a half, and whose answer is not waited for.
    pub(crate) fn halved(self) -> Self {
        Self { interval: self.interval.map(|interval| interval / 2), ..self }
    }

    pub(crate) fn sent(&mut self, now: Timestamp) {
        self.sent = now;
    }

    pub(crate) fn heard(&mut self, now: Timestamp) {
        self.heard = now;
    }

    pub(crate) fn answered(&mut self) {
        self.pinged = None;
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let interval = self.interval?;
        Some(self.pinged.unwrap_or(self.sent.min(self.heard)).after(interval))
    }

    /// What is due at `now`; a ping counts as sent.
    pub(crate) fn due(&mut self, now: Timestamp) -> Due {
        match (self.deadline(), self.pinged) {
            (Some(at), Some(_)) if at <= now => Due::Dead,
            (Some(at), None) if at <= now => {
                (self.pinged, self.sent) = (Some(now), now);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    #[test]
    fn whoever_only_hears_or_only_sends_pings_too() {
        for hears in [true, false] {
            let mut beat = Heartbeat::new(10, at(0));
            if hears {
                beat.heard(at(9))
            } else {
                beat.sent(at(9))
            }
            assert_eq!(beat.due(at(9)), Due::Nothing);
            assert_eq!(beat.due(at(10)), Due::Ping);
        }
    }

    #[test]
    fn other_packets_are_no_answer() {
        let mut beat = Heartbeat::new(10, at(0));
        assert_eq!(beat.due(at(10)), Due::Ping);
        beat.heard(at(15));
        beat.sent(at(15));
        assert_eq!(beat.due(at(19)), Due::Nothing);
        assert_eq!(beat.due(at(20)), Due::Dead);
        beat.answered();
        assert_eq!(beat.due(at(24)), Due::Nothing);
        assert_eq!(Heartbeat::new(0, at(0)).deadline(), None);
    }
}

use std::collections::{BTreeSet, VecDeque};

use session::Timestamp;

/// Everything that is due at some time.
///
/// A session has one alarm, at or before the first of its deadlines, so that a client that
/// comes and goes leaves no trail. What it is about is looked at when it rings, and a
/// deadline that has moved away by then sets it again.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    alarms: BTreeSet<(Timestamp, Alarm)>,
    /// Deliveries to write if still unconfirmed then. All have the same delay, so they
    /// fall due in the order in which they were added.
    writes: VecDeque<(Timestamp, Write)>,
}

/// When a session is to be looked at: its client may have been silent too long, or its
/// authorization, its expiry interval or the delay of its will may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    pub(crate) session: u32,
    pub(crate) uid: u64,
}

/// A delivery of a durable session that is in memory only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) session: u32,
    pub(crate) uid: u64,
    pub(crate) sequence: u64,
}

impl Timers {
    /// Moves a session's alarm, if it was set, to another time.
    pub(crate) fn set(&mut self, alarm: Alarm, from: Option<Timestamp>, to: Timestamp) {
        self.unset(alarm, from);
        self.alarms.insert((to, alarm));
    }

    pub(crate) fn unset(&mut self, alarm: Alarm, from: Option<Timestamp>) {
        if let Some(from) = from {
            self.alarms.remove(&(from, alarm));
        }
    }

    pub(crate) fn write_at(&mut self, at: Timestamp, write: Write) {
        self.writes.push_back((at, write));
    }

    /// The earliest moment at which something is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let write = self.writes.front().map(|(at, _)| *at);
        [alarm, write].into_iter().flatten().min()
    }

    /// The next alarm, and when it was to ring.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Alarm)> {
        let (at, _) = self.alarms.first()?;
        if *at > now {
            return None;
        }
        self.alarms.pop_first()
    }

    pub(crate) fn due_write(&mut self, now: Timestamp) -> Option<Write> {
        let (at, _) = self.writes.front()?;
        if *at > now {
            return None;
        }
        self.writes.pop_front().map(|(_, write)| write)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use auth::PermissionSet;
    use mqtt::{Connect, ConnectProperties, ReasonCode, Version};

    use super::*;
    use crate::durable::Snapshot;
    use crate::{Admission, Admitted, Broker, Closing, Durability, LinkId, Settings};

    #[test]
    fn a_client_that_comes_and_goes_leaves_no_trail_of_alarms() {
        let mut broker =
            Broker::new(Settings::default(), 1, Timestamp::default(), Snapshot::default());
        let permissions = Arc::new(PermissionSet::deny_all("test"));
        let connect = Connect {
            version: Version::V5,
            client_id: "a",
            clean_start: false,
            keep_alive: 60,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties {
                session_expiry: Some(3600),
                ..ConnectProperties::default()
            },
        };
        for second in 0..1000 {
            let now = Timestamp::default().after_seconds(second);
            broker.handle_deadline(now);
            let admitted = broker.connect(
                now,
                Admission {
                    link: LinkId(second.into()),
                    connect: &connect,
                    client_id: "a".into(),
                    principal: "a".into(),
                    attributes: Vec::new(),
                    permissions: Arc::clone(&permissions),
                    authentication_data: None,
                    durability: Durability::Strict,
                    valid_for_ms: None,
                    limits: auth::Limits::default(),
                    will_verdict: None,
                    will_interception: None,
                    listener: None,
                    arrangement: None,
                },
            );
            let Admitted::Accepted(who) = admitted else { panic!("{admitted:?}") };
            broker.disconnect(now, who, Closing::new(ReasonCode::UnspecifiedError, "gone"));
        }
        assert_eq!(broker.timers.alarms.len(), 1, "{:?}", broker.timers.alarms);
    }
}

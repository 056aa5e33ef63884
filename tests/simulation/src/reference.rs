//! MQTT as the specification tells it, without any of the broker's cleverness: vectors and maps,
//! searched from the front. It is told what the broker handled, in order, and holds everything
//! that leaves the broker against what must leave it.

mod connecting;
mod emitted;
mod estates;
mod handled;
mod overflow;
mod promised;
mod publishing;
mod recovery;
mod rulings;
mod share;
mod shares;
mod state;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use broker::durable::SessionKey;
use broker::{DropCause, Event, LinkId, Overflow, Settings, Timestamp};

use crate::disk::Disk;
use crate::history::{Moment, What};
pub(crate) use overflow::rule_of;
use share::Share;
pub(crate) use state::{Connection, Due, Kept, Message, Session};

/// The topics of which interceptors, where there are any, see what is published.
pub(crate) const SHOWN: &str = "t/#";

/// The reference model.
pub(crate) struct Reference {
    settings: Settings,
    /// Whether outboxes may run full, so that a QoS 0 message may be dropped.
    lossy: bool,
    /// Whether everything leaves the broker in the step in which it is due.
    prompt: bool,
    /// Whether guests are asked about everything.
    guests: bool,
    /// Whether interceptors see what is published on [`SHOWN`].
    interceptors: bool,
    pub(crate) sessions: BTreeMap<Arc<str>, Session>,
    /// Messages to groups.
    pub(crate) shares: Vec<Share>,
    pub(crate) connections: BTreeMap<LinkId, Connection>,
    pub(crate) retained: BTreeMap<String, Kept>,
    /// What cleared each topic last, since something was retained there.
    cleared: BTreeMap<String, Rc<Message>>,
    /// The last durable session of each client that is over.
    ended: BTreeMap<Arc<str>, SessionKey>,
    /// Deliveries so far; each gets the next number.
    serial: u64,
    /// The number at which the input began that is being looked at.
    step: u64,
    /// Bytes that waited in all queues then.
    weight: usize,
    /// The publish that is being looked at, whose acknowledgement may still turn out a refusal.
    publishing: Option<LinkId>,
    /// The step in which a publish was taken back.
    taken_back: u64,
    epoch: u64,
}

impl Reference {
    pub(crate) fn new(
        settings: Settings,
        lossy: bool,
        prompt: bool,
        guests: bool,
        interceptors: bool,
    ) -> Self {
        Self {
            settings,
            lossy,
            prompt,
            guests,
            interceptors,
            sessions: BTreeMap::new(),
            shares: Vec::new(),
            connections: BTreeMap::new(),
            retained: BTreeMap::new(),
            cleared: BTreeMap::new(),
            ended: BTreeMap::new(),
            serial: 1,
            step: 1,
            weight: 0,
            publishing: None,
            taken_back: 0,
            epoch: 0,
        }
    }

    /// Follows the broker by one moment. `disk` is what was durable then.
    pub(crate) fn follow(&mut self, moment: &Moment, disk: &Disk) {
        let at = moment.at;
        if !matches!(moment.what, What::Told(_) | What::Closed(_) | What::Emitted { .. }) {
            self.step = self.serial;
            self.weight = self.sessions.values().map(Session::weight).sum();
            self.publishing = None;
        }
        match &moment.what {
            What::Accepted { link, client_id, connect } => {
                self.connect(*link, client_id, connect, at);
            }
            What::Handled { link, packet, answer } => {
                self.handled(*link, packet, answer.as_ref(), at);
            }
            What::Forgotten(link) => {
                if let Some(connection) = self.connections.get_mut(link) {
                    connection.rulings.forget();
                }
            }
            What::Due => self.due(at),
            What::Read | What::Shown { .. } | What::Reviewed { .. } => {}
            What::Told(event) => self.told(event, at),
            What::Emitted { link, bytes } => self.emitted(*link, bytes, disk, at),
            What::Closed(link) | What::Lost(link) => self.disconnected(*link, at),
        }
    }

    /// What the broker says about messages that it did not queue must be plausible.
    fn told(&mut self, event: &Event, at: Timestamp) {
        let damaged = matches!(event, Event::Dropped { cause: DropCause::Damaged, .. });
        assert!(!damaged, "{event:?}, and the disk is whole");
        if let Event::Dropped { client_id, cause: DropCause::Replaced, .. } = event {
            assert_eq!(self.settings.overflow, Overflow::LastValue, "{event:?}");
            self.replaced(client_id);
        }
        if let Event::Dropped { client_id, cause: DropCause::QueueFull, .. } = event {
            self.overflowed(client_id, at);
        }
    }

    /// How many sessions, connections and subscriptions there are.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let online = self.sessions.values().filter(|s| s.online.is_some()).count();
        let subscriptions = self.sessions.values().map(|s| s.subscriptions.len()).sum::<usize>();
        (self.sessions.len() as u64, online as u64, subscriptions as u64)
    }

    /// Bytes that must wait, and that may wait, in the queues of sessions.
    pub(crate) fn queued(&self, at: Timestamp) -> (usize, usize) {
        let least = self.sessions.values().filter(|s| s.durable).flat_map(|session| {
            session.row.iter().filter(move |due| !session.may_be_skipped(due, at))
        });
        let most: usize = self.sessions.values().map(Session::weight).sum();
        (least.map(Due::weight).sum(), most + self.shared_weight())
    }

    /// Everything that is due to a connection that takes it has left.
    pub(crate) fn check_idle(&self, link: LinkId, at: Timestamp) {
        let Some(connection) = self.connections.get(&link).filter(|c| c.greeted) else { return };
        let who = &connection.client;
        // A SUBACK that waits for the disk may hold back everything behind it.
        let over = self.sessions.get(who).is_none_or(|session| session.online != Some(link));
        if over || !connection.answers.is_empty() {
            return;
        }
        let missing = connection.loose.iter().find(|due| !self.skippable(connection, due, at));
        assert!(missing.is_none(), "{who} was not sent {missing:?}");
        assert_eq!(connection.pings, 0, "{who} waits for PINGRESP");
    }

    /// Everything that anybody waits for has come.
    pub(crate) fn check_rest(&self, at: Timestamp) {
        for (who, session) in &self.sessions {
            let Some(link) = session.online else { continue };
            let connection = &self.connections[&link];
            assert!(connection.greeted, "{who} waits for CONNACK");
            let missing = session.row.iter().find(|due| !self.skippable(connection, due, at));
            assert!(missing.is_none(), "{who} waits for {missing:?}");
            assert!(connection.owed.is_empty(), "{who} waits for {:?}", connection.owed);
            assert!(connection.answers.is_empty(), "{who} waits for {:?}", connection.answers);
            self.check_idle(link, at);
        }
        self.check_shares(at);
    }

    fn skippable(&self, connection: &Connection, due: &Due, at: Timestamp) -> bool {
        due.may_be_missing
            || due.message.is_expired(at)
            || due.len(connection.version) > connection.max_packet
    }

    fn new_due(&mut self, message: &Rc<Message>) -> Due {
        self.serial += 1;
        Due::new(self.serial - 1, message)
    }
}

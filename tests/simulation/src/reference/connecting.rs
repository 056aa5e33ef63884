use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{Connect, Decoded, Decoder, Packet, Version};

use super::rulings::Rulings;
use super::state::Will;
use super::{Connection, Message, Reference, Session};

/// The beginnings and ends of connections and sessions.
impl Reference {
    pub(super) fn connect(&mut self, link: LinkId, client: &Arc<str>, bytes: &[u8], at: Timestamp) {
        let mut decoder = Decoder::new(u32::MAX);
        let Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) = decoder.decode(bytes)
        else {
            panic!("no CONNECT");
        };
        if self.sessions.get(client).is_some_and(|s| s.ends_at.is_some_and(|end| end <= at)) {
            self.end(client, at);
        }
        if let Some(online) = self.sessions.get(client).and_then(|session| session.online) {
            self.disconnected(online, at);
        }
        if connect.clean_start && self.sessions.contains_key(client) {
            self.end(client, at);
        }
        let asked = match connect.version {
            Version::V5 => connect.properties.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        let expiry = asked.min(self.settings.max_session_expiry);
        let present = self.sessions.contains_key(client);
        self.epoch += 1;
        let (epoch, began) = (self.epoch, self.serial);
        // So that what comes next is known to come later.
        self.serial += 1;
        let max_packet =
            connect.properties.maximum_packet_size.map_or(usize::MAX, |max| max as usize);
        let session =
            self.sessions.entry(Arc::clone(client)).or_insert_with(|| Session::new(epoch, began));
        session.durable |= expiry > 0;
        session.expiry = expiry;
        session.will = connect.will.as_ref().map(|will| will_of(will, at));
        session.will_promised = false;
        session.online = Some(link);
        (session.ends_at, session.will_at) = (None, None);
        (session.max_packet, session.version) = (max_packet, connect.version);
        let connection = Connection::new(client, session.epoch, &connect, present);
        self.connections.insert(link, connection);
        self.arrive(client);
    }

    /// A connection is over, unless that is known.
    pub(super) fn disconnected(&mut self, link: LinkId, at: Timestamp) {
        let Some(client) = self.connections.get(&link).map(|c| Arc::clone(&c.client)) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&client) else { return };
        if session.online != Some(link) {
            return;
        }
        session.online = None;
        let expiry = session.expiry;
        session.ends_at = (expiry != u32::MAX).then(|| at.after_seconds(expiry));
        let delay = session.will.as_ref().map(|will| will.delay.min(expiry));
        session.will_at = delay.map(|delay| at.after_seconds(delay));
        if expiry == 0 {
            self.end(&client, at);
        } else if delay == Some(0) {
            self.fire(&client, at);
        }
    }

    /// Does what has fallen due, in order.
    pub(super) fn due(&mut self, at: Timestamp) {
        loop {
            let offline = self.sessions.iter().filter(|(_, session)| session.online.is_none());
            let next = offline
                .flat_map(|(client, session)| {
                    // After a crash several count as disconnected in one moment.
                    let key = session.key;
                    let end = session.ends_at.map(|when| (when, key, true, Arc::clone(client)));
                    let will = session.will_at.map(|when| (when, key, false, Arc::clone(client)));
                    [end, will]
                })
                .flatten()
                .filter(|(when, ..)| *when <= at)
                .min();
            match next {
                None => return,
                Some((_, _, true, client)) => self.end(&client, at),
                Some((_, _, false, client)) => self.fire(&client, at),
            }
        }
    }

    /// A session is over; a will that it still has is due.
    fn end(&mut self, client: &Arc<str>, at: Timestamp) {
        self.fire(client, at);
        let Some(session) = self.sessions.remove(client) else { return };
        if let Some(key) = session.key {
            self.ended.insert(Arc::clone(client), key);
        }
        self.bequeath(client, session.epoch);
        session.subscriptions.keys().for_each(|filter| self.check_members(filter));
    }

    /// Publishes a will.
    fn fire(&mut self, client: &Arc<str>, at: Timestamp) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.will_at = None;
        let Some(Will { mut message, .. }) = session.will.take() else { return };
        message.expires = message.expiry.map(|seconds| at.after_seconds(seconds));
        let message = std::rc::Rc::new(message);
        if message.retain {
            self.keep(&message, at);
        }
        self.route(Some(client), &message);
    }
}

fn will_of(will: &mqtt::Will<'_>, at: Timestamp) -> Will {
    let publish = mqtt::Publish {
        qos: will.qos,
        retain: will.retain,
        message_expiry: will.message_expiry,
        properties: will.properties,
        ..mqtt::Publish::new(will.topic, will.payload)
    };
    Will { message: Message::of(&publish, will.topic.as_str(), at), delay: will.delay }
}

impl Session {
    pub(super) fn new(epoch: u64, began: u64) -> Self {
        Self {
            epoch,
            began,
            durable: false,
            expiry: 0,
            key: None,
            subscriptions: BTreeMap::new(),
            removed: BTreeSet::new(),
            row: Vec::new(),
            dropped: Vec::new(),
            received: BTreeMap::new(),
            will: None,
            will_promised: false,
            online: None,
            ends_at: None,
            will_at: None,
            max_packet: usize::MAX,
            version: Version::V5,
        }
    }
}

impl Connection {
    fn new(client: &Arc<str>, epoch: u64, connect: &Connect<'_>, present: bool) -> Self {
        Self {
            client: Arc::clone(client),
            epoch,
            version: connect.version,
            max_packet: connect
                .properties
                .maximum_packet_size
                .map_or(usize::MAX, |max| max as usize),
            present,
            greeted: false,
            cursor: 0,
            loose: VecDeque::new(),
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            alias_max: connect.properties.topic_alias_maximum.unwrap_or(0),
            rulings: Rulings::default(),
            owed: VecDeque::new(),
            answers: VecDeque::new(),
            unknown: Vec::new(),
            pings: 0,
        }
    }
}

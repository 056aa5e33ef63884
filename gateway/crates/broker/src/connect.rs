use std::collections::BTreeMap;
use std::sync::Arc;

use auth::{Identity, Limits, PermissionSet};
use mqtt::{ConnAck, ConnAckProperties, Connect, Packet, ReasonCode, UserPropertiesBuf, Version};
use session::{Inbound, KeepAlive, Outbound, Timestamp};

use crate::aliases::{InboundAliases, OutboundAliases};
use crate::broker::Waiter;
use crate::client::{Client, Online, Will};
use crate::durable::{Lsn, Op};
use crate::interception::interests;
use crate::pace::Pace;
use crate::queue::Values;
use crate::quota::Excesses;
use crate::read_ahead::Sweep;
use crate::reauthenticate::Method;
use crate::{
    Arrangement, Broker, Closing, Conversation, Durability, Event, Interception, LinkId, Outbox,
    Question, Verdict,
};

/// A client whose identity is established and who wants a session.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The connection.
    pub link: LinkId,
    /// Its CONNECT.
    pub connect: &'a Connect<'a>,
    /// The client identifier: that of the CONNECT, or one from
    /// [`Broker::new_client_id`] if that was empty.
    pub client_id: Arc<str>,
    /// Who it is.
    pub principal: Arc<str>,
    /// What the extension noted about it.
    pub attributes: Vec<(String, String)>,
    /// What it may do.
    pub permissions: Arc<PermissionSet>,
    /// Authentication Data of CONNACK, where CONNECT named an authentication method.
    pub authentication_data: Option<&'a [u8]>,
    /// How long the authorization is valid; `None` without end.
    pub valid_for_ms: Option<u64>,
    /// What extensions and the listener set for it.
    pub limits: Limits,
    /// What the acknowledgements of its publishes wait for, where topics say nothing else.
    pub durability: Durability,
    /// The answer to [`Admitted::Ask`], where that was [`Question::Publish`].
    pub will_verdict: Option<Verdict>,
    /// The answer where it was [`Question::Intercept`].
    pub will_interception: Option<Interception>,
    /// The number of the listener, by which [`Broker::set_interests`] knows what its interceptors want to see; `None`
    /// for a client whose messages go past none.
    pub listener: Option<u16>,
    /// What is arranged for it, where it is a part of the gateway itself.
    pub arrangement: Option<Arc<Arrangement>>,
}

/// What became of an [`Admission`].
#[derive(Debug)]
pub enum Admitted {
    /// The session is there; CONNACK is first in its output.
    Accepted(Conversation),
    /// Nothing has changed: have this answered (it is about the will), then try again.
    Ask(Question),
    /// Nothing has changed: answer CONNACK with this code and close.
    Refused(Closing),
}

impl Broker {
    /// Gives a session to an authenticated client: a new one, or the one that it left
    /// (MQTT 5, 3.1.2.4 and 4.1). A connection that holds the session is closed.
    pub fn connect(&mut self, now: Timestamp, mut admission: Admission<'_>) -> Admitted {
        let connect = admission.connect;
        let identity = Identity {
            client_id: Arc::clone(&admission.client_id),
            principal: Arc::clone(&admission.principal),
            attributes: admission.attributes.clone(),
        };
        if let Err(closing) = self
            .check_memory_for_client()
            .and_then(|()| self.check_connect(connect))
            .and_then(|()| self.check_greeting(&admission))
        {
            self.count_refusal(&closing);
            return Admitted::Refused(closing);
        }
        let made = admission.will_interception.take();
        let checked = self.check_will(&admission, &identity);
        let will = match checked.and_then(|()| self.intercept_will(now, &admission, made)) {
            Ok(will) => will,
            Err(admitted) => return admitted,
        };
        if let Some(rule) = connect.client_id_fault() {
            let why = format!("the client identifier {:?} is refused: {rule}", connect.client_id);
            return Admitted::Refused(Closing::new(ReasonCode::ClientIdentifierNotValid, why));
        }
        self.end_expired(now, &identity.client_id);
        let existing = self.by_client_id.get(&identity.client_id).copied();
        let owner =
            existing.and_then(|s| self.clients.get(s as usize)).map(|c| &c.identity.principal);
        if owner.is_some_and(|owner| *owner != identity.principal) {
            return Admitted::Refused(Closing::new(
                ReasonCode::NotAuthorized,
                format!(
                    "the session of client identifier {:?} belongs to another principal",
                    identity.client_id
                ),
            ));
        }
        if let Some(session) = existing {
            let why = "another connection took the session over (MQTT-3.1.4-3)";
            self.close(now, session, Closing::new(ReasonCode::SessionTakenOver, why));
        }
        // Closing ends a session that does not outlive its connection.
        let existing = existing.filter(|_| self.by_client_id.contains_key(&identity.client_id));
        if let Some(session) = existing.filter(|_| connect.clean_start) {
            self.remove_session(now, session);
        }
        let resumed = existing.filter(|_| !connect.clean_start);
        let expiry_seconds = self.session_expiry(connect);
        let session = match resumed {
            Some(session) => session,
            None => self.new_session(identity.clone(), connect.version),
        };
        let written = self.attach(now, session, &admission, identity, expiry_seconds, will);
        self.greet(session, &admission, resumed.is_some(), written);
        self.set_alarm(session);
        self.pump(now, session);
        Admitted::Accepted(Conversation { session, link: admission.link })
    }

    /// A client identifier for a client that brought none, which no session has (MQTT-3.1.3-6).
    /// A client may have guessed it, or a broker before this one may have begun at the same seed.
    pub fn new_client_id(&mut self) -> Arc<str> {
        loop {
            let (high, low) = (self.next_random(), self.next_random());
            let client_id: Arc<str> = format!("auto-{high:016x}{low:016x}").into();
            if !self.by_client_id.contains_key(&client_id) {
                return client_id;
            }
        }
    }

    /// Ends the session of `client_id` if its time is over and the clock was not looked at since.
    fn end_expired(&mut self, now: Timestamp, client_id: &str) {
        let Some(&session) = self.by_client_id.get(client_id) else { return };
        let offline = self.clients.get(session as usize).and_then(|client| client.offline.as_ref());
        if offline.and_then(|offline| offline.until).is_some_and(|until| until <= now) {
            self.stats.sessions_expired += 1;
            self.remove_session(now, session);
        }
    }

    /// Seconds that the session is to outlive the connection. In 3.1.1 a session without
    /// Clean Session has no end of its own; the gateway's limit gives it one.
    fn session_expiry(&self, connect: &Connect<'_>) -> u32 {
        let asked = match connect.version {
            Version::V5 => connect.properties.session_expiry.unwrap_or(0),
            Version::V3_1 | Version::V3_1_1 if connect.clean_start => 0,
            Version::V3_1 | Version::V3_1_1 => u32::MAX,
        };
        asked.min(self.settings.max_session_expiry)
    }

    fn new_session(&mut self, identity: Identity, version: Version) -> u32 {
        let client_id = Arc::clone(&identity.client_id);
        let uid = self.new_uid();
        // That an earlier session is over is a promise too: back from the disk, its packet
        // identifiers would make new messages look like repeats.
        let terms = self.ended.get(&client_id).copied().unwrap_or_default();
        let session = self.clients.insert(Client {
            uid,
            identity,
            permissions: None,
            key: None,
            terms,
            alarm: None,
            version,
            expiry_seconds: 0,
            subscriptions: BTreeMap::new(),
            outbound: Outbound::new(0),
            arrangement: None,
            reading: None,
            behind: Lsn::default(),
            waits: false,
            trims: false,
            sweep: Sweep::default(),
            values: Values::default(),
            excesses: Excesses::default(),
            inbound: Inbound::default(),
            will: None,
            online: None,
            offline: None,
        });
        let session = u32::try_from(session).unwrap_or(u32::MAX);
        self.by_client_id.insert(client_id, session);
        session
    }

    pub(crate) fn new_uid(&mut self) -> u64 {
        self.next_uid += 1;
        self.next_uid - 1
    }

    /// Connects a session. Answers where the record of a durable one is written.
    fn attach(
        &mut self,
        now: Timestamp,
        session: u32,
        admission: &Admission<'_>,
        identity: Identity,
        expiry_seconds: u32,
        will: Option<Will>,
    ) -> Option<Lsn> {
        let connect = admission.connect;
        let properties = &connect.properties;
        let inflight =
            properties.receive_maximum.unwrap_or(u16::MAX).min(self.settings.max_inflight);
        let window = admission.limits.max_inflight.map_or(inflight, |max| inflight.min(max));
        let key = match self.clients.get(session as usize)?.key {
            None if expiry_seconds > 0 => Some(self.journal.new_session_key()),
            key => key,
        };
        let online = self.let_online(now, admission);
        let client = self.clients.get_mut(session as usize)?;
        let promised = client.key.map(|_| (client.expiry_seconds, client.version));
        let permissions_changed = !client.permissions.as_ref().is_some_and(|old| {
            Arc::ptr_eq(old, &admission.permissions) && client.identity == identity
        });
        client.identity = identity;
        client.permissions = Some(Arc::clone(&admission.permissions));
        client.version = connect.version;
        client.expiry_seconds = expiry_seconds;
        client.key = key;
        client.offline = None;
        client.will = will;
        let rearranged = client.arrangement != admission.arrangement;
        client.arrangement.clone_from(&admission.arrangement);
        if let Some(range) = admission.arrangement.as_ref().and_then(|it| it.identifiers.as_ref()) {
            client.outbound.number_within(range);
        }
        client.outbound.connect(window.max(1));
        client.online = Some(online);
        if (permissions_changed || rearranged) && !client.subscriptions.is_empty() {
            self.subscriptions.invalidate();
        }
        self.stats.clients_connected += 1;
        self.stats.clients_maximum = self.stats.clients_maximum.max(self.stats.clients_connected);
        let client = self.clients.get_mut(session as usize)?;
        let lsn =
            self.journal.append(Op::PutSession { session: client.key?, record: client.record() });
        // A resumed session whose terms are unchanged was written before. Its will was not.
        let unchanged = promised == Some((expiry_seconds, connect.version));
        // From now on what waits may have been sent: the disk must know before it is.
        let waits_in_memory = client.outbound.unsettled_in_memory() > 0;
        if !unchanged || client.will.is_some() || waits_in_memory {
            client.terms = lsn;
        }
        client.behind = lsn;
        Some(lsn)
    }

    /// What there is of a session while its client is connected.
    fn let_online(&self, now: Timestamp, admission: &Admission<'_>) -> Online {
        let connect = admission.connect;
        let properties = &connect.properties;
        let keep_alive = KeepAlive::new(self.keep_alive(connect), now);
        Online {
            link: admission.link,
            outbox: Outbox::default(),
            lanes: None,
            woken: true,
            held: None,
            greeted: false,
            keep_alive,
            limits: admission.limits,
            pace: Pace::new(&admission.limits, now),
            lacks_memory_until: None,
            durability: admission.durability,
            max_packet_size: properties.maximum_packet_size.map_or(usize::MAX, |max| max as usize),
            max_subscriptions: self.max_subscriptions(&admission.limits),
            method: properties.authentication_method.map(|name| Box::new(Method::new(name))),
            authorized_until: admission
                .valid_for_ms
                .map(|ms| now.after(std::time::Duration::from_millis(ms))),
            last_publish: None,
            listener: admission.listener,
            review: interests(&self.interests, admission.listener)
                .is_some_and(|interests| !interests.delivery.is_empty())
                .then(Box::default),
            aliases_in: InboundAliases::default(),
            aliases_out: OutboundAliases::new(
                properties.topic_alias_maximum.unwrap_or(0).min(self.settings.max_topic_aliases),
            ),
            wants_reasons: properties.request_problem_information,
        }
    }

    /// Subscriptions that a client with these limits may have.
    pub(crate) fn max_subscriptions(&self, limits: &Limits) -> usize {
        let own = limits.max_subscriptions.map_or(usize::MAX, |max| max as usize);
        own.min(self.settings.max_subscriptions)
    }

    fn keep_alive(&self, connect: &Connect<'_>) -> u16 {
        match (self.settings.max_keep_alive, connect.keep_alive) {
            (0, asked) => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        }
    }

    /// Who this gateway is, for a client that has said that it is one.
    fn introduction(&self, connect: &Connect<'_>) -> UserPropertiesBuf {
        let introduction = &self.settings.introduction;
        let Some((own, _)) = introduction.as_ref().iter().next() else {
            return UserPropertiesBuf::default();
        };
        match connect.properties.user.iter().any(|(name, _)| name == own) {
            true => introduction.clone(),
            false => UserPropertiesBuf::default(),
        }
    }

    /// CONNACK of a client that is let in.
    fn connack<'a>(
        &self,
        admission: &'a Admission<'_>,
        session_present: bool,
        introduction: &'a UserPropertiesBuf,
    ) -> Packet<'a> {
        let connect = admission.connect;
        let keep_alive = self.keep_alive(connect);
        let expiry_seconds = self.session_expiry(connect);
        let asked_expiry = connect.properties.session_expiry.unwrap_or(0);
        let properties = ConnAckProperties {
            session_expiry: (asked_expiry != expiry_seconds).then_some(expiry_seconds),
            assigned_client_id: connect.client_id.is_empty().then_some(&*admission.client_id),
            server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            authentication_method: connect.properties.authentication_method,
            authentication_data: admission.authentication_data,
            user: introduction.as_ref(),
            ..self.announced()
        };
        let code = ReasonCode::Success;
        Packet::ConnAck(Box::new(ConnAck { session_present, code, properties }))
    }

    /// Whether a client accepts packets as large as its CONNACK (MQTT-3.1.2-24). Whoever does
    /// accepts every acknowledgement of a publish too, and DISCONNECT.
    fn check_greeting(&self, admission: &Admission<'_>) -> Result<(), Closing> {
        let connect = admission.connect;
        let Some(max) = connect.properties.maximum_packet_size else { return Ok(()) };
        let mut bytes = Vec::new();
        let introduction = self.introduction(connect);
        let written =
            self.connack(admission, false, &introduction).encode(connect.version, &mut bytes);
        if written.is_ok() && bytes.len() <= max as usize {
            return Ok(());
        }
        let why = format!(
            "CONNACK has {} bytes and the client's Maximum Packet Size is {max} (MQTT-3.1.2-24)",
            bytes.len()
        );
        Err(Closing::new(ReasonCode::PacketTooLarge, why))
    }

    /// Puts CONNACK into the output; it leaves when what it promises is durable.
    fn greet(
        &mut self,
        session: u32,
        admission: &Admission<'_>,
        session_present: bool,
        written: Option<Lsn>,
    ) {
        let connect = admission.connect;
        let introduction = self.introduction(connect);
        let connack = self.connack(admission, session_present, &introduction);
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let event = Event::Connected {
            client_id: Arc::clone(&client.identity.client_id),
            principal: Arc::clone(&client.identity.principal),
            session_present,
            durable: client.is_durable(),
        };
        let uid = client.uid;
        let held = (!self.journal.is_durable(client.terms)).then(|| self.journal.last());
        if let Some(online) = client.online.as_mut() {
            crate::frames::packet(&connack, connect.version, &mut online.outbox);
            online.held = held;
            // Held back, the output is not asked for; so the link is to be woken then.
            online.woken = held.is_none();
        }
        // Held or not: what waits in the queue may have to be on disk before it is sent.
        if let Some(lsn) = held.or(written) {
            self.journal.wait(lsn, Waiter::Connection { session, uid });
        }
        self.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::durable::Snapshot;

    /// Whoever has no name must not find the session of another.
    #[test]
    fn an_identifier_that_a_session_has_is_not_assigned() {
        let new = || Broker::new(Settings::default(), 1, Timestamp::default(), Snapshot::default());
        let taken = new().new_client_id();
        let mut broker = new();
        broker.by_client_id.insert(Arc::clone(&taken), 0);
        assert_ne!(broker.new_client_id(), taken);
    }
}

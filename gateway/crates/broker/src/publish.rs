use std::sync::Arc;
use std::time::Duration;

use auth::Decision;
use mqtt::{PacketId, Publish, QoS, ReasonCode, TopicName, TopicNameBuf};
use session::{AckKind, Acknowledgement, Timestamp};

use crate::broker::Waiter;
use crate::client::{Client, LastPublish, Promise, Standing};
use crate::routes::Route;
use crate::{
    Action, Answer, Broker, Closing, Conversation, Event, Flow, Grounds, Limit, Memory, Question,
    Ruling, Verdict,
};

impl Broker {
    /// A PUBLISH of a client (MQTT 5, 3.3 and 4.3).
    pub(crate) fn publish(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        let aliased = self.topic_of(session, publish)?;
        let Some(topic) = aliased.as_ref().map(TopicNameBuf::as_topic).or(publish.topic) else {
            let why = "PUBLISH has neither a topic nor an alias (3.3.2.1)";
            return Err(Closing::new(ReasonCode::ProtocolError, why));
        };
        self.check_publish(publish)?;
        let Some(client) = self.clients.get(session as usize) else { return Ok(Flow::Closed) };
        if let Some(packet_id) = publish.packet_id {
            if publish.qos == QoS::ExactlyOnce && client.inbound.is_received(packet_id) {
                return self.receive_again(session, publish, packet_id);
            }
            self.check_outstanding(client)?;
        }
        if crate::control::is_order(topic) {
            return Ok(self.control(now, session, publish, topic, answer));
        }
        if self.memory == Memory::Full && !(publish.retain && publish.payload.is_empty()) {
            return self.refuse_for_memory(now, session, publish);
        }
        self.admit(now, session, publish, topic, answer)
    }

    /// Finds out whether a publish in order is allowed, and whom it is for. What is like the client's last one is what that was.
    #[inline]
    fn admit(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        let (answer, made) = match answer {
            Some(Answer::Intercept(made)) => (None, Some(made)),
            answer => (answer, None),
        };
        let Some(client) = self.clients.get(session as usize) else { return Ok(Flow::Closed) };
        let generation = self.subscriptions.generation();
        let last = client.online.as_ref().and_then(|online| online.last_publish.as_ref());
        let keeps_last = last.is_some_and(|last| last.lasts(now));
        let last = last.filter(|last| *last.route.topic == *topic.as_str());
        let is_covered = last.is_some_and(|last| last.covers(publish, now));
        let goes_the_same_way = made.is_none()
            && last.is_some_and(|last| !last.intercepted && last.route.generation == generation);
        if is_covered && goes_the_same_way {
            return self.go_the_same_way(now, session, publish, topic);
        }
        let remembered = last
            .filter(|_| is_covered)
            .map(|last| (Arc::clone(&last.route), last.right, last.intercepted));
        let (route, intercepted) = match remembered {
            Some((route, _, intercepted)) if route.generation == generation => (route, intercepted),
            Some((_, right, _)) => self.remember(session, publish, topic, right),
            None => match self.may_publish(session, publish, topic.as_str(), answer) {
                // Interceptors were shown it because an extension had allowed it.
                Right::Unknown(_) if made.is_some() => (self.route(topic.as_str()), true),
                Right::Granted => self.remember(session, publish, topic, Standing::Given),
                Right::GrantedFor(0) if goes_the_same_way => {
                    return self.go_the_same_way(now, session, publish, topic);
                }
                Right::GrantedFor(0) if keeps_last => {
                    (self.route(topic.as_str()), self.is_intercepted(session, topic))
                }
                Right::GrantedFor(0) => self.remember(session, publish, topic, Standing::Once),
                Right::GrantedFor(ms) => {
                    let right = Standing::Until(now.after(Duration::from_millis(ms.into())));
                    self.remember(session, publish, topic, right)
                }
                Right::Unknown(question) => return Ok(Flow::Ask(question)),
                Right::Denied(code) => {
                    self.answer(session, publish, code);
                    return Ok(Flow::Continue);
                }
            },
        };
        if !self.is_well_formed(publish) {
            self.answer(session, publish, ReasonCode::PayloadFormatInvalid);
            return Ok(Flow::Continue);
        }
        if intercepted || made.is_some() {
            return self.intercept(now, session, publish, topic, &route, made);
        }
        self.go_on(now, session, publish, topic, &route)
    }

    /// Goes on with a publish that is allowed, by the route of the client's last one, which is still the route for its topic. That
    /// is taken out for so long and laid back: to count another holder of it takes longer than to find whom it is for.
    fn go_the_same_way(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
    ) -> Result<Flow, Closing> {
        if !self.is_well_formed(publish) {
            self.answer(session, publish, ReasonCode::PayloadFormatInvalid);
            return Ok(Flow::Continue);
        }
        let client = self.clients.get_mut(session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        let Some((link, last)) = online.and_then(|it| Some((it.link, it.last_publish.take()?)))
        else {
            return Ok(Flow::Closed);
        };
        let gone_on = self.go_on(now, session, publish, topic, &last.route);
        let client = self.clients.get_mut(session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        if let Some(online) = online.filter(|it| it.link == link && it.last_publish.is_none()) {
            online.last_publish = Some(last);
        }
        gone_on
    }

    /// Whether a client has room for another unacknowledged publish.
    fn check_outstanding(&self, client: &Client) -> Result<(), Closing> {
        let outstanding = client.inbound.outstanding();
        if !client.version.is_v5() || outstanding < usize::from(self.settings.receive_maximum) {
            return Ok(());
        }
        let why = format!(
            "a PUBLISH came while {outstanding} were unacknowledged, the Receive Maximum (MQTT-3.3.4-9)"
        );
        let closing = Closing::new(ReasonCode::ReceiveMaximumExceeded, why);
        Err(closing.because_of(Limit::ReceiveMaximum))
    }

    /// Has a client asked about again what extensions allowed it for a while.
    pub fn forget_rulings(&mut self, of: Conversation) {
        let client = self.clients.get_mut(of.session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        if let Some(online) = online.filter(|online| online.link == of.link) {
            online.last_publish.take_if(|last| matches!(last.right, Standing::Until(_)));
        }
    }

    /// The topic of a PUBLISH: the one that it names, or the one that its alias stands for.
    fn topic_of(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
    ) -> Result<Option<TopicNameBuf>, Closing> {
        if !publish.subscription_ids.is_empty() {
            let why = "a client sent a Subscription Identifier in PUBLISH (MQTT-3.3.4-6)";
            return Err(Closing::new(ReasonCode::ProtocolError, why));
        }
        if let Some(topic) = publish.topic {
            self.check_topic(topic)?;
        }
        let Some(alias) = publish.topic_alias else { return Ok(None) };
        let max = self.settings.topic_alias_maximum;
        if alias.get() > max {
            let why = format!(
                "topic alias {alias} was used although the Topic Alias Maximum is {max} (MQTT-3.3.2-9)"
            );
            return Err(
                Closing::new(ReasonCode::TopicAliasInvalid, why).because_of(Limit::TopicAliases)
            );
        }
        let client = self.clients.get_mut(session as usize);
        let Some(online) = client.and_then(|c| c.online.as_mut()) else { return Ok(None) };
        let aliases = online.aliases_in();
        if let Some(topic) = publish.topic {
            if self.memory == Memory::Full && !aliases.knows(alias, topic) {
                let why = format!("there is no memory for the topic of alias {alias}");
                let closing = Closing::new(ReasonCode::QuotaExceeded, why);
                return Err(closing.because_of(Limit::Memory));
            }
            aliases.set(alias, topic);
            return Ok(None);
        }
        let unknown = || {
            let why = format!("topic alias {alias} was used before it was given a topic (3.3.4)");
            Closing::new(ReasonCode::ProtocolError, why)
        };
        aliases.get(alias).cloned().map(Some).ok_or_else(unknown)
    }

    /// Answers a publish that is not passed on. 3.1.1 has no way to say why: there the
    /// message is dropped and acknowledged (3.1.1, 3.3.5.2).
    pub(crate) fn answer(&mut self, session: u32, publish: &Publish<'_>, code: ReasonCode) {
        self.stats.count_publish(publish);
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(packet_id) = publish.packet_id else { return };
        let kind = match publish.qos {
            QoS::ExactlyOnce => {
                // Whoever hears of no error goes on to PUBREL.
                if !code.is_error() || !client.version.is_v5() {
                    client.take_identifier(packet_id);
                }
                AckKind::PubRec
            }
            QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::PubAck,
        };
        let lane = client.answers();
        client.inbound.begin(Acknowledgement { kind, packet_id, code, lane }, 0);
        self.send_acknowledgements(session);
    }

    /// A QoS 2 PUBLISH with an identifier that is in use: a repeat, or a new message with one that another stream of the
    /// client uses. Taken for a repeat, that would be lost.
    fn receive_again(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
        packet_id: PacketId,
    ) -> Result<Flow, Closing> {
        let Some(client) = self.clients.get(session as usize) else { return Ok(Flow::Closed) };
        if publish.dup || !client.is_taken_elsewhere(packet_id) {
            self.stats.count_publish(publish);
            self.acknowledge_again(session, packet_id);
            return Ok(Flow::Continue);
        }
        let code = ReasonCode::PacketIdentifierInUse;
        if client.version.is_v5() {
            self.answer(session, publish, code);
            return Ok(Flow::Continue);
        }
        let why = format!(
            "packet identifier {} is in use on another stream of the connection, or from an earlier one (MQTT-2.3.1-2)",
            packet_id.get()
        );
        Err(Closing::new(code, why))
    }

    /// A QoS 2 PUBLISH that was received before: PUBREC again, once all that the first
    /// one promised is on disk.
    fn acknowledge_again(&mut self, session: u32, packet_id: PacketId) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let promise = Promise { session, uid: client.uid, ticket: client.inbound.next_ticket() };
        let written = self.journal.last();
        let waits = u32::from(!self.journal.is_durable(written));
        let (kind, code, lane) = (AckKind::PubRec, ReasonCode::Success, client.answers());
        client.inbound.begin(Acknowledgement { kind, packet_id, code, lane }, waits);
        if waits > 0 {
            self.journal.wait(written, Waiter::Promise(promise));
        }
        self.send_acknowledgements(session);
    }

    /// Whether the client may publish this, asking its extension where the permission set says so.
    fn may_publish(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
        topic: &str,
        answer: Option<Answer>,
    ) -> Right {
        if crate::system::is_reserved(topic) {
            let code = ReasonCode::NotAuthorized;
            self.denied(session, Action::Publish, topic, Some(code), crate::system::RESERVED);
            return Right::Denied(code);
        }
        let refused = ReasonCode::NotAuthorized;
        let Some(client) = self.clients.get(session as usize) else {
            return Right::Denied(refused);
        };
        let (code, decision) = match &client.permissions {
            Some(set) => {
                match set.check_publish(&client.identity, topic, publish.qos, publish.retain) {
                    Decision::Allow { .. } => return Right::Granted,
                    Decision::Deny(reason) => (refused, set.explain(reason).into()),
                    Decision::Ask => match answer {
                        Some(Answer::Publish(Ruling { verdict: Verdict::Allow, valid_ms })) => {
                            return Right::GrantedFor(valid_ms);
                        }
                        Some(Answer::Publish(Ruling {
                            verdict: Verdict::Deny { code, why },
                            ..
                        })) => (code, why),
                        Some(
                            Answer::Subscribe(_) | Answer::Authenticate(_) | Answer::Intercept(_),
                        )
                        | None => {
                            return Right::Unknown(Question::Publish {
                                topic: topic.into(),
                                qos: publish.qos,
                                retain: publish.retain,
                                payload_len: publish.payload.len(),
                            });
                        }
                    },
                }
            }
            None => (refused, "no permissions are known".into()),
        };
        self.denied(session, Action::Publish, topic, Some(code), decision);
        Right::Denied(code)
    }

    /// Counts and reports a denial; `code` is what the client hears, if it hears of it.
    pub(crate) fn denied(
        &mut self,
        session: u32,
        action: Action,
        topic: &str,
        code: Option<ReasonCode>,
        decision: impl Into<Box<Grounds>>,
    ) {
        self.stats.denied += 1;
        let Some(client) = self.clients.get(session as usize) else { return };
        let (client_id, principal) = client.whose();
        let (topic, decision) = (topic.into(), decision.into());
        self.event(Event::Denied { client_id, principal, action, topic, code, decision });
    }

    /// Remembers a right to publish for what follows. Answers who gets the message, and whether an interceptor wants to see it.
    fn remember(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        right: Standing,
    ) -> (Arc<Route>, bool) {
        let route = self.route(topic.as_str());
        let intercepted = self.is_intercepted(session, topic);
        let client = self.clients.get_mut(session as usize);
        if let Some(online) = client.and_then(|c| c.online.as_mut()) {
            let (qos, retain) = (publish.qos, publish.retain);
            let route = Arc::clone(&route);
            online.last_publish = Some(LastPublish { qos, retain, route, right, intercepted });
        }
        (route, intercepted)
    }
}

/// What the permission set says about one publish.
enum Right {
    /// Yes, and so for every publish like it.
    Granted,
    /// Yes, and for so many milliseconds every publish like it.
    GrantedFor(u32),
    /// No; the client hears this.
    Denied(ReasonCode),
    Unknown(Question),
}

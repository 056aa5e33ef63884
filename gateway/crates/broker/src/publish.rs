use std::sync::Arc;
use std::time::Duration;

use auth::Decision;
use mqtt::{Publish, QoS, ReasonCode, TopicName, TopicNameBuf};
use session::{AckKind, Acknowledgement, Message, Timestamp};

use crate::broker::Waiter;
use crate::client::{LastPublish, Promise, Standing};
use crate::deliver::Publication;
use crate::durable::{Op, Subscription};
use crate::routes::{Route, Share, Target};
use crate::subscriptions::Match;
use crate::{
    Action, Answer, Broker, Closing, Conversation, Durability, Event, Flow, Grounds, Limit,
    Overflow, Question, Ruling, Verdict,
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
                self.stats.count_publish(publish);
                self.acknowledge_again(session, packet_id);
                return Ok(Flow::Continue);
            }
            let outstanding = client.inbound.outstanding();
            if client.version.is_v5() && outstanding >= usize::from(self.settings.receive_maximum) {
                let why = format!(
                    "a PUBLISH came while {outstanding} were unacknowledged, the Receive Maximum (MQTT-3.3.4-9)"
                );
                return Err(Closing::new(ReasonCode::ReceiveMaximumExceeded, why)
                    .because_of(Limit::ReceiveMaximum));
            }
        }
        if crate::control::is_order(topic) {
            return Ok(self.control(now, session, publish, topic, answer));
        }
        let remembered = client
            .online
            .as_ref()
            .and_then(|online| online.last_publish.as_ref())
            .filter(|last| last.covers(publish, topic.as_str(), now))
            .map(|last| (Arc::clone(&last.route), last.right));
        let route = match remembered {
            Some((route, _)) if route.generation == self.subscriptions.generation() => route,
            Some((_, right)) => self.remember(session, publish, topic.as_str(), right),
            None => match self.may_publish(session, publish, topic.as_str(), answer) {
                Right::Granted => self.remember(session, publish, topic.as_str(), Standing::Given),
                Right::GrantedFor(0) => self.route(topic.as_str()),
                Right::GrantedFor(ms) => {
                    let right = Standing::Until(now.after(Duration::from_millis(ms.into())));
                    self.remember(session, publish, topic.as_str(), right)
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
        if self.disk_is_full && self.takes_disk(session, publish, &route) {
            return self.refuse_for_disk(session, publish);
        }
        self.stats.count_publish(publish);
        self.accept(now, session, publish, topic, &route);
        Ok(Flow::Continue)
    }

    /// Has a client asked about again what extensions allowed it for a while.
    pub fn forget_rulings(&mut self, of: Conversation) {
        let client = self.clients.get_mut(of.session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        if let Some(online) = online.filter(|online| online.link == of.link) {
            online.last_publish.take_if(|last| matches!(last.right, Standing::Until(_)));
        }
    }

    /// Whether a publish would be written for certain: it is to be retained, is QoS 2 and for a
    /// durable session, or one that it is for is away or slow.
    pub(crate) fn takes_disk(&self, session: u32, publish: &Publish<'_>, route: &Route) -> bool {
        let qos_1 = publish.qos == QoS::AtLeastOnce;
        let written = |target: &Target| {
            let own = target.session == session;
            let grant = if own { target.own.as_ref() } else { Some(&target.grant) };
            let confirmed = grant.is_some_and(|grant| grant.qos.min(publish.qos) > QoS::AtMostOnce);
            let client = self.clients.get(target.session as usize).filter(|c| c.is_durable());
            confirmed
                && client.is_some_and(|client| {
                    !qos_1 || client.online.is_none() || !client.outbound.has_room()
                })
        };
        let retained = publish.retain && !publish.payload.is_empty();
        retained
            || route.targets.iter().any(written)
            || route.shares.iter().any(|share| share.members.iter().all(written))
    }

    /// The disk is full. Nothing may be acknowledged that is not kept, and 3.1.1 cannot refuse.
    fn refuse_for_disk(&mut self, session: u32, publish: &Publish<'_>) -> Result<Flow, Closing> {
        self.stats.count_limit(Limit::DiskFull);
        let v5 = self.clients.get(session as usize).is_some_and(|client| client.version.is_v5());
        if !v5 && publish.qos != QoS::AtMostOnce {
            let why =
                "the disk is full; free some space, or let absent clients fetch their messages";
            return Err(Closing::new(ReasonCode::QuotaExceeded, why));
        }
        self.answer(session, publish, ReasonCode::QuotaExceeded);
        Ok(Flow::Continue)
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
        if let Some(topic) = publish.topic {
            online.aliases_in.set(alias, topic);
            return Ok(None);
        }
        let unknown = || {
            let why = format!("topic alias {alias} was used before it was given a topic (3.3.4)");
            Closing::new(ReasonCode::ProtocolError, why)
        };
        online.aliases_in.get(alias).cloned().map(Some).ok_or_else(unknown)
    }

    /// Passes on a publish that is allowed, and begins its acknowledgement.
    fn accept(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        route: &Route,
    ) {
        let mut publication = Publication::new(publish, topic, now);
        publication.from = Some(session);
        self.treat(session, &mut publication, route);
        if publish.retain && !self.retain(&mut publication) {
            self.answer(session, publish, ReasonCode::QuotaExceeded);
            return;
        }
        if !self.refuse_whole(session, &mut publication, route) {
            self.fan_out(now, &mut publication, route);
        }
        let Some(packet_id) = publish.packet_id else { return };
        let kind = match publish.qos {
            QoS::ExactlyOnce => AckKind::PubRec,
            QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::PubAck,
        };
        let code = match (publication.refused, route.is_empty()) {
            (true, _) => ReasonCode::QuotaExceeded,
            (false, true) => ReasonCode::NoMatchingSubscribers,
            (false, false) => ReasonCode::Success,
        };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        // 3.1.1 has no way to hear of an error, so there the exchange goes on as if it were none.
        let goes_on = !code.is_error() || !client.version.is_v5();
        if kind == AckKind::PubRec && goes_on {
            client.inbound.receive(packet_id);
            if let (Some(key), Some(promise)) = (client.key, publication.promise) {
                let lsn = self.journal.append(Op::PutReceived { session: key, packet_id });
                self.journal.wait(lsn, Waiter::Promise(promise));
                publication.waits += 1;
            }
        }
        client.inbound.begin(Acknowledgement { kind, packet_id, code }, publication.waits);
        if publication.waits == 0 {
            self.send_acknowledgements(session);
        }
    }

    /// Decides what the acknowledgement of a publication waits for, and what is dropped for it.
    fn treat(&self, session: u32, publication: &mut Publication<'_>, route: &Route) {
        let Some(client) = self.clients.get(session as usize) else { return };
        publication.overflow = route.treatment.overflow;
        publication.quota = route.treatment.quota;
        let stated = route.treatment.durability;
        let qos = publication.publish.qos;
        if qos != QoS::ExactlyOnce {
            let of_listener = || client.online.as_ref().map(|online| online.durability);
            publication.durability = stated.or_else(of_listener).unwrap_or_default();
        }
        if qos != QoS::AtMostOnce && publication.durability == Durability::Strict {
            let ticket = client.inbound.next_ticket();
            publication.promise = Some(Promise { session, uid: client.uid, ticket });
        }
    }

    /// Whether a QoS 2 publication goes to nobody because one session has no room for it: its
    /// publisher will send it again, and nobody may get it twice. 3.1.1 cannot hear of it, so that
    /// there those who have room get it.
    fn refuse_whole(
        &mut self,
        session: u32,
        publication: &mut Publication<'_>,
        route: &Route,
    ) -> bool {
        let publisher = self.clients.get(session as usize);
        let hears = publisher.is_some_and(|client| client.version.is_v5());
        let exact = publication.publish.qos == QoS::ExactlyOnce;
        if !exact || !hears || publication.overflow != Overflow::Reject {
            return false;
        }
        let refusals = self.refusals(publication, route);
        for (session, limit) in &refusals {
            self.may_overflow(*session, publication, *limit);
        }
        !refusals.is_empty()
    }

    /// Keeps or clears the retained message; false when there is no room for it.
    pub(crate) fn retain(&mut self, publication: &mut Publication<'_>) -> bool {
        let lsn = if publication.publish.payload.is_empty() {
            match self.retained.get(publication.topic.as_str()).map(|old| old.topic.clone()) {
                Some(topic) => {
                    self.retained.remove(topic.as_str());
                    self.journal.append(Op::RemoveRetained { topic })
                }
                // It may have been cleared a moment ago, and be on disk still.
                None if self.journal.is_durable(self.journal.last()) => return true,
                None => self.journal.last(),
            }
        } else {
            let body = publication.body();
            if self.no_room_to_retain(&body).is_some() {
                for topic in self.retained.take_expired(publication.received_at) {
                    self.journal.append(Op::RemoveRetained { topic });
                }
                if let Some(limit) = self.no_room_to_retain(&body) {
                    self.stats.count_limit(limit);
                    return false;
                }
            }
            self.retained.insert(Arc::clone(&body));
            self.journal.append(Op::PutRetained { body })
        };
        if let Some(promise) = publication.promise {
            self.journal.wait(lsn, Waiter::Promise(promise));
            publication.waits += 1;
        }
        true
    }

    /// The limit that forbids to retain `body`, if one does.
    fn no_room_to_retain(&self, body: &Message) -> Option<Limit> {
        let old = self.retained.get(body.topic.as_str()).map(|old| old.weight());
        let weight = self.retained.weight() - old.unwrap_or(0) + body.weight();
        let count = self.retained.len() + usize::from(old.is_none());
        if count > self.settings.max_retained_messages {
            return Some(Limit::RetainedMessages);
        }
        (weight > self.settings.max_retained_bytes).then_some(Limit::RetainedBytes)
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
                    client.inbound.receive(packet_id);
                }
                AckKind::PubRec
            }
            QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::PubAck,
        };
        client.inbound.begin(Acknowledgement { kind, packet_id, code }, 0);
        self.send_acknowledgements(session);
    }

    /// A QoS 2 PUBLISH that was received before: PUBREC again, once all that the first
    /// one promised is on disk.
    fn acknowledge_again(&mut self, session: u32, packet_id: mqtt::PacketId) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let promise = Promise { session, uid: client.uid, ticket: client.inbound.next_ticket() };
        let written = self.journal.last();
        let waits = u32::from(!self.journal.is_durable(written));
        let code = ReasonCode::Success;
        client.inbound.begin(Acknowledgement { kind: AckKind::PubRec, packet_id, code }, waits);
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
                        Some(Answer::Subscribe(_) | Answer::Authenticate(_)) | None => {
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
        decision: impl Into<Grounds>,
    ) {
        self.stats.denied += 1;
        let Some(client) = self.clients.get(session as usize) else { return };
        let client_id = Arc::clone(&client.identity.client_id);
        let principal = Arc::clone(&client.identity.principal);
        let (topic, decision) = (topic.into(), decision.into());
        self.event(Event::Denied { client_id, principal, action, topic, code, decision });
    }

    fn remember(
        &mut self,
        session: u32,
        publish: &Publish<'_>,
        topic: &str,
        right: Standing,
    ) -> Arc<Route> {
        let route = self.route(topic);
        let client = self.clients.get_mut(session as usize);
        if let Some(online) = client.and_then(|c| c.online.as_mut()) {
            let (qos, retain) = (publish.qos, publish.retain);
            let last = LastPublish { qos, retain, route: Arc::clone(&route), right };
            online.last_publish = Some(last);
        }
        route
    }

    /// Who gets the messages of `topic`.
    pub(crate) fn route(&mut self, topic: &str) -> Arc<Route> {
        let generation = self.subscriptions.generation();
        if let Some(route) = self.routes.get(topic, generation) {
            return Arc::clone(route);
        }
        let mut matches: Vec<(u32, Subscription)> = Vec::new();
        let mut groups = Vec::new();
        self.subscriptions.for_each_match(topic, |found| match found {
            Match::Session(entry) => matches.push((entry.session, entry.subscription)),
            Match::Group(group) => groups.push(group),
        });
        let may_receive = |session: u32| {
            self.clients.get(session as usize).is_some_and(|client| client.may_receive(topic))
        };
        matches.sort_by_key(|(session, _)| *session);
        let targets = matches
            .chunk_by(|one, other| one.0 == other.0)
            .filter_map(|same| {
                let (session, _) = *same.first()?;
                let subscriptions: Vec<Subscription> = same.iter().map(|(_, s)| *s).collect();
                may_receive(session).then(|| Target::of(session, &subscriptions))
            })
            .collect();
        let shares = groups.into_iter().filter_map(|group| {
            let known = self.subscriptions.groups.get(group)?;
            let members = known.members.iter().filter(|member| may_receive(member.session));
            let members: Vec<Target> = members
                .map(|m| Target::member(m.session, &m.subscription, known.filter.clone()))
                .collect();
            (!members.is_empty()).then_some(Share { group, members })
        });
        let shares = shares.collect();
        let treatment = TopicName::new(topic).map(|topic| self.settings.treatment(topic));
        let treatment = treatment.unwrap_or_default();
        self.routes.insert(Route { topic: topic.into(), generation, targets, shares, treatment })
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

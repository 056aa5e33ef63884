use std::num::NonZeroU32;
use std::sync::Arc;

use auth::Decision;
use mqtt::{
    EncodeError, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions, TopicFilter,
    UnsubAck, Unsubscribe, Version,
};
use session::{Message, Timestamp};

use crate::broker::Waiter;
use crate::deliver::Publication;
use crate::durable::{Op, Subscription};
use crate::frames::explanation;
use crate::journal::OP_WEIGHT;
use crate::routes::{Route, Target};
use crate::{
    Action, Answer, Broker, Closing, Event, Flow, Limit, Question, Requested, Settings, Verdict,
};

/// SUBSCRIBE and UNSUBSCRIBE (MQTT 5, 3.8 to 3.11).
impl Broker {
    pub(crate) fn subscribe(
        &mut self,
        now: Timestamp,
        session: u32,
        subscribe: &Subscribe<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        if self.clients.get(session as usize).is_some_and(|c| c.version.is_v5()) {
            self.check_subscribe(subscribe)?;
        }
        let id = subscribe.subscription_id.and_then(NonZeroU32::new);
        let filters: Vec<(TopicFilter<'_>, SubscribeOptions)> = subscribe.filters.iter().collect();
        let mut verdicts = match answer {
            Some(Answer::Subscribe(verdicts)) => Some(verdicts.into_iter()),
            Some(Answer::Publish(_) | Answer::Authenticate(_) | Answer::Intercept(_)) | None => {
                None
            }
        };
        let decisions: Vec<Decision> = filters
            .iter()
            .map(|(filter, options)| self.may_subscribe(session, *filter, options.qos))
            .collect();
        if verdicts.is_none() && decisions.contains(&Decision::Ask) {
            return Ok(Flow::Ask(question(&filters, &decisions)));
        }
        let mut codes = Vec::with_capacity(filters.len());
        let mut retained = Vec::new();
        for ((filter, options), decision) in filters.iter().zip(decisions) {
            let right = match decision {
                Decision::Allow { max_qos } => Ok(options.qos.min(max_qos)),
                Decision::Deny(reason) => {
                    Err((ReasonCode::NotAuthorized, self.explain(session, reason).into()))
                }
                Decision::Ask => match verdicts.as_mut().and_then(Iterator::next) {
                    Some(Verdict::Allow) => Ok(options.qos),
                    Some(Verdict::Deny { code, why }) => Err((code, why)),
                    None => {
                        Err((ReasonCode::NotAuthorized, "the extension gave no verdict".into()))
                    }
                },
            };
            codes.push(match right {
                Err((code, why)) => {
                    self.denied(session, Action::Subscribe, filter.as_str(), Some(code), why);
                    code
                }
                Ok(qos) => {
                    let qos = qos.min(self.settings.maximum_qos);
                    let options = SubscribeOptions { qos, ..*options };
                    let subscription = Subscription { options, id };
                    match self.add(session, *filter, subscription) {
                        Err(code) => code,
                        Ok(wants_retained) => {
                            self.tell_subscribed(session, *filter, Some(qos));
                            if wants_retained {
                                let found = self.retained_for(*filter, now);
                                retained.extend(found.into_iter().map(|m| (m, subscription)));
                            }
                            granted(qos)
                        }
                    }
                }
            });
        }
        self.answer_subscribe(now, session, SubAck::new(subscribe.packet_id, codes), retained)?;
        Ok(Flow::Continue)
    }

    /// SUBACK, and behind it what was retained.
    fn answer_subscribe(
        &mut self,
        now: Timestamp,
        session: u32,
        packet: SubAck<'_>,
        retained: Vec<(Arc<Message>, Subscription)>,
    ) -> Result<(), Closing> {
        let failure = packet.codes.iter().copied().find(|code| code.is_error());
        // Many clients take the first packet for SUBACK, so what it brings stays behind it.
        let holds_back = !retained.is_empty();
        let reason = failure.and_then(explanation);
        self.answer_when_durable(session, reason, holds_back, |version, reason, out| {
            SubAck { reason, ..packet.clone() }.encode(version, out)
        })?;
        for (message, subscription) in retained {
            self.send_retained(now, session, &message, subscription);
        }
        Ok(())
    }

    fn may_subscribe(&self, session: u32, filter: TopicFilter<'_>, qos: QoS) -> Decision {
        let nothing_known = Decision::Deny(auth::DenyReason::NO_RULE);
        let Some(client) = self.clients.get(session as usize) else { return nothing_known };
        let Some(set) = &client.permissions else { return nothing_known };
        set.check_subscribe(&client.identity, filter, qos)
    }

    fn explain(&self, session: u32, reason: auth::DenyReason) -> String {
        let set = self.clients.get(session as usize).and_then(|c| c.permissions.as_ref());
        set.map_or_else(|| "no permissions are known".to_owned(), |set| set.explain(reason))
    }

    /// Adds or replaces one subscription that is allowed. Answers whether it wants the retained
    /// messages (MQTT 5, 3.8.3.1).
    fn add(
        &mut self,
        session: u32,
        filter: TopicFilter<'_>,
        subscription: Subscription,
    ) -> Result<bool, ReasonCode> {
        let Settings { shared_available, wildcards_available, .. } = self.settings;
        let Settings { max_topic_levels, max_topic_bytes, .. } = self.settings;
        let shared = filter.share_group().is_some();
        if shared && !shared_available {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if filter.has_wildcards() && !wildcards_available {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        if filter.len() > max_topic_bytes {
            self.stats.count_limit(Limit::TopicBytes);
            return Err(ReasonCode::TopicFilterInvalid);
        }
        if filter.level_count() > max_topic_levels {
            self.stats.count_limit(Limit::TopicLevels);
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let client = self.clients.get_mut(session as usize).ok_or(ReasonCode::UnspecifiedError)?;
        let max = client.online.as_ref().map_or(0, |online| online.max_subscriptions);
        let known = client.subscriptions.get(filter.as_str()).copied();
        if known.is_none() && client.subscriptions.len() >= max {
            self.stats.count_limit(Limit::Subscriptions);
            return Err(ReasonCode::QuotaExceeded);
        }
        if !self.has_memory_for_subscription(known.is_none()) {
            self.stats.count_limit(Limit::Memory);
            return Err(ReasonCode::QuotaExceeded);
        }
        let client = self.clients.get_mut(session as usize).ok_or(ReasonCode::UnspecifiedError)?;
        if known != Some(subscription) {
            client.subscriptions.insert(filter.to_owned(), subscription);
            self.subscriptions.insert(filter, session, subscription);
            if let Some(session) = client.key {
                let filter = filter.to_owned();
                self.journal.append(Op::PutSubscription { session, filter, subscription });
            }
        }
        if let Some(lanes) = client.online.as_mut().and_then(|online| online.lanes.as_mut()) {
            lanes.subscribed(&filter.to_owned());
        }
        // What a group gets is for one of its members, so none begins with what there was
        // before (MQTT 5, 4.8.2).
        Ok(match subscription.options.retain_handling {
            _ if shared => false,
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => known.is_none(),
            RetainHandling::DoNotSend => false,
        })
    }

    /// Tells that a client has a subscription with this QoS, or that it has none any more, where that is of use.
    fn tell_subscribed(&mut self, session: u32, filter: TopicFilter<'_>, qos: Option<QoS>) {
        if !self.settings.reports_subscriptions {
            return;
        }
        let Some(client) = self.clients.get(session as usize) else { return };
        let (client_id, principal) = client.whose();
        let filter = filter.to_owned();
        self.event(match qos {
            Some(qos) => Event::Subscribed { client_id, principal, filter, qos },
            None => Event::Unsubscribed { client_id, principal, filter },
        });
    }

    fn retained_for(&self, filter: TopicFilter<'_>, now: Timestamp) -> Vec<Arc<Message>> {
        let retained = match crate::system::can_match(filter) {
            true => &self.system,
            false => &self.retained,
        };
        retained.matching(filter, now)
    }

    /// Sends one retained message because of a new subscription (MQTT-3.8.4-4).
    fn send_retained(
        &mut self,
        now: Timestamp,
        session: u32,
        message: &Arc<Message>,
        subscription: Subscription,
    ) {
        let topic = message.topic.as_topic();
        let Some(client) = self.clients.get(session as usize) else { return };
        if !client.may_receive(topic.as_str()) {
            return;
        }
        let publish = crate::frames::as_publish(message, now);
        // It is the retained message itself that waits in a queue: seconds that are left of its
        // expiry interval are rounded, and would begin anew.
        let mut publication = Publication::again(&publish, message, None, now);
        publication.quota = self.settings.treatment(topic).quota;
        // RETAIN is set on what a new subscription finds (MQTT-3.3.1-8).
        let options = SubscribeOptions { retain_as_published: true, ..subscription.options };
        let mut target = Target::of(session, &[Subscription { options, ..subscription }]);
        if client.household().is_some() {
            // It may be for another one of the household.
            let route = self.route(topic.as_str());
            let Some(known) = route.targets.iter().find(|it| it.session == session) else { return };
            target.treatment = known.treatment;
        }
        let route = Route::to(topic.as_str(), target);
        self.fan_out(now, &mut publication, &route);
    }

    pub(crate) fn unsubscribe(
        &mut self,
        session: u32,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Result<(), Closing> {
        self.check_user_properties(unsubscribe.user)?;
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let Some(client) = self.clients.get_mut(session as usize) else { return Ok(()) };
            if client.subscriptions.remove(filter.as_str()).is_none() {
                codes.push(ReasonCode::NoSubscriptionExisted);
                continue;
            }
            codes.push(ReasonCode::Success);
            if let Some(lanes) = client.online.as_mut().and_then(|online| online.lanes.as_mut()) {
                lanes.unsubscribed(filter.as_str());
            }
            if let Some(session) = client.key {
                let op = Op::RemoveSubscription { session, filter: filter.to_owned() };
                self.journal.append(op);
            }
            self.subscriptions.remove(filter, session);
            self.tell_subscribed(session, filter, None);
        }
        let packet = UnsubAck::new(unsubscribe.packet_id, codes);
        let write = |version, _: Option<&str>, out: &mut Vec<u8>| packet.encode(version, out);
        self.answer_when_durable(session, None, false, write)
    }

    /// Sends a packet when what it promises is on disk. That may have been written for an
    /// earlier packet, so a durable session waits for all there is; with `holds_back`, so
    /// does everything else that is sent to it. A client that does not accept a packet so
    /// large cannot be answered, and is told that.
    fn answer_when_durable(
        &mut self,
        session: u32,
        reason: Option<&str>,
        holds_back: bool,
        write: impl Fn(Version, Option<&str>, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), Closing> {
        let Some(client) = self.clients.get_mut(session as usize) else { return Ok(()) };
        let (version, durable, uid) = (client.version, client.key.is_some(), client.uid);
        let Some(online) = client.online.as_mut() else { return Ok(()) };
        let (audience, link, lane) = (online.audience(), online.link, online.answers());
        let write = |reason: Option<&str>, out: &mut Vec<u8>| write(version, reason, out);
        let lsn = self.journal.last();
        let leaves = !durable || self.journal.is_durable(lsn);
        if leaves || holds_back {
            if !audience.write(reason, online.outbox_of(lane), write) {
                return Err(too_large(audience.max_packet_size));
            }
            if leaves {
                self.wake(session);
            } else {
                online.held = Some(lsn);
                // Whoever comes before finds nothing.
                online.woken = false;
                self.journal.wait(lsn, Waiter::Connection { session, uid });
            }
            return Ok(());
        }
        let mut bytes = crate::Outbox::default();
        if !audience.write(reason, &mut bytes, write) {
            return Err(too_large(audience.max_packet_size));
        }
        let bytes = bytes.into_bytes();
        let weight = OP_WEIGHT + bytes.len();
        online.await_disk(lane);
        self.journal.wait_with(lsn, weight, Waiter::Packet { session, link, lane, bytes });
        Ok(())
    }
}

fn too_large(max: usize) -> Closing {
    let why = format!(
        "so many filters in one packet cannot be answered within the client's Maximum Packet Size, {max} (MQTT-3.1.2-24)"
    );
    Closing::new(ReasonCode::PacketTooLarge, why)
}

/// What the extension is asked: all that no rule decides.
fn question(filters: &[(TopicFilter<'_>, SubscribeOptions)], decisions: &[Decision]) -> Question {
    let asked = filters.iter().zip(decisions).filter(|(_, d)| **d == Decision::Ask);
    let requested = asked.map(|((filter, options), _)| Requested {
        filter: filter.as_str().into(),
        qos: options.qos,
        no_local: options.no_local,
    });
    Question::Subscribe(requested.collect())
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GrantedQos1,
        QoS::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}

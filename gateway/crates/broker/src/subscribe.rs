use std::sync::Arc;

use auth::Decision;
use mqtt::{
    Packet, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions, TopicFilter,
    UnsubAck, Unsubscribe, Version,
};
use session::{Message, Timestamp};

use crate::broker::Waiter;
use crate::deliver::Publication;
use crate::durable::Op;
use crate::routes::{Route, Target};
use crate::{Action, Answer, Broker, Closing, Flow, Question, Requested, Verdict};

/// SUBSCRIBE and UNSUBSCRIBE (MQTT 5, 3.8 to 3.11).
impl Broker {
    pub(crate) fn subscribe(
        &mut self,
        now: Timestamp,
        session: u32,
        subscribe: &Subscribe<'_>,
        answer: Option<Answer>,
    ) -> Result<Flow, Closing> {
        if subscribe.subscription_id.is_some() {
            return Err(Closing::new(
                ReasonCode::SubscriptionIdentifiersNotSupported,
                "a Subscription Identifier was sent although CONNACK said that there are none",
            ));
        }
        let filters: Vec<(TopicFilter<'_>, SubscribeOptions)> = subscribe.filters.iter().collect();
        let mut verdicts = match answer {
            Some(Answer::Subscribe(verdicts)) => Some(verdicts.into_iter()),
            Some(Answer::Publish(_)) | None => None,
        };
        let decisions: Vec<Decision> = filters
            .iter()
            .map(|(filter, options)| self.may_subscribe(session, *filter, options.qos))
            .collect();
        if verdicts.is_none() && decisions.contains(&Decision::Ask) {
            let asked = filters.iter().zip(&decisions).filter(|(_, d)| **d == Decision::Ask);
            let requested = asked.map(|((filter, options), _)| Requested {
                filter: filter.as_str().into(),
                qos: options.qos,
                no_local: options.no_local,
            });
            return Ok(Flow::Ask(Question::Subscribe(requested.collect())));
        }
        let mut codes = Vec::with_capacity(filters.len());
        let mut retained = Vec::new();
        for ((filter, options), decision) in filters.iter().zip(decisions) {
            let right = match decision {
                Decision::Allow { max_qos } => Ok(options.qos.min(max_qos)),
                Decision::Deny(reason) => Err(self.explain(session, reason)),
                Decision::Ask => match verdicts.as_mut().and_then(Iterator::next) {
                    Some(Verdict::Allow) => Ok(options.qos),
                    Some(Verdict::Deny { why }) => Err(why),
                    None => Err("the extension gave no verdict".to_owned()),
                },
            };
            codes.push(match right {
                Err(why) => {
                    self.denied(session, Action::Subscribe, filter.as_str(), why);
                    ReasonCode::NotAuthorized
                }
                Ok(qos) => match self.add(session, *filter, SubscribeOptions { qos, ..*options }) {
                    Err(code) => code,
                    Ok(wants_retained) => {
                        if wants_retained {
                            let found = self.retained_for(*filter, now);
                            retained.extend(found.into_iter().map(|message| (message, qos)));
                        }
                        granted(qos)
                    }
                },
            });
        }
        let packet = Packet::SubAck(SubAck::new(subscribe.packet_id, codes));
        self.answer_when_durable(session, &packet);
        for (message, qos) in retained {
            self.send_retained(now, session, &message, qos);
        }
        Ok(Flow::Continue)
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
        options: SubscribeOptions,
    ) -> Result<bool, ReasonCode> {
        if filter.share_group().is_some() {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if mqtt::levels(filter.as_str()).count() > self.settings.max_topic_levels {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let client = self.clients.get_mut(session as usize).ok_or(ReasonCode::UnspecifiedError)?;
        let max = client.online.as_ref().map_or(0, |online| online.max_subscriptions);
        let known = client.subscriptions.get(filter.as_str()).copied();
        if known.is_none() && client.subscriptions.len() >= max {
            return Err(ReasonCode::QuotaExceeded);
        }
        client.subscriptions.insert(filter.to_owned(), options);
        let key = client.key.filter(|_| known != Some(options));
        if known != Some(options) {
            self.subscriptions.insert(filter, session, options);
        }
        if let Some(session) = key {
            let filter = filter.to_owned();
            self.journal.append(Op::PutSubscription { session, filter, options });
        }
        Ok(match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => known.is_none(),
            RetainHandling::DoNotSend => false,
        })
    }

    fn retained_for(&self, filter: TopicFilter<'_>, now: Timestamp) -> Vec<Arc<Message>> {
        let retained = match crate::system::can_match(filter) {
            true => &self.system,
            false => &self.retained,
        };
        retained.matching(filter, now)
    }

    /// Sends one retained message because of a new subscription (MQTT-3.8.4-4).
    fn send_retained(&mut self, now: Timestamp, session: u32, message: &Message, qos: QoS) {
        let topic = message.topic.as_topic();
        let Some(client) = self.clients.get(session as usize) else { return };
        if !client.may_receive(topic.as_str()) {
            return;
        }
        let publish = crate::frames::as_publish(message, now);
        let mut publication = Publication::new(&publish, topic, now);
        // RETAIN is set on what a new subscription finds (MQTT-3.3.1-8).
        let target = Target { session, qos, own_qos: Some(qos), retain_as_published: true };
        let route = Route { topic: topic.as_str().into(), generation: 0, targets: vec![target] };
        self.fan_out(now, &mut publication, &route);
    }

    pub(crate) fn unsubscribe(&mut self, session: u32, unsubscribe: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            if client.subscriptions.remove(filter.as_str()).is_none() {
                codes.push(ReasonCode::NoSubscriptionExisted);
                continue;
            }
            codes.push(ReasonCode::Success);
            if let Some(session) = client.key {
                let op = Op::RemoveSubscription { session, filter: filter.to_owned() };
                self.journal.append(op);
            }
            self.subscriptions.remove(filter, session);
        }
        let packet = Packet::UnsubAck(UnsubAck::new(unsubscribe.packet_id, codes));
        self.answer_when_durable(session, &packet);
    }

    /// Sends a packet when what it promises is on disk. That may have been written for an
    /// earlier packet, so a durable session waits for all there is.
    fn answer_when_durable(&mut self, session: u32, packet: &Packet<'_>) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let version: Version = client.version;
        let durable = client.key.is_some();
        let Some(online) = client.online.as_mut() else { return };
        let lsn = self.journal.last();
        if !durable || self.journal.is_durable(lsn) {
            crate::frames::packet(packet, version, &mut online.outbox);
            self.wake(session);
            return;
        }
        let link = online.link;
        let mut bytes = crate::Outbox::default();
        crate::frames::packet(packet, version, &mut bytes);
        let bytes = bytes.into_bytes();
        self.journal.wait(lsn, Waiter::Packet { session, link, bytes });
    }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GrantedQos1,
        QoS::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}

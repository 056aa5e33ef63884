use std::rc::Rc;
use std::sync::Arc;

use broker::{Answer, Interception, LinkId, Ruling, Timestamp, Verdict};
use mqtt::{
    Ack, Decoded, Decoder, Packet, PacketKind, Publish, QoS, ReasonCode, RetainHandling, Subscribe,
    TopicFilter, TopicName, Unsubscribe, Version,
};

use super::state::{Answered, Owed, Received, Subscription};
use super::{Message, Reference, SHOWN};

/// What packets of clients do.
impl Reference {
    pub(super) fn handled(
        &mut self,
        link: LinkId,
        bytes: &[u8],
        answer: Option<&Answer>,
        at: Timestamp,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let client = Arc::clone(&connection.client);
        assert_eq!(
            self.sessions.get(&client).and_then(|s| s.online),
            Some(link),
            "{client}: a packet of a connection that is over was handled"
        );
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(connection.version);
        let Ok(Decoded::Packet { packet, .. }) = decoder.decode(bytes) else {
            panic!("{client}: no packet: {bytes:?}");
        };
        match packet {
            Packet::Publish(publish) => self.publish(link, &client, &publish, answer, at),
            Packet::Subscribe(packet) => self.subscribe(link, &client, &packet, answer, at),
            Packet::Unsubscribe(packet) => self.unsubscribe(link, &client, &packet),
            Packet::PubAck(ack) => self.confirm(link, &client, &ack, QoS::AtLeastOnce),
            Packet::PubComp(ack) => self.confirm(link, &client, &ack, QoS::ExactlyOnce),
            Packet::PubRec(ack) => self.pubrec(link, &client, &ack),
            Packet::PubRel(ack) => self.pubrel(link, &client, &ack),
            Packet::PingReq => connection.pings += 1,
            Packet::Disconnect(disconnect) => {
                let max = self.settings.max_session_expiry;
                let session = self.sessions.get_mut(&client).expect("a session");
                if let Some(expiry) = disconnect.session_expiry {
                    session.expiry = expiry.min(max);
                }
                if disconnect.code == ReasonCode::NORMAL_DISCONNECTION {
                    session.will = None;
                }
                self.disconnected(link, at);
            }
            other => panic!("{client} sent {other:?}"),
        }
    }

    fn publish(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        publish: &Publish<'_>,
        answer: Option<&Answer>,
        at: Timestamp,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let version = connection.version;
        let topic = match (publish.topic, publish.topic_alias) {
            (Some(topic), alias) => {
                let aliases = &mut connection.aliases_in;
                alias.map(|alias| aliases.insert(alias.get(), topic.as_str().to_owned()));
                topic.as_str().to_owned()
            }
            (None, alias) => {
                let alias = alias.expect("an alias stands for the topic");
                connection.aliases_in.get(&alias.get()).expect("a known alias").clone()
            }
        };
        let twice = publish.qos == QoS::ExactlyOnce;
        let session = self.sessions.get_mut(client).expect("a session");
        let known = publish.packet_id.and_then(|id| session.received.get(&id)).filter(|_| twice);
        if let Some(received) = known {
            let range = received.range;
            self.owe(link, publish, range, vec![ReasonCode::Success], None);
            return;
        }
        if self.guests {
            connection.rulings.handled(publish, &topic, answer, at);
        }
        self.check_shown(&topic, answer);
        let begin = self.serial;
        let message = published(publish, &topic, answer, at);
        let discarded = matches!(answer, Some(Answer::Intercept(Interception::Discard)));
        let refusal = if let Some(Answer::Publish(ruling)) = answer
            && let Ruling { verdict: Verdict::Deny { code, .. }, .. } = ruling
        {
            Some(*code)
        } else if let Some(Answer::Intercept(Interception::Refuse { code, .. })) = answer {
            Some(*code)
        } else if discarded {
            None
        } else if message.retain && !self.keep(&message, at) {
            Some(ReasonCode::QuotaExceeded)
        } else {
            None
        };
        let codes = match refusal {
            Some(code) => vec![code],
            None if discarded => vec![ReasonCode::Success],
            None if self.route(Some(client), &message) => {
                // No Local may leave nobody, which counts as somebody to some.
                vec![ReasonCode::Success, ReasonCode::NoMatchingSubscribers]
            }
            None => vec![ReasonCode::NoMatchingSubscribers],
        };
        let range = (begin, self.serial);
        let goes_on = refusal.is_none() || !version.is_v5();
        if let (Some(id), true, true) = (publish.packet_id, twice, goes_on) {
            let received = Received { range, confirmed: false };
            self.sessions.get_mut(client).expect("a session").received.insert(id, received);
        }
        let kept = (message.retain && refusal.is_none() && !discarded).then_some(message);
        self.owe(link, publish, range, codes, kept);
        self.publishing = (publish.qos > QoS::AtMostOnce).then_some(link);
    }

    /// Interceptors were shown what they want to see, and nothing else.
    fn check_shown(&self, topic: &str, answer: Option<&Answer>) {
        let shown = TopicFilter::new(SHOWN).expect("a filter");
        let wanted = self.interceptors && shown.matches(TopicName::new(topic).expect("a topic"));
        let was = matches!(answer, Some(Answer::Intercept(_)));
        assert_eq!(was, wanted, "{topic} was shown to interceptors: {answer:?}");
    }

    fn owe(
        &mut self,
        link: LinkId,
        publish: &Publish<'_>,
        range: (u64, u64),
        codes: Vec<ReasonCode>,
        kept: Option<Rc<Message>>,
    ) {
        let Some(packet_id) = publish.packet_id else { return };
        let kind = match publish.qos {
            QoS::ExactlyOnce => PacketKind::PubRec,
            QoS::AtMostOnce | QoS::AtLeastOnce => PacketKind::PubAck,
        };
        let connection = self.connections.get_mut(&link).expect("a connection");
        let codes = match connection.version {
            Version::V5 => codes,
            Version::V3_1 | Version::V3_1_1 => vec![ReasonCode::Success],
        };
        connection.owed.push_back(Owed { kind, packet_id, codes, range, kept });
    }

    fn subscribe(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        packet: &Subscribe<'_>,
        answer: Option<&Answer>,
        at: Timestamp,
    ) {
        let max = self.settings.max_subscriptions;
        let (mut codes, mut filters, mut find) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (filter, options)) in packet.filters.iter().enumerate() {
            let session = self.sessions.get_mut(client).expect("a session");
            let name = filter.as_str().to_owned();
            let known = session.subscriptions.contains_key(&name);
            let refusal = if let Some(code) = denial(answer, index) {
                Some(code)
            } else if !known && session.subscriptions.len() >= max {
                Some(ReasonCode::QuotaExceeded)
            } else {
                None
            };
            if let Some(code) = refusal {
                codes.push(code);
                filters.push((name, None));
                continue;
            }
            let id = packet.subscription_id;
            self.serial += 1;
            let made = self.serial;
            let subscription = Subscription { options, id, made, confirmed: false };
            session.subscriptions.insert(name.clone(), subscription);
            session.removed.remove(&name);
            self.join(client, &name, subscription);
            codes.push(match options.qos {
                QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
                QoS::AtLeastOnce => ReasonCode::GrantedQos1,
                QoS::ExactlyOnce => ReasonCode::GrantedQos2,
            });
            let finds = match options.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => !known,
                RetainHandling::DoNotSend => false,
            };
            if finds && filter.share_group().is_none() {
                find.push((name.clone(), subscription));
            }
            filters.push((name, Some(subscription)));
        }
        for (filter, subscription) in find {
            self.give_retained(client, &filter, subscription, at);
        }
        let connection = self.connections.get_mut(&link).expect("a connection");
        if !connection.version.is_v5() {
            for code in codes.iter_mut().filter(|code| code.is_error()) {
                *code = ReasonCode::UnspecifiedError;
            }
        }
        let (kind, packet_id) = (PacketKind::SubAck, packet.packet_id);
        connection.answers.push_back(Answered { kind, packet_id, codes, filters });
    }

    fn unsubscribe(&mut self, link: LinkId, client: &Arc<str>, packet: &Unsubscribe<'_>) {
        let session = self.sessions.get_mut(client).expect("a session");
        let filters: Vec<String> =
            packet.filters.iter().map(TopicFilter::as_str).map(str::to_owned).collect();
        let codes = filters.iter().map(|filter| match session.subscriptions.remove(filter) {
            Some(_) => ReasonCode::Success,
            None => ReasonCode::NoSubscriptionExisted,
        });
        let mut codes: Vec<ReasonCode> = codes.collect();
        let connection = self.connections.get_mut(&link).expect("a connection");
        if !connection.version.is_v5() {
            codes.clear();
        }
        let (kind, packet_id) = (PacketKind::UnsubAck, packet.packet_id);
        let left = filters.clone();
        let filters = filters.into_iter().map(|filter| (filter, None)).collect();
        connection.answers.push_back(Answered { kind, packet_id, codes, filters });
        left.iter().for_each(|filter| self.leave(client, filter));
    }

    /// PUBACK or PUBCOMP: a delivery is over.
    fn confirm(&mut self, link: LinkId, client: &Arc<str>, ack: &Ack<'_>, qos: QoS) {
        let session = self.sessions.get_mut(client).expect("a session");
        let found = session.row.iter().position(|due| {
            due.packet_id == Some(ack.packet_id) && due.qos == qos && due.sent_on == Some(link)
        });
        if let Some(index) = found
            && (qos == QoS::AtLeastOnce || session.row[index].released)
        {
            session.row.remove(index);
        } else if found.is_none() {
            self.confirm_shared(link, ack, qos);
        }
    }

    fn pubrec(&mut self, link: LinkId, client: &Arc<str>, ack: &Ack<'_>) {
        let session = self.sessions.get_mut(client).expect("a session");
        let found = session.row.iter().position(|due| {
            due.packet_id == Some(ack.packet_id)
                && due.qos == QoS::ExactlyOnce
                && due.sent_on == Some(link)
        });
        match found {
            Some(index) if ack.code.is_error() => drop(session.row.remove(index)),
            Some(index) => session.row[index].released = true,
            None if self.pubrec_shared(link, ack) => {}
            None => {
                let connection = self.connections.get_mut(&link).expect("a connection");
                connection.unknown.push(ack.packet_id);
            }
        }
    }

    fn pubrel(&mut self, link: LinkId, client: &Arc<str>, ack: &Ack<'_>) {
        let session = self.sessions.get_mut(client).expect("a session");
        let code = match session.received.remove(&ack.packet_id) {
            Some(_) => ReasonCode::Success,
            None => ReasonCode::PacketIdentifierNotFound,
        };
        let connection = self.connections.get_mut(&link).expect("a connection");
        let code = if connection.version.is_v5() { code } else { ReasonCode::Success };
        connection.owed.push_back(Owed {
            kind: PacketKind::PubComp,
            packet_id: ack.packet_id,
            codes: vec![code],
            range: (0, 0),
            kept: None,
        });
    }
}

/// What goes on: what the client sent, or what interceptors made of it.
fn published(
    publish: &Publish<'_>,
    topic: &str,
    answer: Option<&Answer>,
    at: Timestamp,
) -> Rc<Message> {
    let Some(Answer::Intercept(Interception::Replace(drafts))) = answer else {
        return Rc::new(Message::of(publish, topic, at));
    };
    let [draft] = &drafts[..] else { panic!("one comes of one: {drafts:?}") };
    Rc::new(Message::made(draft, at))
}

fn denial(answer: Option<&Answer>, index: usize) -> Option<ReasonCode> {
    let Some(Answer::Subscribe(verdicts)) = answer else { return None };
    match verdicts.get(index) {
        Some(Verdict::Allow) => None,
        Some(Verdict::Deny { code, .. }) => Some(*code),
        None => Some(ReasonCode::NotAuthorized),
    }
}

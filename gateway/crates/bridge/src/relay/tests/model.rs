use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{
    Ack, ConnAck, ConnAckProperties, Decoded, Decoder, MessagePropertiesBuf, Packet, PacketId,
    PacketKind, Publish, QoS, ReasonCode, SubAck, TopicName, TopicNameBuf, UnsubAck, Version,
};
use session::{Message, Outbound, Transmission};

use crate::envelope;
use crate::{BATCH_CONTENT_TYPE, ENCODING_PROPERTY, Priority};

/// A broker with one client and its session.
pub(super) struct Model {
    pub(super) version: Version,
    pub(super) online: bool,
    /// Whether there is a session.
    known: bool,
    topic: TopicNameBuf,
    sending: Outbound<()>,
    received: BTreeSet<PacketId>,
    decoder: Decoder,
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
    /// What it announces.
    pub(super) announced: ConnAckProperties<'static>,
    /// The messages that arrived: topic, number, QoS, RETAIN.
    pub(super) got: Vec<(String, u64, QoS, bool)>,
    /// The user properties of the last.
    pub(super) user: Vec<(String, String)>,
    /// Numbers that are refused.
    pub(super) refuses: BTreeSet<u64>,
    /// Every packet but PUBLISH that came.
    pub(super) heard: Vec<PacketKind>,
    /// Whether it says nothing any more.
    pub(super) mute: bool,
    /// Whether it takes QoS 2 for QoS 1, and knows nothing else.
    pub(super) lowers: bool,
    /// Whether it delivers what comes by the topic `probe` to whoever sent it.
    pub(super) routes: bool,
    /// The topic of each alias.
    aliases: std::collections::BTreeMap<std::num::NonZeroU16, String>,
    /// Messages that came by an alias alone.
    pub(super) aliased: usize,
    /// Batches that came.
    pub(super) batches: usize,
    /// What it heard of what it published at QoS 1, and of what was refused at QoS 2.
    pub(super) answers: Vec<ReasonCode>,
    /// Filters that it was asked to give up.
    pub(super) unsubscribed: Vec<String>,
    /// Whether it does not.
    pub(super) keeps: bool,
    /// Whether it acknowledges no messages.
    pub(super) withholds: bool,
}

impl Model {
    pub(super) fn new(version: Version, topic: &str) -> Self {
        Self {
            version,
            online: false,
            known: false,
            topic: TopicNameBuf::new(topic).unwrap(),
            sending: Outbound::new(0),
            received: BTreeSet::new(),
            decoder: Decoder::new(1 << 20),
            input: Vec::new(),
            output: Vec::new(),
            announced: ConnAckProperties::default(),
            got: Vec::new(),
            user: Vec::new(),
            refuses: BTreeSet::new(),
            heard: Vec::new(),
            mute: false,
            lowers: false,
            routes: true,
            aliases: std::collections::BTreeMap::new(),
            aliased: 0,
            batches: 0,
            answers: Vec::new(),
            unsubscribed: Vec::new(),
            keeps: false,
            withholds: false,
        }
    }

    /// The local broker, as its session of a priority has it.
    pub(super) fn local(priority: Priority, topic: &str) -> Self {
        let mut model = Self::new(Version::V5, topic);
        model.sending.number_within(&priority.identifiers());
        model
    }

    /// Messages that are not confirmed.
    pub(super) fn owed(&self) -> usize {
        self.sending.len()
    }

    /// The numbers that arrived on a topic.
    pub(super) fn numbers_of(&self, topic: &str) -> Vec<u64> {
        let of_it = self.got.iter().filter(|(it, ..)| it == topic);
        of_it.map(|(_, number, ..)| *number).collect()
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.got.iter().map(|(_, number, ..)| *number).collect()
    }

    pub(super) fn publish(&mut self, number: u64, qos: QoS, properties: &MessagePropertiesBuf) {
        self.publish_bytes(number.to_string().into_bytes(), qos, properties);
    }

    pub(super) fn publish_bytes(
        &mut self,
        payload: Vec<u8>,
        qos: QoS,
        properties: &MessagePropertiesBuf,
    ) {
        let mut wire = Vec::new();
        properties.as_ref().write_to(&mut wire);
        let message = Message {
            topic: self.topic.clone(),
            payload: payload.into(),
            qos,
            retain: true,
            properties: wire.into(),
            expires: None,
        };
        self.sending.push(Arc::new(message), qos, true, None, ());
        self.pump();
    }

    pub(super) fn disconnect(&mut self) {
        self.online = false;
        self.aliases.clear();
        self.decoder = Decoder::new(1 << 20);
        self.input.clear();
        self.output.clear();
    }

    /// Forgets the session, as a broker that was set up anew.
    pub(super) fn forget(&mut self) {
        self.known = false;
        self.received.clear();
    }

    pub(super) fn is_settled(&self) -> bool {
        self.sending.is_empty()
    }

    pub(super) fn connect(&mut self, window: u16) {
        self.decoder.set_version(self.version);
        self.online = true;
        let session_present = std::mem::replace(&mut self.known, true);
        let (code, properties) = (ReasonCode::Success, self.announced.clone());
        self.send(&Packet::ConnAck(Box::new(ConnAck { session_present, code, properties })));
        self.sending.connect(window);
        self.pump();
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Decoded::Packet { packet, len } = self.decoder.decode(&input[at..]).unwrap() {
            self.handle(&packet);
            at += len;
        }
        self.input = input[at..].to_vec();
    }

    fn handle(&mut self, packet: &Packet<'_>) {
        if !matches!(packet, Packet::Publish(_)) {
            self.heard.push(packet.kind());
        }
        match packet {
            Packet::Connect(connect) => {
                assert!(!connect.clean_start, "the session goes on");
                self.connect(connect.properties.receive_maximum.unwrap_or(20));
            }
            Packet::Publish(publish) => self.arrive(publish),
            Packet::PubAck(ack) => {
                self.answers.push(ack.code);
                let _ = self.sending.puback(ack.packet_id);
            }
            Packet::PubRec(ack) if ack.code.is_error() => {
                self.answers.push(ack.code);
                let _ = self.sending.pubrec_refused(ack.packet_id);
            }
            Packet::PubRec(ack) => {
                self.sending.pubrec(ack.packet_id);
                self.ack(PacketKind::PubRel, ack.packet_id, ReasonCode::Success);
            }
            Packet::PubRel(ack) => {
                assert!(!self.lowers, "a PUBREL for a broker that knows none");
                let code = match self.received.remove(&ack.packet_id) {
                    true => ReasonCode::Success,
                    false => ReasonCode::PacketIdentifierNotFound,
                };
                self.ack(PacketKind::PubComp, ack.packet_id, code);
            }
            Packet::PubComp(ack) => drop(self.sending.pubcomp(ack.packet_id)),
            Packet::Subscribe(subscribe) => {
                let codes: Vec<_> =
                    subscribe.filters.iter().map(|_| ReasonCode::GrantedQos2).collect();
                self.send(&Packet::SubAck(SubAck::new(subscribe.packet_id, codes)));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let names: Vec<_> =
                    unsubscribe.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
                let code = if self.keeps { ReasonCode::NotAuthorized } else { ReasonCode::Success };
                let codes = if self.version.is_v5() { vec![code; names.len()] } else { Vec::new() };
                self.unsubscribed.extend(names);
                self.send(&Packet::UnsubAck(UnsubAck::new(unsubscribe.packet_id, codes)));
            }
            Packet::PingReq => self.send(&Packet::PingResp),
            other => panic!("{other:?}"),
        }
        self.pump();
    }

    fn arrive(&mut self, publish: &Publish<'_>) {
        let topic = self.topic_of(publish);
        if topic == "probe" {
            if self.routes {
                self.send(&Packet::Publish(*publish));
            }
            return;
        }
        let expanded = envelope::marked(publish.properties)
            .map(|_| envelope::expand(publish.payload, 1 << 20).unwrap());
        let payload = expanded.as_deref().unwrap_or(publish.payload);
        if publish.properties.content_type() == Some(BATCH_CONTENT_TYPE) {
            return self.take_apart(payload, publish);
        }
        let number: u64 = std::str::from_utf8(payload).unwrap().parse().unwrap();
        let refused = self.refuses.contains(&number) && !topic.starts_with('$');
        let code = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        let mut arrives = !refused;
        let qos = if self.lowers { publish.qos.min(QoS::AtLeastOnce) } else { publish.qos };
        if let Some(id) = publish.packet_id.filter(|_| qos == QoS::ExactlyOnce && !refused) {
            arrives = self.received.insert(id);
        }
        if arrives {
            self.got.push((topic, number, publish.qos, publish.retain));
            let user = publish.properties.user();
            let user = user.iter().filter(|(name, _)| *name != ENCODING_PROPERTY);
            self.user = user.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        }
        if self.withholds {
            return;
        }
        match (qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.ack(PacketKind::PubAck, id, code),
            (QoS::ExactlyOnce, Some(id)) => self.ack(PacketKind::PubRec, id, code),
            _ => {}
        }
    }

    fn topic_of(&mut self, publish: &Publish<'_>) -> String {
        let stated = publish.topic.map(|topic| topic.as_str().to_owned());
        match (stated, publish.topic_alias) {
            (Some(topic), Some(alias)) => {
                assert!(alias.get() <= self.announced.topic_alias_maximum.unwrap_or(0));
                self.aliases.insert(alias, topic.clone());
                topic
            }
            (None, Some(alias)) => {
                self.aliased += 1;
                self.aliases.get(&alias).cloned().expect("an alias that was given")
            }
            (topic, None) => topic.unwrap_or_default(),
        }
    }

    /// A batch, which is refused as a whole or not at all.
    fn take_apart(&mut self, batch: &[u8], publish: &Publish<'_>) {
        let number = |publish: &Publish<'_>| -> u64 {
            std::str::from_utf8(publish.payload).unwrap().parse().unwrap()
        };
        let messages: Vec<_> = envelope::unpack(batch).unwrap();
        let messages: Vec<_> = messages.iter().map(|raw| envelope::first(raw).unwrap().0).collect();
        let refused = messages.iter().any(|it| self.refuses.contains(&number(it)));
        self.batches += 1;
        for message in messages.iter().filter(|_| !refused) {
            let topic = message.topic.map(TopicName::as_str).unwrap_or_default().to_owned();
            self.got.push((topic, number(message), message.qos, message.retain));
            let user = message.properties.user();
            self.user = user.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        }
        let code = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        if let Some(id) = publish.packet_id {
            self.ack(PacketKind::PubAck, id, code);
        }
    }

    fn ack(&mut self, kind: PacketKind, id: PacketId, code: ReasonCode) {
        let ack = Ack::new(id, code);
        self.send(&match kind {
            PacketKind::PubAck => Packet::PubAck(ack),
            PacketKind::PubRec => Packet::PubRec(ack),
            PacketKind::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        });
    }

    fn send(&mut self, packet: &Packet<'_>) {
        if !self.mute {
            packet.encode(self.version, &mut self.output).unwrap();
        }
    }

    fn pump(&mut self) {
        while self.online && !self.mute {
            let Some(transmission) = self.sending.next_to_send(|_| true) else { return };
            let mut bytes = Vec::new();
            match transmission {
                Transmission::Publish { packet_id, dup, delivery } => {
                    let message = delivery.message.as_ref().unwrap();
                    let publish = Publish {
                        dup,
                        qos: delivery.qos,
                        retain: message.retain,
                        packet_id: Some(packet_id),
                        properties: message.properties(),
                        ..Publish::new(message.topic.as_topic(), &message.payload)
                    };
                    publish.encode(self.version, &mut bytes).unwrap();
                }
                Transmission::Release { packet_id } => {
                    let ack = Packet::PubRel(Ack::new(packet_id, ReasonCode::Success));
                    ack.encode(self.version, &mut bytes).unwrap();
                }
            }
            self.output.extend(bytes);
        }
    }
}

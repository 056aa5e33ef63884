use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use broker::LinkId;
use mqtt::{
    Ack, Connect, ConnectProperties, Decoded, Decoder, Disconnect, MessageProperties, Packet,
    PacketId, Publish, QoS, SubscribeFiltersBuf, SubscribeOptions, TopicFilter, TopicName,
    UnsubscribeFiltersBuf, Version, Will,
};

/// A client that follows the protocol and remembers what it sent and got.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) window: u16,
    pub(crate) max_packet: Option<u32>,
    pub(crate) alias_max: u16,
    pub(crate) link: Option<LinkId>,
    /// Bytes on their way to the gateway.
    pub(crate) pipe: Vec<u8>,
    /// CONNACK has come.
    pub(crate) welcome: bool,
    /// It sends nothing more on this connection.
    pub(crate) mute: bool,
    /// Its session, counted.
    pub(crate) epoch: u64,
    /// It asks for a new session until it has got one.
    pub(crate) wants_clean: bool,
    /// It asked for one on this connection.
    clean: bool,
    /// Its session may be over before it comes back.
    may_end: bool,
    /// It was, perhaps, since the last CONNACK.
    ended: bool,
    /// Seconds for which it wants its session to be kept.
    pub(crate) expiry: u32,
    /// Publishes that are not confirmed, in order.
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// What it got, in order.
    pub(crate) receipts: Vec<Receipt>,
    /// Acknowledgements that it has not sent yet.
    acks: VecDeque<Reply>,
    /// What it got on this connection and has not confirmed to the end.
    open: BTreeSet<PacketId>,
    held: BTreeMap<PacketId, Vec<u8>>,
    /// Aliases that it has set on this connection.
    aliases: BTreeMap<&'static str, NonZeroU16>,
    next_id: u16,
}

/// What a device publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// Its number in the simulation.
    pub(crate) message: usize,
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expiry: Option<u32>,
    /// Bytes of payload at least; none at all to clear what is retained.
    pub(crate) size: Option<usize>,
    /// An alias stands for the topic, or is set.
    pub(crate) alias: bool,
}

/// One publish on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing {
    packet_id: PacketId,
    pub(crate) sending: Sending,
    released: bool,
}

/// One message that came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) epoch: u64,
    pub(crate) message: usize,
    pub(crate) qos: QoS,
}

/// Bytes to send, and the exchange that they end.
struct Reply {
    bytes: Vec<u8>,
    ends: Option<PacketId>,
}

/// What a client leaves for the case that it vanishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastWords {
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) delay: u32,
    pub(crate) expiry: Option<u32>,
}

impl Device {
    pub(crate) fn new(name: String, version: Version, expiry: u32, window: u16) -> Self {
        Self {
            name,
            version,
            window,
            max_packet: None,
            alias_max: 0,
            link: None,
            pipe: Vec::new(),
            welcome: false,
            mute: false,
            epoch: 0,
            wants_clean: true,
            clean: true,
            may_end: false,
            ended: false,
            expiry,
            outgoing: VecDeque::new(),
            receipts: Vec::new(),
            acks: VecDeque::new(),
            open: BTreeSet::new(),
            held: BTreeMap::new(),
            aliases: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// The CONNECT that it sends next.
    pub(crate) fn connect<'a>(
        &'a self,
        will: Option<LastWords>,
        payload: &'a [u8],
        keep_alive: u16,
    ) -> Connect<'a> {
        let v5 = self.version.is_v5();
        Connect {
            version: self.version,
            client_id: &self.name,
            clean_start: self.wants_clean,
            keep_alive,
            username: None,
            password: None,
            will: will.map(|will| Will {
                topic: TopicName::new(will.topic).expect("a topic"),
                payload,
                qos: will.qos,
                retain: will.retain,
                delay: if v5 { will.delay } else { 0 },
                message_expiry: will.expiry.filter(|_| v5),
                properties: MessageProperties::default(),
            }),
            properties: ConnectProperties {
                session_expiry: (self.expiry > 0 && v5).then_some(self.expiry),
                receive_maximum: Some(self.window).filter(|_| v5),
                maximum_packet_size: self.max_packet.filter(|_| v5),
                topic_alias_maximum: Some(self.alias_max).filter(|_| v5),
                ..ConnectProperties::default()
            },
        }
    }

    /// It begins a connection; a session that it does not want to go on is forgotten.
    pub(crate) fn begin(&mut self, link: LinkId, clean: bool) {
        self.hang_up();
        if clean {
            self.forget_session();
        }
        self.clean = clean;
        self.may_end = self.expiry < 1_000_000 || clean && !self.version.is_v5();
        self.link = Some(link);
    }

    /// Whoever has not heard what became of its session cannot go on with it.
    pub(crate) fn doubt(&mut self) {
        self.wants_clean |= self.link.is_some() && !self.welcome && self.ended;
    }

    /// The connection is gone.
    pub(crate) fn hang_up(&mut self) {
        self.doubt();
        self.ended |= self.link.is_some() && self.may_end;
        self.link = None;
        self.welcome = false;
        self.mute = false;
        self.pipe.clear();
        self.acks.clear();
        self.open.clear();
        self.aliases.clear();
    }

    /// The session is over; what was not confirmed is given up.
    fn forget_session(&mut self) {
        self.epoch += 1;
        self.outgoing.clear();
        self.held.clear();
        self.acks.clear();
    }

    pub(crate) fn publish(&mut self, sending: Sending) {
        let packet_id = (sending.qos != QoS::AtMostOnce).then(|| self.identifier());
        if let Some(packet_id) = packet_id {
            self.outgoing.push_back(Outgoing { packet_id, sending, released: false });
        }
        self.send_publish(sending, packet_id, false);
    }

    fn send_publish(&mut self, sending: Sending, packet_id: Option<PacketId>, dup: bool) {
        let Sending { message, topic, qos, retain, expiry, size, alias } = sending;
        let payload = size.map_or_else(String::new, |size| format!("{message}:{:.<size$}", ""));
        let v5 = self.version.is_v5();
        let known = self.aliases.get(topic).copied();
        let next = self.aliases.len() as u16 + 1;
        let topic_alias = known.or_else(|| NonZeroU16::new(next)).filter(|_| alias && v5);
        if let Some(alias) = topic_alias {
            self.aliases.insert(topic, alias);
        }
        let name = TopicName::new(topic).expect("a topic");
        let section = if message % 3 == 0 { &b"\x26\0\x01k\0\x01v"[..] } else { &[] };
        let publish = Publish {
            dup,
            qos,
            packet_id,
            retain,
            topic_alias,
            topic: Some(name).filter(|_| topic_alias.is_none() || known.is_none()),
            message_expiry: expiry.filter(|_| v5),
            properties: MessageProperties::parse(section).expect("a user property"),
            ..Publish::new(name, payload.as_bytes())
        };
        self.send(&Packet::Publish(publish));
    }

    pub(crate) fn subscribe(&mut self, filters: &[(&str, SubscribeOptions)], id: Option<u32>) {
        let packet_id = self.identifier();
        let mut list = SubscribeFiltersBuf::default();
        for (filter, options) in filters {
            list.push(TopicFilter::new(filter).expect("a filter"), *options).expect("a filter");
        }
        self.send(&Packet::Subscribe(mqtt::Subscribe {
            packet_id,
            subscription_id: id.filter(|_| self.version.is_v5()),
            user: mqtt::UserProperties::default(),
            filters: list.as_ref(),
        }));
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        let packet_id = self.identifier();
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(TopicFilter::new(filter).expect("a filter"));
        let (filters, user) = (filters.as_ref(), mqtt::UserProperties::default());
        self.send(&Packet::Unsubscribe(mqtt::Unsubscribe { packet_id, user, filters }));
    }

    /// DISCONNECT, perhaps with other terms for the session, perhaps with the will.
    pub(crate) fn disconnect(&mut self, expiry: Option<u32>, with_will: bool) {
        let session_expiry = expiry.filter(|_| self.version.is_v5() && self.expiry > 0);
        let code = match with_will && self.version.is_v5() {
            true => mqtt::ReasonCode::DisconnectWithWillMessage,
            false => mqtt::ReasonCode::NORMAL_DISCONNECTION,
        };
        let disconnect = Disconnect { code, session_expiry, ..Disconnect::default() };
        self.may_end |= session_expiry.is_some();
        self.send(&Packet::Disconnect(disconnect));
        self.mute = true;
    }

    /// PINGREQ and the echoes of exchanges that are over, many times.
    pub(crate) fn flood(&mut self) {
        let id = PacketId::new(65_000).expect("not 0");
        for _ in 0..2000 {
            self.send(&Packet::PingReq);
            self.send(&Packet::PubRec(Ack::new(id, mqtt::ReasonCode::Success)));
        }
    }

    /// Looks at the first packet of `wire`; false when there is none.
    pub(crate) fn read(&mut self, wire: &mut Vec<u8>) -> bool {
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(self.version);
        let bytes = std::mem::take(wire);
        let decoded = decoder.decode(&bytes).expect("the broker speaks MQTT");
        let Decoded::Packet { packet, len } = decoded else { return false };
        self.handle(&packet);
        *wire = bytes.get(len..).unwrap_or_default().to_vec();
        true
    }

    fn handle(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::ConnAck(connack) => self.welcomed(connack.session_present),
            Packet::Publish(publish) => self.receive(publish),
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id);
                self.reply(&Packet::PubComp(Ack::new(ack.packet_id, mqtt::ReasonCode::Success)));
            }
            Packet::PubAck(ack) => {
                self.take_outgoing(ack.packet_id, QoS::AtLeastOnce);
            }
            Packet::PubRec(ack) if ack.code.is_error() => {
                self.take_outgoing(ack.packet_id, QoS::ExactlyOnce);
            }
            Packet::PubRec(ack) => {
                let reply = Packet::PubRel(Ack::new(ack.packet_id, mqtt::ReasonCode::Success));
                self.reply(&reply);
                let known = self.outgoing.iter_mut().find(|o| o.packet_id == ack.packet_id);
                known.expect("PUBREC names a publish that waits for it").released = true;
            }
            Packet::PubComp(ack) => {
                assert!(self.take_outgoing(ack.packet_id, QoS::ExactlyOnce).released);
            }
            Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::Disconnect(_) | Packet::PingResp => {}
            other => panic!("{} got {other:?}", self.name),
        }
    }

    fn welcomed(&mut self, present: bool) {
        assert!(!present || !self.clean, "{}: the session is not new", self.name);
        self.welcome = true;
        self.ended = false;
        self.wants_clean &= !self.clean;
        // 3.1.1 has no other way to a session that ends with its connection.
        self.wants_clean |= !self.version.is_v5() && self.expiry == 0;
        if !present {
            // Whoever asked for a clean one has forgotten the old one already.
            self.forget_session();
            return;
        }
        for index in 0..self.outgoing.len() {
            let Outgoing { packet_id, sending, released } = self.outgoing[index];
            if released {
                let code = mqtt::ReasonCode::Success;
                self.send(&Packet::PubRel(Ack::new(packet_id, code)));
            } else {
                self.send_publish(sending, Some(packet_id), true);
            }
        }
    }

    fn receive(&mut self, publish: &Publish<'_>) {
        let text = std::str::from_utf8(publish.payload).expect("text");
        let number = text.split(':').next().and_then(|number| number.parse().ok());
        let receipt =
            number.map(|message| Receipt { epoch: self.epoch, message, qos: publish.qos });
        let Some(packet_id) = publish.packet_id else {
            self.receipts.extend(receipt);
            return;
        };
        if publish.qos == QoS::AtLeastOnce {
            self.receipts.extend(receipt);
            self.reply(&Packet::PubAck(Ack::new(packet_id, mqtt::ReasonCode::Success)));
        } else {
            match self.held.insert(packet_id, publish.payload.to_vec()) {
                None => self.receipts.extend(receipt),
                Some(held) => assert_eq!(
                    held, publish.payload,
                    "{}: {packet_id:?} came again with another message",
                    self.name
                ),
            }
            self.reply(&Packet::PubRec(Ack::new(packet_id, mqtt::ReasonCode::Success)));
        }
        self.open.insert(packet_id);
        let open = self.open.len();
        assert!(open <= usize::from(self.window), "{}: Receive Maximum exceeded", self.name);
    }

    /// Sends the next acknowledgement; false when there is none.
    pub(crate) fn send_ack(&mut self) -> bool {
        let Some(Reply { bytes, ends }) = self.acks.pop_front().filter(|_| !self.mute) else {
            return false;
        };
        if let Some(packet_id) = ends {
            self.open.remove(&packet_id);
        }
        self.pipe.extend_from_slice(&bytes);
        true
    }

    fn reply(&mut self, packet: &Packet<'_>) {
        let ends = match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => Some(ack.packet_id),
            _ => None,
        };
        self.acks.push_back(Reply { bytes: self.bytes(packet), ends });
    }

    fn take_outgoing(&mut self, packet_id: PacketId, qos: QoS) -> Outgoing {
        let known =
            self.outgoing.iter().position(|o| o.packet_id == packet_id && o.sending.qos == qos);
        let index = known.unwrap_or_else(|| panic!("{}: nothing has {packet_id:?}", self.name));
        self.outgoing.remove(index).expect("just found")
    }

    /// An identifier that names nothing unconfirmed.
    fn identifier(&mut self) -> PacketId {
        self.next_id = self.next_id % 60_000 + 1;
        PacketId::new(self.next_id).expect("not 0")
    }

    fn send(&mut self, packet: &Packet<'_>) {
        if !self.mute {
            let bytes = self.bytes(packet);
            self.pipe.extend_from_slice(&bytes);
        }
    }

    fn bytes(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet that can be written");
        bytes
    }
}

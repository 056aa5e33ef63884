//! A client that follows the protocol and remembers what it sent and got.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt::{
    Ack, Connect, ConnectProperties, Decoded, Decoder, Disconnect, Packet, PacketId, Publish, QoS,
    SubscribeFiltersBuf, SubscribeOptions, TopicFilter, TopicName, UnsubscribeFiltersBuf, Version,
};
use portcullis_broker::LinkId;

/// One device.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) durable: bool,
    pub(crate) window: u16,
    pub(crate) link: Option<LinkId>,
    /// CONNACK has come.
    pub(crate) welcome: bool,
    /// Its session, counted; what was owed to an earlier one is owed no more.
    pub(crate) epoch: u64,
    /// It asks for a new session until it has got one.
    pub(crate) wants_clean: bool,
    /// This connection's session ends with it: 3.1.1 knows no other clean one.
    passing: bool,
    /// CONNACK promised that the session goes on.
    pub(crate) promised: bool,
    /// Publishes that are not confirmed, in order.
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// Subscriptions that SUBACK confirmed, and that it has not begun to change.
    pub(crate) confirmed: BTreeMap<String, QoS>,
    /// What it got, in order.
    pub(crate) receipts: Vec<Receipt>,
    /// Acknowledgements that it has not sent yet.
    acks: VecDeque<Reply>,
    /// What it got on this connection and has not confirmed to the end.
    open: BTreeSet<PacketId>,
    held: BTreeSet<PacketId>,
    changing: BTreeMap<PacketId, (String, QoS)>,
    next_id: u16,
}

/// One publish on its way out.
pub(crate) struct Outgoing {
    packet_id: PacketId,
    /// Its number in the simulation.
    pub(crate) message: usize,
    topic: String,
    qos: QoS,
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

/// What a device learned from one packet.
pub(crate) enum Learned {
    Nothing,
    /// The gateway has taken responsibility for this message.
    Acknowledged(usize),
    /// The session goes on: these messages are being sent again.
    SendAgain(Vec<(usize, Vec<u8>)>),
}

impl Device {
    pub(crate) fn new(name: String, version: Version, durable: bool, window: u16) -> Self {
        Self {
            name,
            version,
            durable,
            window,
            link: None,
            welcome: false,
            epoch: 0,
            wants_clean: true,
            passing: false,
            promised: false,
            outgoing: VecDeque::new(),
            confirmed: BTreeMap::new(),
            receipts: Vec::new(),
            acks: VecDeque::new(),
            open: BTreeSet::new(),
            held: BTreeSet::new(),
            changing: BTreeMap::new(),
            next_id: 0,
        }
    }

    pub(crate) fn connect(&mut self) -> Connect<'_> {
        let clean = self.wants_clean || !self.durable;
        self.hang_up();
        if clean {
            self.forget_session();
        }
        self.passing = !self.durable || clean && !self.version.is_v5();
        Connect {
            version: self.version,
            client_id: &self.name,
            clean_start: clean,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties {
                session_expiry: self.durable.then_some(1_000_000),
                receive_maximum: Some(self.window),
                ..ConnectProperties::default()
            },
        }
    }

    /// The connection is gone.
    pub(crate) fn hang_up(&mut self) {
        self.link = None;
        self.welcome = false;
        self.acks.clear();
        self.open.clear();
        self.changing.clear();
        if self.passing {
            self.forget_session();
        }
    }

    /// The session is over; what was not confirmed is given up.
    pub(crate) fn forget_session(&mut self) {
        self.epoch += 1;
        self.promised = false;
        self.outgoing.clear();
        self.confirmed.clear();
        self.changing.clear();
        self.held.clear();
        self.acks.clear();
    }

    pub(crate) fn publish(&mut self, message: usize, topic: &str, qos: QoS) -> Vec<u8> {
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.identifier());
        if let Some(packet_id) = packet_id {
            let topic = topic.to_owned();
            self.outgoing.push_back(Outgoing { packet_id, message, topic, qos, released: false });
        }
        self.publish_bytes(message, topic, qos, packet_id, false)
    }

    fn publish_bytes(
        &self,
        message: usize,
        topic: &str,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) -> Vec<u8> {
        let text = message.to_string();
        let topic = TopicName::new(topic).expect("a topic");
        let publish = Publish { dup, qos, packet_id, ..Publish::new(topic, text.as_bytes()) };
        self.bytes(&Packet::Publish(publish))
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Vec<u8> {
        let packet_id = self.identifier();
        // Until the last of several changes is confirmed nothing is certain.
        self.confirmed.remove(filter);
        self.changing.retain(|_, (changing, _)| changing != filter);
        self.changing.insert(packet_id, (filter.to_owned(), qos));
        let mut filters = SubscribeFiltersBuf::default();
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        filters.push(TopicFilter::new(filter).expect("a filter"), options).expect("a filter");
        let filters = filters.as_ref();
        let (subscription_id, user) = (None, mqtt::UserProperties::default());
        self.bytes(&Packet::Subscribe(mqtt::Subscribe {
            packet_id,
            subscription_id,
            user,
            filters,
        }))
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Vec<u8> {
        let packet_id = self.identifier();
        self.confirmed.remove(filter);
        self.changing.retain(|_, (changing, _)| changing != filter);
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(TopicFilter::new(filter).expect("a filter"));
        let (filters, user) = (filters.as_ref(), mqtt::UserProperties::default());
        self.bytes(&Packet::Unsubscribe(mqtt::Unsubscribe { packet_id, user, filters }))
    }

    /// DISCONNECT; one that ends the session is possible in MQTT 5.
    pub(crate) fn disconnect(&mut self, ends: bool) -> Vec<u8> {
        let session_expiry = (ends && self.version.is_v5() && self.durable).then_some(0);
        let bytes =
            self.bytes(&Packet::Disconnect(Disconnect { session_expiry, ..Disconnect::default() }));
        self.hang_up();
        if session_expiry.is_some() {
            self.forget_session();
            self.wants_clean = true;
        }
        bytes
    }

    /// Looks at the first packet of `wire`; `None` when there is none.
    pub(crate) fn read(&mut self, wire: &mut Vec<u8>) -> Option<Learned> {
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(self.version);
        let bytes = std::mem::take(wire);
        let decoded = decoder.decode(&bytes).expect("the broker speaks MQTT");
        let Decoded::Packet { packet, len } = decoded else {
            assert!(bytes.is_empty(), "the broker writes whole packets");
            return None;
        };
        let learned = self.handle(&packet);
        *wire = bytes.get(len..).unwrap_or_default().to_vec();
        Some(learned)
    }

    fn handle(&mut self, packet: &Packet<'_>) -> Learned {
        match packet {
            Packet::ConnAck(connack) => return self.welcomed(connack.session_present),
            Packet::Publish(publish) => self.receive(publish),
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id);
                self.reply(&Packet::PubComp(Ack::new(ack.packet_id, mqtt::ReasonCode::Success)));
            }
            Packet::PubAck(ack) => {
                assert!(!ack.code.is_error(), "nothing is refused here: {ack:?}");
                let outgoing = self.take_outgoing(ack.packet_id, QoS::AtLeastOnce);
                return Learned::Acknowledged(outgoing.message);
            }
            Packet::PubRec(ack) => {
                assert!(!ack.code.is_error(), "nothing is refused here: {ack:?}");
                let reply = Packet::PubRel(Ack::new(ack.packet_id, mqtt::ReasonCode::Success));
                self.reply(&reply);
                let known = self.outgoing.iter_mut().find(|o| o.packet_id == ack.packet_id);
                let outgoing = known.expect("PUBREC names a publish that waits for it");
                outgoing.released = true;
                return Learned::Acknowledged(outgoing.message);
            }
            Packet::PubComp(ack) => {
                assert!(self.take_outgoing(ack.packet_id, QoS::ExactlyOnce).released);
            }
            Packet::SubAck(ack) => {
                if let Some((filter, qos)) = self.changing.remove(&ack.packet_id) {
                    self.confirmed.insert(filter, qos);
                }
            }
            Packet::UnsubAck(_) | Packet::Disconnect(_) => {}
            other => panic!("{} got {other:?}", self.name),
        }
        Learned::Nothing
    }

    fn welcomed(&mut self, present: bool) -> Learned {
        assert!(present || !self.promised, "{}: a promised session is gone", self.name);
        assert!(!(present && (self.wants_clean || !self.durable)), "{}: not new", self.name);
        self.welcome = true;
        self.wants_clean = false;
        self.promised = !self.passing;
        if !present {
            return Learned::Nothing;
        }
        let again = self.outgoing.iter().map(|o| {
            let bytes = if o.released {
                self.bytes(&Packet::PubRel(Ack::new(o.packet_id, mqtt::ReasonCode::Success)))
            } else {
                self.publish_bytes(o.message, &o.topic, o.qos, Some(o.packet_id), true)
            };
            (o.message, bytes)
        });
        Learned::SendAgain(again.collect())
    }

    fn receive(&mut self, publish: &Publish<'_>) {
        let text = std::str::from_utf8(publish.payload).expect("a number");
        let message = text.parse().expect("a number");
        let receipt = Receipt { epoch: self.epoch, message, qos: publish.qos };
        let Some(packet_id) = publish.packet_id else {
            self.receipts.push(receipt);
            return;
        };
        if publish.qos == QoS::AtLeastOnce {
            self.receipts.push(receipt);
            self.reply(&Packet::PubAck(Ack::new(packet_id, mqtt::ReasonCode::Success)));
        } else {
            if self.held.insert(packet_id) {
                self.receipts.push(receipt);
            }
            self.reply(&Packet::PubRec(Ack::new(packet_id, mqtt::ReasonCode::Success)));
        }
        self.open.insert(packet_id);
        let open = self.open.len();
        assert!(open <= usize::from(self.window), "{}: Receive Maximum exceeded", self.name);
    }

    /// The next acknowledgement to send.
    pub(crate) fn next_ack(&mut self) -> Option<Vec<u8>> {
        let Reply { bytes, ends } = self.acks.pop_front()?;
        if let Some(packet_id) = ends {
            self.open.remove(&packet_id);
        }
        Some(bytes)
    }

    fn reply(&mut self, packet: &Packet<'_>) {
        let ends = match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => Some(ack.packet_id),
            _ => None,
        };
        self.acks.push_back(Reply { bytes: self.bytes(packet), ends });
    }

    fn take_outgoing(&mut self, packet_id: PacketId, qos: QoS) -> Outgoing {
        let known = self.outgoing.iter().position(|o| o.packet_id == packet_id && o.qos == qos);
        let index = known.unwrap_or_else(|| panic!("{}: nothing has {packet_id:?}", self.name));
        self.outgoing.remove(index).expect("just found")
    }

    fn identifier(&mut self) -> PacketId {
        self.next_id = self.next_id % 60_000 + 1;
        PacketId::new(self.next_id).expect("not 0")
    }

    fn bytes(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet that can be written");
        bytes
    }
}

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, Connect, ConnectProperties, Decoded, Decoder, Disconnect, MessageProperties, Packet,
    PacketId, PacketKind, Publish, QoS, ReasonCode, Subscribe, SubscribeFiltersBuf,
    SubscribeOptions, TopicFilter, TopicName, UserProperties, Version, Will,
};

use crate::PATIENCE;
use crate::received::{Message, Received};
use crate::site::Site;
use crate::wire::{Wire, is_timeout};

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Options {
    client_id: String,
    version: Version,
    tls: Option<u16>,
    quic: Option<u16>,
    plain: u16,
    ca: PathBuf,
    credentials: Option<(String, String)>,
    persistent: bool,
    will: Option<(String, String)>,
    keep_alive: u16,
}

impl Options {
    /// MQTT 5 over TLS without credentials, with a session that ends with the connection.
    pub fn new(client_id: &str, site: &Site) -> Self {
        Self {
            client_id: client_id.to_owned(),
            version: Version::V5,
            tls: Some(site.tls),
            quic: None,
            plain: site.plain,
            ca: site.ca(),
            credentials: None,
            persistent: false,
            will: None,
            keep_alive: 60,
        }
    }

    /// Speaks this version.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Comes as this user.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.credentials = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Comes without a name.
    pub fn anonymous(mut self) -> Self {
        self.credentials = None;
        self
    }

    /// Goes on with the session that there is, and leaves it behind for an hour.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Leaves a will of QoS 1.
    pub fn will(mut self, topic: &str, payload: &str) -> Self {
        self.will = Some((topic.to_owned(), payload.to_owned()));
        self
    }

    /// Promises to be heard within one and a half times so many seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// Uses the plain listener.
    pub fn plain(mut self) -> Self {
        self.tls = None;
        self
    }

    /// Uses another plain listener.
    pub fn plain_at(mut self, port: u16) -> Self {
        self.plain = port;
        self.plain()
    }

    /// Uses a QUIC listener.
    pub fn quic_at(mut self, port: u16) -> Self {
        self.quic = Some(port);
        self
    }

    /// Connects and must be let in.
    pub fn connect(&self) -> Client {
        let (client, answer) = self.try_connect().expect("the gateway accepts connections");
        match answer {
            Received::ConnAck(ReasonCode::Success, _) => client,
            other => panic!("client {} is not let in: {other:?}", self.client_id),
        }
    }

    /// Connects; gives the gateway's answer, a CONNACK as a rule.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn try_connect(&self) -> io::Result<(Client, Received)> {
        let mut client = self.knock()?;
        let answer = client.receive();
        Ok((client, answer))
    }

    /// Sends CONNECT and does not wait for an answer.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn knock(&self) -> io::Result<Client> {
        let wire = match (self.quic, self.tls) {
            (Some(port), _) => Wire::quic(port, &self.ca, None)?,
            (None, Some(port)) => Wire::tls(port, &self.ca)?,
            (None, None) => Wire::plain(self.plain)?,
        };
        self.knock_on(wire)
    }

    /// As [`Options::knock`], on this connection.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn knock_on(&self, wire: Wire) -> io::Result<Client> {
        let mut client = Client::on(wire, self.version);
        client.send(&self.packet())?;
        Ok(client)
    }

    /// As [`Options::connect`], on this connection.
    pub fn connect_on(&self, wire: Wire) -> Client {
        let mut client = self.knock_on(wire).expect("the gateway reads");
        match client.receive() {
            Received::ConnAck(ReasonCode::Success, _) => client,
            other => panic!("client {} is not let in: {other:?}", self.client_id),
        }
    }

    fn packet(&self) -> Packet<'_> {
        let will = self.will.as_ref().map(|(topic, payload)| Will {
            topic: TopicName::new(topic).expect("a topic"),
            payload: payload.as_bytes(),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay: 0,
            message_expiry: None,
            properties: MessageProperties::default(),
        });
        let session_expiry = (self.persistent && self.version.is_v5()).then_some(3600);
        Packet::Connect(Box::new(Connect {
            version: self.version,
            client_id: &self.client_id,
            clean_start: !self.persistent,
            keep_alive: self.keep_alive,
            username: self.credentials.as_ref().map(|(name, _)| name.as_str()),
            password: self.credentials.as_ref().map(|(_, password)| password.as_bytes()),
            will,
            properties: ConnectProperties { session_expiry, ..ConnectProperties::default() },
        }))
    }
}

/// One connection that speaks MQTT. It does nothing by itself: no acknowledgement, no ping.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    version: Version,
    decoder: Decoder,
    unread: Vec<u8>,
    /// What of `unread` has been decoded.
    read: usize,
    next_id: u16,
}

impl Client {
    /// On a connection on which nothing has been sent.
    pub fn on(wire: Wire, version: Version) -> Self {
        let mut decoder = Decoder::new(mqtt::limits::VARINT_MAX);
        decoder.set_version(version);
        Self { wire, version, decoder, unread: Vec::new(), read: 0, next_id: 0 }
    }

    /// The same client on another stream of its QUIC connection.
    ///
    /// # Errors
    /// If the gateway allows no more streams.
    pub fn beside(&self) -> io::Result<Self> {
        Ok(Self::on(Wire::Quic(Box::new(self.quic().beside()?)), self.version))
    }

    /// As [`Client::beside`], on a stream that carries nothing to it.
    ///
    /// # Errors
    /// If the gateway allows no more streams.
    pub fn one_way(&self) -> io::Result<Self> {
        Ok(Self::on(Wire::Quic(Box::new(self.quic().one_way()?)), self.version))
    }

    fn quic(&self) -> &crate::QuicWire {
        let Wire::Quic(wire) = &self.wire else { panic!("{:?} is no QUIC", self.wire) };
        wire
    }

    /// The connection, as it is.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet that can be sent");
        self.send_raw(&bytes)
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    /// The next packet, which must come.
    pub fn receive(&mut self) -> Received {
        self.receive_within(PATIENCE).expect("the gateway answers")
    }

    /// The next packet, if it comes in time.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Received> {
        let until = Instant::now() + patience;
        loop {
            if let Some(received) = self.buffered() {
                return Some(received);
            }
            self.wire.set_patience(until.saturating_duration_since(Instant::now()));
            let mut bytes = [0; 16 * 1024];
            match self.wire.read(&mut bytes) {
                Ok(0) => return Some(Received::Closed),
                Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                Err(error) if is_timeout(&error) && Instant::now() < until => {}
                Err(error) if is_timeout(&error) => return None,
                Err(_) => return Some(Received::Closed),
            }
        }
    }

    /// The next packet, if it has been read already.
    pub fn buffered(&mut self) -> Option<Received> {
        let unread = &self.unread[self.read..];
        match self.decoder.decode(unread).expect("the gateway sends packets") {
            Decoded::Packet { packet, len } => {
                let received = Received::from(&packet);
                self.read += len;
                Some(received)
            }
            Decoded::Incomplete { .. } => {
                self.unread.drain(..self.read);
                self.read = 0;
                None
            }
        }
    }

    /// Subscribes to one filter; gives what SUBACK says.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let mut filters = SubscribeFiltersBuf::default();
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        filters.push(TopicFilter::new(filter).expect("a filter"), options).expect("a subscription");
        let subscribe = Subscribe {
            packet_id: self.fresh_id(),
            subscription_id: None,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        };
        self.send(&Packet::Subscribe(subscribe)).expect("the connection is there");
        match self.receive() {
            Received::SubAck(codes) => codes[0],
            other => panic!("{filter}: {other:?} instead of SUBACK"),
        }
    }

    /// Sends a message with a packet identifier of its own, which it gives; 0 at QoS 0.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> u16 {
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.fresh_id());
        let topic = TopicName::new(topic).expect("a topic");
        let publish = Publish { qos, retain, packet_id, ..Publish::new(topic, payload) };
        self.send(&Packet::Publish(publish)).expect("the connection is there");
        packet_id.map_or(0, PacketId::get)
    }

    /// Sends a message at QoS 1 and waits for its PUBACK; gives what that says.
    pub fn publish_and_wait(&mut self, topic: &str, payload: &[u8], retain: bool) -> ReasonCode {
        let sent = self.publish(topic, payload, QoS::AtLeastOnce, retain);
        match self.receive() {
            Received::Ack(PacketKind::PubAck, id, code) if id == sent => code,
            other => panic!("{topic}: {other:?} instead of PUBACK {sent}"),
        }
    }

    /// The next packet must be a message; it is acknowledged.
    pub fn message(&mut self) -> Message {
        match self.receive() {
            Received::Publish(message) => {
                self.acknowledge(&message).expect("the connection is there");
                message
            }
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Answers a message with what its QoS asks for first.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn acknowledge(&mut self, message: &Message) -> io::Result<()> {
        match message.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.ack(PacketKind::PubAck, message.id),
            QoS::ExactlyOnce => self.ack(PacketKind::PubRec, message.id),
        }
    }

    /// Sends an acknowledgement that says success.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn ack(&mut self, kind: PacketKind, id: u16) -> io::Result<()> {
        let id = PacketId::new(id).expect("a packet identifier");
        let ack = Ack::new(id, ReasonCode::Success);
        self.send(&match kind {
            PacketKind::PubAck => Packet::PubAck(ack),
            PacketKind::PubRec => Packet::PubRec(ack),
            PacketKind::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        })
    }

    /// Sends a message at QoS 1 to a topic that it has subscribed to, and waits for it and for its acknowledgement.
    pub fn round_trip(&mut self, topic: &str) {
        self.publish(topic, b"round", QoS::AtLeastOnce, false);
        let (mut arrived, mut acknowledged) = (false, false);
        while !(arrived && acknowledged) {
            match self.receive() {
                Received::Publish(message) => {
                    self.acknowledge(&message).expect("the connection is there");
                    arrived = true;
                }
                Received::Ack(PacketKind::PubAck, _, ReasonCode::Success) => acknowledged = true,
                other => panic!("{other:?} for a client that sends to itself"),
            }
        }
    }

    /// PINGREQ, and whether PINGRESP comes.
    pub fn pings(&mut self) -> bool {
        self.send(&Packet::PingReq).is_ok() && self.receive() == Received::Pong
    }

    /// Leaves in order.
    pub fn leave(mut self) {
        self.send(&Packet::Disconnect(Disconnect::default())).expect("the connection is there");
        assert!(self.wire.closes_within(PATIENCE), "the gateway closes after DISCONNECT");
    }

    /// What it speaks on.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// The version it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    fn fresh_id(&mut self) -> PacketId {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        PacketId::new(self.next_id).expect("it is not 0")
    }
}

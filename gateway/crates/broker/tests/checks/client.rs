use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mqtt::{Ack, Connect, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode, Version};
use portcullis_broker::{LinkId, Question, Settings, Timestamp};

use super::{Reached, packets};

pub(crate) const ALL: &[&str] = &[
    "welcomed",
    "session present",
    "got QoS 0",
    "got QoS 1",
    "got QoS 2",
    "got it again",
    "confirmed too early",
    "told to release",
    "granted",
    "told why it ends",
];

/// What a client knows, and what it holds the gateway to.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) connection: Option<Connection>,
    /// QoS 2 messages that came and were not released, in this session.
    held: BTreeMap<PacketId, Vec<u8>>,
}

/// One connection of a client.
pub(crate) struct Connection {
    pub(crate) link: LinkId,
    pub(crate) version: Version,
    clean: bool,
    /// Publishes above QoS 0 that it takes at a time.
    window: usize,
    max_packet_size: usize,
    alias_max: u16,
    aliases: BTreeMap<u16, String>,
    welcome: bool,
    closed: bool,
    /// Reads what the client itself sends.
    sent: Decoder,
    unread: Vec<u8>,
    /// What came on this connection and is not confirmed; whether PUBREC was sent.
    open: BTreeMap<PacketId, (QoS, bool)>,
    /// What it confirmed before it saw it. The gateway may have written it by then, and so be
    /// ahead of what the client knows.
    early: BTreeSet<PacketId>,
    /// Its socket takes nothing at the moment.
    pub(crate) stalled: bool,
    /// Acknowledgements that are due.
    replies: VecDeque<Vec<u8>>,
    /// What the extension has to say before the gateway goes on.
    pub(crate) asked: Option<Question>,
    /// How long it may be silent, and when it was heard last.
    patience: Option<Duration>,
    pub(crate) heard: Timestamp,
    pub(crate) principal: &'static str,
    /// When its authorization runs out.
    pub(crate) valid_until: Option<Timestamp>,
    /// The end of what it sends, still on its way.
    pub(crate) underway: Vec<u8>,
    /// What arrived behind a packet that waits for the extension.
    pub(crate) waiting: Vec<u8>,
}

impl Client {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, connection: None, held: BTreeMap::new() }
    }

    pub(crate) fn connected(
        &mut self,
        now: Timestamp,
        link: LinkId,
        connect: &Connect<'_>,
        settings: &Settings,
    ) {
        let properties = &connect.properties;
        let keep_alive = match (settings.max_keep_alive, connect.keep_alive) {
            (0, asked) => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        };
        let mut sent = Decoder::new(u32::MAX);
        sent.set_version(connect.version);
        self.connection = Some(Connection {
            link,
            version: connect.version,
            clean: connect.clean_start,
            window: properties
                .receive_maximum
                .unwrap_or(u16::MAX)
                .min(settings.max_inflight)
                .into(),
            max_packet_size: properties.maximum_packet_size.map_or(usize::MAX, |max| max as usize),
            alias_max: properties.topic_alias_maximum.unwrap_or(0),
            aliases: BTreeMap::new(),
            welcome: false,
            closed: false,
            sent,
            unread: Vec::new(),
            open: BTreeMap::new(),
            early: BTreeSet::new(),
            stalled: false,
            replies: VecDeque::new(),
            asked: None,
            patience: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
            heard: now,
            principal: "",
            valid_until: None,
            underway: Vec::new(),
            waiting: Vec::new(),
        });
    }

    /// Nothing waits for the disk: whatever the gateway wrote because of what it got has been read.
    pub(crate) fn catches_up(&mut self) {
        let connection = self.connection.as_mut();
        if let Some(connection) =
            connection.filter(|c| c.welcome && !c.stalled && c.asked.is_none())
        {
            connection.early.clear();
        }
    }

    /// Its session is over, and with it what it held back.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// Looks at what the client sends: which exchanges it ends.
    pub(crate) fn sends(&mut self, bytes: &[u8]) {
        let Some(connection) = self.connection.as_mut() else { return };
        connection.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut connection.unread);
        let mut rest = &unread[..];
        while let Ok(Decoded::Packet { packet, len }) = connection.sent.decode(rest) {
            if let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) = &packet
                && !connection.open.contains_key(&ack.packet_id)
            {
                connection.early.insert(ack.packet_id);
                self.held.remove(&ack.packet_id);
            }
            let ended = match packet {
                Packet::PubAck(ack) => connection.ends(&ack, QoS::AtLeastOnce, false),
                Packet::PubRec(ack) if ack.code.is_error() => {
                    connection.ends(&ack, QoS::ExactlyOnce, false)
                }
                Packet::PubRec(ack) => {
                    if let Some((QoS::ExactlyOnce, received)) =
                        connection.open.get_mut(&ack.packet_id)
                    {
                        *received = true;
                    }
                    None
                }
                Packet::PubComp(ack) => connection.ends(&ack, QoS::ExactlyOnce, true),
                _ => None,
            };
            ended.map(|packet_id| self.held.remove(&packet_id));
            rest = &rest[len..];
        }
        connection.unread = rest.to_vec();
    }

    /// Looks at what the gateway wrote.
    pub(crate) fn reads(&mut self, wire: &mut Vec<u8>, reached: &mut Reached) {
        let Some(connection) = self.connection.as_mut() else { return };
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(connection.version);
        let bytes = std::mem::take(wire);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (packet, len) = match decoder.decode(rest) {
                Ok(Decoded::Packet { packet, len }) => (packet, len),
                other => panic!("{}: {other:?} in {rest:02X?}", self.name),
            };
            let max = connection.max_packet_size;
            assert!(len <= max, "{}: {len} bytes, it takes {max}: {packet:?}", self.name);
            assert!(!connection.closed, "{}: {packet:?} after DISCONNECT", self.name);
            let greeting = matches!(packet, Packet::ConnAck(_));
            assert_ne!(greeting, connection.welcome, "{}: out of order: {packet:?}", self.name);
            connection.handle(&packet, &mut self.held, reached);
            rest = &rest[len..];
        }
    }

    /// Bytes of the next acknowledgement that is due.
    pub(crate) fn reply(&mut self) -> Option<Vec<u8>> {
        self.connection.as_mut()?.replies.pop_front()
    }
}

impl Connection {
    /// An identifier that the gateway uses, the `choice`th.
    pub(crate) fn known(&self, choice: usize) -> Option<PacketId> {
        let index = choice.checked_rem(self.open.len())?;
        self.open.keys().nth(index).copied()
    }

    /// Whether the gateway must have closed it by now.
    pub(crate) fn is_over(&self, now: Timestamp, excused: bool) -> bool {
        let silent =
            !excused && self.patience.is_some_and(|patience| self.heard.after(patience) <= now);
        silent || self.valid_until.is_some_and(|until| until <= now)
    }

    /// Whether nothing of an exchange is left. Whoever stopped within a packet cannot end any.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.unread.is_empty() || self.replies.is_empty() && self.open.is_empty()
    }

    fn ends(&mut self, ack: &Ack<'_>, qos: QoS, received: bool) -> Option<PacketId> {
        let ends = self.open.get(&ack.packet_id) == Some(&(qos, received));
        ends.then(|| self.open.remove(&ack.packet_id)).map(|_| ack.packet_id)
    }

    fn handle(
        &mut self,
        packet: &Packet<'_>,
        held: &mut BTreeMap<PacketId, Vec<u8>>,
        reached: &mut Reached,
    ) {
        reached.insert(match packet {
            Packet::ConnAck(connack) => {
                assert_eq!(connack.code, ReasonCode::Success);
                assert!(!(connack.session_present && self.clean), "a clean start finds a session");
                self.welcome = true;
                if connack.session_present {
                    "session present"
                } else {
                    held.clear();
                    "welcomed"
                }
            }
            Packet::Publish(publish) => self.receive(publish, held),
            Packet::PubRel(ack) => {
                held.remove(&ack.packet_id);
                self.answer(&Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success)));
                "told to release"
            }
            Packet::PubRec(ack) => {
                if !ack.code.is_error() {
                    self.answer(&Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success)));
                }
                "granted"
            }
            Packet::Disconnect(_) => {
                assert_eq!(self.version, Version::V5, "DISCONNECT of a server is new in MQTT 5");
                self.closed = true;
                "told why it ends"
            }
            Packet::PubAck(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::Auth(_)
            | Packet::PingResp => "granted",
            other => panic!("a server sends no {other:?}"),
        });
    }

    fn receive(
        &mut self,
        publish: &Publish<'_>,
        held: &mut BTreeMap<PacketId, Vec<u8>>,
    ) -> &'static str {
        self.check_alias(publish);
        let Some(packet_id) = publish.packet_id else { return "got QoS 0" };
        if self.early.contains(&packet_id) {
            return "confirmed too early";
        }
        let before = self.open.insert(packet_id, (publish.qos, false));
        assert_eq!(before, None, "{packet_id:?} is in use: {publish:?}");
        let (open, window) = (self.open.len(), self.window);
        assert!(open <= window, "{open} are unacknowledged, the Receive Maximum is {window}");
        if publish.qos == QoS::AtLeastOnce {
            self.answer(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
            return if publish.dup { "got it again" } else { "got QoS 1" };
        }
        self.answer(&Packet::PubRec(Ack::new(packet_id, ReasonCode::Success)));
        if let Some(payload) = held.insert(packet_id, publish.payload.to_vec()) {
            assert!(publish.dup, "{packet_id:?} was not released: {publish:?}");
            assert_eq!(payload, publish.payload, "{packet_id:?} comes with another message");
            return "got it again";
        }
        "got QoS 2"
    }

    fn check_alias(&mut self, publish: &Publish<'_>) {
        let Some(alias) = publish.topic_alias.map(|alias| alias.get()) else {
            assert!(publish.topic.is_some(), "no topic: {publish:?}");
            return;
        };
        assert!(alias <= self.alias_max, "alias {alias} of {}", self.alias_max);
        match publish.topic {
            Some(topic) => drop(self.aliases.insert(alias, topic.as_str().to_owned())),
            None => assert!(self.aliases.contains_key(&alias), "alias {alias} stands for nothing"),
        }
    }

    fn answer(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packets::write(packet, self.version, &mut bytes);
        self.replies.push_back(bytes);
    }
}

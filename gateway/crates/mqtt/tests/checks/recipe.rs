use std::num::NonZeroU16;

use portcullis_mqtt::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    MessagePropertiesBuf, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, SubAck,
    Subscribe, SubscribeFiltersBuf, SubscribeOptions, SubscriptionIdsBuf, TopicFilter, TopicName,
    TopicNameBuf, UnsubAck, Unsubscribe, UnsubscribeFiltersBuf, UserPropertiesBuf, Version, Will,
};

/// What a packet is made of, taken from any bytes. One that is `tame` keeps the rules and can be
/// encoded; another may break them.
pub(crate) struct Recipe {
    pub(crate) version: Version,
    pub(crate) kind: PacketKind,
    pub(crate) tame: bool,
    bits: u8,
    qos: QoS,
    packet_id: PacketId,
    code: ReasonCode,
    codes: Vec<ReasonCode>,
    topic: TopicNameBuf,
    texts: [Option<String>; 5],
    data: [Option<Vec<u8>>; 2],
    numbers: [Option<u32>; 4],
    shorts: [Option<u16>; 3],
    user: UserPropertiesBuf,
    message: MessagePropertiesBuf,
    ids: SubscriptionIdsBuf,
    filters: SubscribeFiltersBuf,
    unsubscribed: UnsubscribeFiltersBuf,
    payload: Vec<u8>,
}

impl Recipe {
    /// Takes every choice from the front of `input`, and 0 when there is no more.
    pub(crate) fn new(input: &[u8]) -> Self {
        let [head, bits, high, low] = take(input);
        let kind = PacketKind::from_u8(head % 15 + 1).expect("1 to 15 are packet types");
        let tame = head < 0xC0;
        let version = match bits & 0x80 != 0 || kind == PacketKind::Auth && tame {
            true => Version::V5,
            false => Version::V3_1_1,
        };
        let mut source = Source { rest: input.get(4..).unwrap_or_default(), tame };
        let lawless = !tame && source.byte() >= 0xC0;
        let allowed = |code: &ReasonCode| kind.allows(*code) || lawless;
        let allowed = ReasonCode::ALL.iter().copied().filter(allowed).collect::<Vec<_>>();
        let code = source.pick(&allowed).unwrap_or(ReasonCode::Success);
        let count = source.count().max(usize::from(tame));
        let codes = (0..count).map(|_| source.pick(&allowed).unwrap_or(code)).collect();
        let (filters, unsubscribed) = source.filters();
        Self {
            version,
            kind,
            tame,
            bits,
            qos: QoS::from_u8(bits >> 5 & 0b11).unwrap_or_default(),
            packet_id: PacketId::new(u16::from_be_bytes([high, low])).unwrap_or(PacketId::MIN),
            code,
            codes,
            topic: source.topic(),
            texts: std::array::from_fn(|_| source.text()),
            data: std::array::from_fn(|_| source.data()),
            numbers: std::array::from_fn(|_| source.number()),
            shorts: std::array::from_fn(|_| source.number().map(|number| number as u16)),
            user: source.user(),
            message: source.message(),
            ids: source.ids(),
            filters,
            unsubscribed,
            payload: source.rest.to_vec(),
        }
    }

    /// The packet.
    pub(crate) fn packet(&self) -> Packet<'_> {
        match self.kind {
            PacketKind::Connect => Packet::Connect(Box::new(self.connect())),
            PacketKind::ConnAck => Packet::ConnAck(Box::new(self.connack())),
            PacketKind::Publish => Packet::Publish(self.publish()),
            PacketKind::PubAck => Packet::PubAck(self.ack()),
            PacketKind::PubRec => Packet::PubRec(self.ack()),
            PacketKind::PubRel => Packet::PubRel(self.ack()),
            PacketKind::PubComp => Packet::PubComp(self.ack()),
            PacketKind::Subscribe => Packet::Subscribe(Subscribe {
                packet_id: self.packet_id,
                subscription_id: self.numbers[0].map(|id| {
                    if self.tame { id % portcullis_mqtt::limits::VARINT_MAX + 1 } else { id }
                }),
                user: self.user.as_ref(),
                filters: self.filters.as_ref(),
            }),
            PacketKind::SubAck => Packet::SubAck(SubAck {
                reason: self.text(0),
                user: self.user.as_ref(),
                ..SubAck::new(self.packet_id, &self.codes[..])
            }),
            PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe {
                packet_id: self.packet_id,
                user: self.user.as_ref(),
                filters: self.unsubscribed.as_ref(),
            }),
            PacketKind::UnsubAck => Packet::UnsubAck(UnsubAck {
                reason: self.text(0),
                user: self.user.as_ref(),
                ..UnsubAck::new(self.packet_id, &self.codes[..])
            }),
            PacketKind::PingReq => Packet::PingReq,
            PacketKind::PingResp => Packet::PingResp,
            PacketKind::Disconnect => Packet::Disconnect(Disconnect {
                code: self.code,
                session_expiry: self.numbers[0],
                reason: self.text(0),
                server_reference: self.text(1),
                user: self.user.as_ref(),
            }),
            PacketKind::Auth => Packet::Auth(Auth {
                code: self.code,
                method: self.text(0).or(self.tame.then_some("m")),
                data: self.data[0].as_deref(),
                reason: self.text(1),
                user: self.user.as_ref(),
            }),
        }
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.texts[at].as_deref()
    }

    fn bit(&self, at: u8) -> bool {
        self.bits >> at & 1 != 0
    }

    /// A number that may not be 0, where rules are kept.
    fn positive<T: Copy + Default + PartialEq>(&self, number: Option<T>) -> Option<T> {
        number.filter(|number| !self.tame || *number != T::default())
    }

    fn ack(&self) -> Ack<'_> {
        let Self { packet_id, code, .. } = *self;
        Ack { packet_id, code, reason: self.text(0), user: self.user.as_ref() }
    }

    fn publish(&self) -> Publish<'_> {
        let confirmed = self.qos != QoS::AtMostOnce;
        let alias = self.shorts[0].and_then(NonZeroU16::new);
        let named = self.bit(0) || self.tame && (alias.is_none() || !self.version.is_v5());
        Publish {
            dup: self.bit(1) && (confirmed || !self.tame),
            qos: self.qos,
            retain: self.bit(2),
            topic: named.then_some(self.topic.as_topic()),
            packet_id: (confirmed != (!self.tame && self.bit(3))).then_some(self.packet_id),
            topic_alias: alias,
            message_expiry: self.numbers[0],
            subscription_ids: self.ids.as_ref(),
            properties: self.message.as_ref(),
            payload: &self.payload,
        }
    }

    fn connect(&self) -> Connect<'_> {
        let named = self.texts[1].is_some() || self.version.is_v5() || !self.tame;
        let authenticated = self.texts[2].is_some() || !self.tame;
        let will = Will {
            topic: self.topic.as_topic(),
            payload: &self.payload,
            qos: self.qos,
            retain: self.bit(2),
            delay: self.numbers[0].unwrap_or(0),
            message_expiry: self.numbers[1],
            properties: self.message.as_ref(),
        };
        Connect {
            version: self.version,
            client_id: self.text(0).unwrap_or(""),
            clean_start: self.bit(0),
            keep_alive: self.shorts[0].unwrap_or(0),
            username: self.text(1),
            password: self.data[0].as_deref().filter(|_| named),
            will: self.bit(1).then_some(will),
            properties: ConnectProperties {
                session_expiry: self.numbers[2],
                receive_maximum: self.positive(self.shorts[1]),
                maximum_packet_size: self.positive(self.numbers[3]),
                topic_alias_maximum: self.shorts[2],
                request_response_information: self.bit(3),
                request_problem_information: self.bit(4),
                authentication_method: self.text(2),
                authentication_data: self.data[1].as_deref().filter(|_| authenticated),
                user: self.user.as_ref(),
            },
        }
    }

    fn connack(&self) -> ConnAck<'_> {
        let flag = |at: usize| self.numbers[at].map(|number| number % 2 == 1);
        let maximum_qos = self.shorts[2].map(|_| self.qos);
        ConnAck {
            session_present: self.bit(0) && !(self.tame && self.code.is_error()),
            code: self.code,
            properties: ConnAckProperties {
                session_expiry: self.numbers[0],
                receive_maximum: self.positive(self.shorts[0]),
                maximum_qos: maximum_qos.filter(|qos| !self.tame || *qos != QoS::ExactlyOnce),
                retain_available: flag(0),
                maximum_packet_size: self.positive(self.numbers[1]),
                assigned_client_id: self.text(0),
                topic_alias_maximum: self.shorts[1],
                reason: self.text(1),
                user: self.user.as_ref(),
                wildcard_available: flag(1),
                subscription_ids_available: flag(2),
                shared_available: flag(3),
                server_keep_alive: self.shorts[2],
                response_information: self.text(2),
                server_reference: self.text(3),
                authentication_method: self.text(4),
                authentication_data: self.data[0].as_deref(),
            },
        }
    }
}

/// Bytes from which choices are made.
struct Source<'a> {
    rest: &'a [u8],
    tame: bool,
}

/// Pieces of strings: one to four bytes long in UTF-8, and what topics give a meaning to.
const PIECES: [&str; 8] = ["a", "b/", "é", "\u{FEFF}", "温", "\u{10FFFF}", "$", " "];

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let [byte] = take(self.rest);
        self.rest = self.rest.get(1..).unwrap_or_default();
        byte
    }

    fn count(&mut self) -> usize {
        usize::from(self.byte() % 4)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = usize::from(self.byte()).checked_rem(from.len())?;
        from.get(at).copied()
    }

    fn number(&mut self) -> Option<u32> {
        match self.byte() {
            0..0x60 => None,
            0x60..0x68 => Some(0),
            0x68..0x70 => Some(u32::MAX),
            0x70..0xA0 => Some(self.byte().into()),
            _ => Some(u32::from_be_bytes(std::array::from_fn(|_| self.byte()))),
        }
    }

    /// A string; without rules it may hold U+0000 or be longer than its length can say.
    fn string(&mut self) -> String {
        let len = self.byte();
        match len {
            0xFF if !self.tame => return "x".repeat(65_536),
            0xE0..=0xFE if !self.tame => return "\0".to_owned(),
            0xFF => return "y".repeat(65_535),
            _ => {}
        }
        (0..len % 16).filter_map(|_| self.pick(&PIECES)).collect()
    }

    fn text(&mut self) -> Option<String> {
        self.byte().is_multiple_of(3).then(|| self.string())
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        Some(self.text()?.into_bytes().into_iter().rev().collect())
    }

    fn topic(&mut self) -> TopicNameBuf {
        let text = self.string();
        TopicNameBuf::new(&text).unwrap_or_else(|_| TopicName::new("t").expect("a name").to_owned())
    }

    fn user(&mut self) -> UserPropertiesBuf {
        let mut user = UserPropertiesBuf::default();
        for _ in 0..self.count() {
            let (name, value) = (self.string(), self.string());
            let refused = user.push(&name, &value).is_err();
            assert_eq!(
                refused,
                [name, value].iter().any(|text| text == "\0" || text.len() > 65_535)
            );
        }
        user
    }

    fn message(&mut self) -> MessagePropertiesBuf {
        let mut built = MessagePropertiesBuf::default();
        for _ in 0..self.byte() % 8 {
            let text = self.string();
            let before = built.clone();
            let next = match self.byte() % 5 {
                0 => Ok(built.payload_format_utf8(text.len().is_multiple_of(2))),
                1 => built.content_type(&text),
                2 => Ok(built.response_topic(self.topic().as_topic())),
                3 => built.correlation_data(text.as_bytes()),
                _ => built.user(&text, "value"),
            };
            built = next.unwrap_or(before);
        }
        built
    }

    fn ids(&mut self) -> SubscriptionIdsBuf {
        let mut ids = SubscriptionIdsBuf::default();
        for _ in 0..self.count() {
            let id = self.number().unwrap_or(1);
            let refused = ids.push(id).is_err();
            assert_eq!(refused, id == 0 || id > portcullis_mqtt::limits::VARINT_MAX, "{id}");
        }
        ids
    }

    /// The same filters for SUBSCRIBE and UNSUBSCRIBE; at least one, where rules are kept.
    fn filters(&mut self) -> (SubscribeFiltersBuf, UnsubscribeFiltersBuf) {
        let mut both = (SubscribeFiltersBuf::default(), UnsubscribeFiltersBuf::default());
        for _ in 0..self.count().max(usize::from(self.tame)) {
            let end = ["", "/#", "/+", "/+/#"][self.count()];
            let start = ["t", "$share/g/", "+/", "/"][self.count()];
            let text = format!("{start}{}{end}", self.string());
            let filter =
                TopicFilter::new(&text).or_else(|_| TopicFilter::new("#")).expect("a filter");
            let mut options = SubscribeOptions::from_u8(self.byte() & 0x3F).unwrap_or_default();
            options.no_local &= filter.share_group().is_none();
            both.0.push(filter, options).expect("options that agree with the filter");
            both.1.push(filter);
        }
        both
    }
}

/// The first bytes of `input`, with zeros where there are none.
fn take<const N: usize>(input: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| input.get(at).copied().unwrap_or(0))
}

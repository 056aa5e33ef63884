//! Packets in words, as scripts write them:
//!
//! ```text
//! connect id=alice v5|v311|v31 clean expiry=60 keepalive=10 window=2 max-packet=100 aliases=9 no-reasons
//!         will=topic:payload will-qos=1 will-retain will-delay=5 will-expiry=9 as=NAME principal=NAME
//! connack 0 present=0            subscribe 1 t/#:1 u:2:nl:rap:rh1     suback 1 [0 0x87]
//! publish t/x hello qos=1 id=7 dup retain expiry=5 alias=1
//!         utf8 user=a:1 user=b:2       (of the broker also: sub-id=N)
//! puback 7  pubrec 7 0x97 why  pubrel 7  pubcomp 7   unsubscribe 2 t/#    unsuback 2 [0]
//! ping  pong  disconnect 0x04 expiry=9  auth 0x19 method=m data=text
//! ```

use std::num::NonZeroU16;

use auth::{Excess, Limits, Rate};
use mqtt::{
    Ack, Auth, Connect, ConnectProperties, Decoded, Decoder, Disconnect, MessagePropertiesBuf,
    Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling, SubscribeFiltersBuf,
    SubscribeOptions, TopicFilter, TopicName, UnsubscribeFiltersBuf, Version, Will,
};
use portcullis_broker::Memory;

/// The words of one line: plain ones in order, `key=value` ones by key.
pub(crate) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    /// The plain word at `index`.
    pub(crate) fn plain(&self, index: usize) -> &'a str {
        self.0.get(index).unwrap_or_else(|| panic!("word {index} is missing in {:?}", self.0))
    }

    pub(crate) fn from(&self, index: usize) -> &[&'a str] {
        self.0.get(index..).unwrap_or_default()
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub(crate) fn number(&self, key: &str) -> Option<u32> {
        self.value(key).map(number)
    }
}

/// The packets that the broker wrote, in words.
pub(crate) fn packets(bytes: &[u8], version: Version) -> Vec<String> {
    let mut decoder = Decoder::new(u32::MAX);
    decoder.set_version(version);
    let (mut rest, mut said) = (bytes, Vec::new());
    while let Decoded::Packet { packet, len } =
        decoder.decode(rest).expect("the broker speaks MQTT")
    {
        said.push(say(&packet));
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "the broker writes whole packets");
    said
}

/// A number, decimal or hexadecimal.
pub(crate) fn number(word: &str) -> u32 {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{word:?} is not a number"))
}

fn small(number: u32) -> u16 {
    u16::try_from(number).expect("a number up to 65535")
}

fn id(number: u32) -> PacketId {
    PacketId::new(small(number)).expect("identifiers are not 0")
}

pub(crate) fn qos(number: u32) -> QoS {
    QoS::from_u8(u8::try_from(number).expect("a QoS")).expect("a QoS")
}

pub(crate) fn code(word: &str) -> ReasonCode {
    let byte = u8::try_from(number(word)).expect("a byte");
    ReasonCode::from_u8(byte).unwrap_or_else(|| panic!("{word} is not a reason code"))
}

fn topic(word: &str) -> TopicName<'_> {
    TopicName::new(word).unwrap_or_else(|error| panic!("{word:?}: {error}"))
}

fn filter(word: &str) -> TopicFilter<'_> {
    TopicFilter::new(word).unwrap_or_else(|error| panic!("{word:?}: {error}"))
}

/// A CONNECT.
pub(crate) fn connect<'a>(words: &Words<'a>) -> Connect<'a> {
    let will = words.value("will").map(|will| {
        let (name, payload) = will.split_once(':').expect("will=topic:payload");
        Will {
            topic: topic(name),
            payload: payload.as_bytes(),
            qos: qos(words.number("will-qos").unwrap_or(0)),
            retain: words.has("will-retain"),
            delay: words.number("will-delay").unwrap_or(0),
            message_expiry: words.number("will-expiry"),
            properties: mqtt::MessageProperties::default(),
        }
    });
    Connect {
        version: match (words.has("v31"), words.has("v311")) {
            (true, _) => Version::V3_1,
            (false, true) => Version::V3_1_1,
            (false, false) => Version::V5,
        },
        client_id: words.value("id").unwrap_or_default(),
        clean_start: words.has("clean"),
        keep_alive: small(words.number("keepalive").unwrap_or(0)),
        username: None,
        password: None,
        will,
        properties: ConnectProperties {
            session_expiry: words.number("expiry"),
            receive_maximum: words.number("window").map(small),
            maximum_packet_size: words.number("max-packet"),
            topic_alias_maximum: words.number("aliases").map(small),
            request_problem_information: !words.has("no-reasons"),
            authentication_method: words.value("method"),
            ..ConnectProperties::default()
        },
    }
}

/// How much a client may do: `messages=10/20` is 10 in a second and 20 at once.
pub(crate) fn limits(words: &Words<'_>) -> Limits {
    let rate = |key| {
        let (per_second, burst) = words.value(key)?.split_once('/').expect("RATE/BURST");
        Some(Rate { per_second: number(per_second), burst: number(burst) })
    };
    Limits {
        messages: rate("messages"),
        bytes: rate("bytes"),
        excess: match words.value("excess") {
            Some("disconnect") => Excess::Disconnect,
            _ => Excess::Delay,
        },
        max_inflight: words.number("max-inflight").map(small),
        max_subscriptions: words.number("max-subscriptions"),
    }
}

/// How much memory there is.
pub(crate) fn memory(word: &str) -> Memory {
    match word {
        "ample" => Memory::Ample,
        "tight" => Memory::Tight,
        "full" => Memory::Full,
        _ => panic!("{word:?} is not known"),
    }
}

/// The bytes of any other packet.
pub(crate) fn encode(words: &Words<'_>, version: Version) -> Vec<u8> {
    let ack = || Ack::new(id(number(words.plain(1))), code(words.0.get(2).unwrap_or(&"0")));
    let mut subscribed = SubscribeFiltersBuf::default();
    let mut unsubscribed = UnsubscribeFiltersBuf::default();
    let second = connect(words);
    let packet = match words.plain(0) {
        "raw" => {
            let byte = |word: &&str| u8::from_str_radix(word, 16).expect("a byte in hexadecimal");
            return words.from(1).iter().map(byte).collect();
        }
        "connect" => Packet::Connect(Box::new(second)),
        "publish" => {
            let properties = properties(words);
            let publish = Publish { properties: properties.as_ref(), ..publish(words) };
            return encoded(&Packet::Publish(publish), version);
        }
        "puback" => Packet::PubAck(ack()),
        "pubrec" => Packet::PubRec(ack()),
        "pubrel" => Packet::PubRel(ack()),
        "pubcomp" => Packet::PubComp(ack()),
        "subscribe" => {
            for word in words.from(2).iter().filter(|word| !word.contains('=')) {
                let (name, options) = subscription(word);
                subscribed.push(filter(name), options).expect("a subscription");
            }
            Packet::Subscribe(mqtt::Subscribe {
                packet_id: id(number(words.plain(1))),
                subscription_id: words.number("sub-id"),
                user: mqtt::UserProperties::default(),
                filters: subscribed.as_ref(),
            })
        }
        "unsubscribe" => {
            words.from(2).iter().for_each(|word| unsubscribed.push(filter(word)));
            Packet::Unsubscribe(mqtt::Unsubscribe {
                packet_id: id(number(words.plain(1))),
                user: mqtt::UserProperties::default(),
                filters: unsubscribed.as_ref(),
            })
        }
        "ping" => Packet::PingReq,
        "pong" => Packet::PingResp,
        "disconnect" => Packet::Disconnect(Disconnect {
            code: words.0.get(1).map_or(ReasonCode::Success, |word| code(word)),
            session_expiry: words.number("expiry"),
            ..Disconnect::default()
        }),
        "auth" => Packet::Auth(Auth {
            data: words.value("data").map(str::as_bytes),
            ..Auth::new(code(words.plain(1)), words.value("method"))
        }),
        other => panic!("there is no packet {other:?}"),
    };
    encoded(&packet, version)
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).expect("a packet that can be written");
    out
}

fn properties(words: &Words<'_>) -> MessagePropertiesBuf {
    let mut properties = MessagePropertiesBuf::default();
    if words.has("utf8") {
        properties = properties.payload_format_utf8(true);
    }
    if let Some(text) = words.value("type") {
        properties = properties.content_type(text).expect("a content type");
    }
    if let Some(name) = words.value("response") {
        properties = properties.response_topic(topic(name));
    }
    for word in words.0.iter().filter_map(|word| word.strip_prefix("user=")) {
        let (name, value) = word.split_once(':').expect("user=name:value");
        properties = properties.user(name, value).expect("a user property");
    }
    properties
}

fn publish<'a>(words: &Words<'a>) -> Publish<'a> {
    let name = words.plain(1);
    Publish {
        dup: words.has("dup"),
        qos: qos(words.number("qos").unwrap_or(0)),
        retain: words.has("retain"),
        topic: (name != "-").then(|| topic(name)),
        packet_id: words.number("id").map(id),
        topic_alias: words.number("alias").and_then(|alias| NonZeroU16::new(small(alias))),
        message_expiry: words.number("expiry"),
        ..Publish::new(topic("x"), payload(words.plain(2)))
    }
}

/// `-` is no payload, `not-utf8` two bytes that no text has.
fn payload(word: &str) -> &[u8] {
    match word {
        "-" => &[],
        "not-utf8" => &[0xC3, 0x28],
        text => text.as_bytes(),
    }
}

fn subscription(word: &str) -> (&str, SubscribeOptions) {
    let mut parts = word.split(':');
    let name = parts.next().unwrap_or_default();
    let mut options = SubscribeOptions::default();
    for part in parts {
        match part {
            "nl" => options.no_local = true,
            "rap" => options.retain_as_published = true,
            "rh1" => options.retain_handling = RetainHandling::SendIfNew,
            "rh2" => options.retain_handling = RetainHandling::DoNotSend,
            level => options.qos = qos(number(level)),
        }
    }
    (name, options)
}

/// A packet of the broker, in words.
pub(crate) fn say(packet: &Packet<'_>) -> String {
    let coded = |name: &str, ack: &Ack<'_>| match ack.code {
        ReasonCode::Success => format!("{name} {}", ack.packet_id.get()),
        code => {
            let why = if ack.reason.is_some() { " why" } else { "" };
            format!("{name} {} {}{why}", ack.packet_id.get(), hex(code))
        }
    };
    match packet {
        Packet::ConnAck(connack) => {
            let mut text = format!(
                "connack {} present={}",
                hex(connack.code),
                u8::from(connack.session_present)
            );
            let properties = &connack.properties;
            add(&mut text, "expiry", properties.session_expiry);
            add(&mut text, "keepalive", properties.server_keep_alive);
            add(&mut text, "id", properties.assigned_client_id);
            add(&mut text, "max-qos", properties.maximum_qos.map(QoS::as_u8));
            for (name, available) in [
                ("retain", properties.retain_available),
                ("wildcards", properties.wildcard_available),
                ("sub-ids", properties.subscription_ids_available),
                ("shared", properties.shared_available),
            ] {
                add(&mut text, name, available.map(u8::from));
            }
            add(&mut text, "method", properties.authentication_method);
            add(&mut text, "data", properties.authentication_data.map(String::from_utf8_lossy));
            text
        }
        Packet::Publish(publish) => say_publish(publish),
        Packet::PubAck(ack) => coded("puback", ack),
        Packet::PubRec(ack) => coded("pubrec", ack),
        Packet::PubRel(ack) => coded("pubrel", ack),
        Packet::PubComp(ack) => coded("pubcomp", ack),
        Packet::SubAck(ack) => {
            let why = if ack.reason.is_some() { " why" } else { "" };
            format!("suback {} {}{why}", ack.packet_id.get(), codes(&ack.codes))
        }
        Packet::UnsubAck(ack) => format!("unsuback {} {}", ack.packet_id.get(), codes(&ack.codes)),
        Packet::PingResp => "pong".to_owned(),
        Packet::Auth(auth) => {
            let mut text = format!("auth {}", hex(auth.code));
            add(&mut text, "method", auth.method);
            add(&mut text, "data", auth.data.map(String::from_utf8_lossy));
            text
        }
        Packet::Disconnect(disconnect) => format!("disconnect {}", hex(disconnect.code)),
        other => format!("{other:?}"),
    }
}

fn say_publish(publish: &Publish<'_>) -> String {
    let payload = match String::from_utf8_lossy(publish.payload) {
        text if text.is_empty() => "-".into(),
        text if text.len() > 40 => format!("{} bytes", text.len()).into(),
        text => text,
    };
    let mut text = format!("publish {} {payload}", publish.topic.map_or("-", TopicName::as_str));
    add(&mut text, "qos", Some(publish.qos.as_u8()).filter(|qos| *qos > 0));
    add(&mut text, "id", publish.packet_id.map(PacketId::get));
    for (flag, set) in [(" dup", publish.dup), (" retain", publish.retain)] {
        text.push_str(if set { flag } else { "" });
    }
    add(&mut text, "expiry", publish.message_expiry);
    add(&mut text, "alias", publish.topic_alias);
    for id in publish.subscription_ids.iter() {
        add(&mut text, "sub-id", Some(id));
    }
    if publish.properties.payload_format_utf8() {
        text.push_str(" utf8");
    }
    add(&mut text, "type", publish.properties.content_type());
    add(&mut text, "response", publish.properties.response_topic().map(TopicName::as_str));
    for (name, value) in publish.properties.user().iter() {
        add(&mut text, "user", Some(format!("{name}:{value}")));
    }
    text
}

fn add(text: &mut String, key: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        text.push_str(&format!(" {key}={value}"));
    }
}

fn codes(codes: &[ReasonCode]) -> String {
    format!("[{}]", codes.iter().map(|code| hex(*code)).collect::<Vec<_>>().join(" "))
}

pub(crate) fn hex(code: ReasonCode) -> String {
    match code.as_u8() {
        small @ 0..16 => small.to_string(),
        byte => format!("{byte:#04x}"),
    }
}

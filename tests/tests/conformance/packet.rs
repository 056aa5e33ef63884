//! Packets that a client sends, in words:
//!
//! ```text
//! connect v5|v311 id=alice clean keepalive=10 expiry=60 window=2 max-packet=100 alias-max=3
//!         no-problem-info response-info user-name=u password=p method=m data=d user=key:value
//!         will=topic:payload will-qos=1 will-retain will-delay=5 will-expiry=9 will-format will-type=T
//!         will-response=topic will-correlation=x will-user=key:value
//! publish t/x hello qos=1 id=7 dup retain alias=1 expiry=5 format type=T response=topic correlation=x user=key:value
//! puback 7 0x97  pubrec 7  pubrel 7  pubcomp 7  (reason=text user=key:value)
//! subscribe 1 t/#:1 u:2:nl:rap:rh1 sub-id=5 user=key:value      unsubscribe 2 t/# user=key:value
//! ping      disconnect 0x04 expiry=9 reason=text user=key:value      auth 0x18 method=m data=d
//! raw BYTES                                                      (see `raw`)
//! ```
//!
//! `-` is no topic or no payload; `200*x` is `x` two hundred times.

use std::num::NonZeroU16;

use mqtt::{
    Ack, Auth, Connect, ConnectProperties, Disconnect, MessagePropertiesBuf, Packet, PacketId,
    Publish, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, TopicName, Unsubscribe, UnsubscribeFiltersBuf, UserPropertiesBuf, Version, Will,
};

use crate::raw;
use crate::words::{Scope, Words, number, written_out};

/// The bytes of the packet that `line` describes.
pub(crate) fn bytes(line: &str, version: Version, scope: &Scope) -> Result<Vec<u8>, String> {
    let words = Words::of(line);
    let user = user(words.values("user"))?;
    let mut filters = SubscribeFiltersBuf::default();
    let mut names = UnsubscribeFiltersBuf::default();
    let ack = || -> Result<Ack<'_>, String> {
        let code = words.at(2).ok().filter(|word| !word.contains('='));
        let mut ack = Ack::new(id(words.at(1)?)?, reason_code(code.unwrap_or("0"))?);
        (ack.reason, ack.user) = (words.value("reason"), user.as_ref());
        Ok(ack)
    };
    let packet = match words.at(0)? {
        "raw" => return raw::bytes(words.all().get(1..).unwrap_or_default(), scope),
        "connect" => return connect(&words, scope),
        "publish" => return publish(&words, version, scope),
        "puback" => Packet::PubAck(ack()?),
        "pubrec" => Packet::PubRec(ack()?),
        "pubrel" => Packet::PubRel(ack()?),
        "pubcomp" => Packet::PubComp(ack()?),
        "subscribe" => {
            for word in words.all().iter().skip(2).filter(|word| !word.contains('=')) {
                let (name, options) = subscription(word)?;
                let name = scope.filter(name);
                let filter = TopicFilter::new(&name).map_err(|e| e.to_string())?;
                filters.push(filter, options).map_err(|e| e.to_string())?;
            }
            Packet::Subscribe(Subscribe {
                packet_id: id(words.at(1)?)?,
                subscription_id: words.number("sub-id")?,
                user: user.as_ref(),
                filters: filters.as_ref(),
            })
        }
        "unsubscribe" => {
            for word in words.all().iter().skip(2).filter(|word| !word.contains('=')) {
                let name = scope.filter(word);
                names.push(TopicFilter::new(&name).map_err(|e| e.to_string())?);
            }
            Packet::Unsubscribe(Unsubscribe {
                packet_id: id(words.at(1)?)?,
                user: user.as_ref(),
                filters: names.as_ref(),
            })
        }
        "ping" => Packet::PingReq,
        "disconnect" => Packet::Disconnect(Disconnect {
            code: reason_code(words.at(1).unwrap_or("0"))?,
            session_expiry: words.number("expiry")?,
            reason: words.value("reason"),
            server_reference: None,
            user: user.as_ref(),
        }),
        "auth" => {
            let mut auth = Auth::new(reason_code(words.at(1)?)?, words.value("method"));
            (auth.data, auth.user) = (words.value("data").map(str::as_bytes), user.as_ref());
            Packet::Auth(auth)
        }
        other => return Err(format!("there is no packet {other:?}")),
    };
    encoded(&packet, version)
}

/// The version of a CONNECT in words or bytes.
pub(crate) fn version(line: &str) -> Version {
    let words = Words::of(line);
    match words.has("v311") || line.contains(r#""MQTT" 04"#) || line.contains(r#""MQTT" 03"#) {
        true => Version::V3_1_1,
        false => Version::V5,
    }
}

fn encoded(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

fn connect(words: &Words<'_>, scope: &Scope) -> Result<Vec<u8>, String> {
    let will_words = words.value("will").map(|will| will.split_once(':').ok_or("topic:payload"));
    let will_words = will_words.transpose()?;
    let will_topic = scope.topic(will_words.map_or("", |(topic, _)| topic));
    let will_payload = written_out(will_words.map_or("", |(_, payload)| text(payload)));
    let will_properties = message_properties(words, "will-", scope)?;
    let will = match will_words {
        Some(_) => Some(Will {
            topic: topic(&will_topic)?,
            payload: will_payload.as_bytes(),
            qos: qos(words.number("will-qos")?)?,
            retain: words.has("will-retain"),
            delay: words.number("will-delay")?.unwrap_or(0),
            message_expiry: words.number("will-expiry")?,
            properties: will_properties.as_ref(),
        }),
        None => None,
    };
    let client_id = scope.client_id(words.value("id").unwrap_or_default());
    let user = user(words.values("user"))?;
    let connect = Connect {
        version: version(words.all().join(" ").as_str()),
        client_id: &client_id,
        clean_start: words.has("clean"),
        keep_alive: words.number("keepalive")?.unwrap_or(0),
        username: words.value("user-name"),
        password: words.value("password").map(str::as_bytes),
        will,
        properties: ConnectProperties {
            session_expiry: words.number("expiry")?,
            receive_maximum: words.number("window")?,
            maximum_packet_size: words.number("max-packet")?,
            topic_alias_maximum: words.number("alias-max")?,
            request_response_information: words.has("response-info"),
            request_problem_information: !words.has("no-problem-info"),
            authentication_method: words.value("method"),
            authentication_data: words.value("data").map(str::as_bytes),
            user: user.as_ref(),
        },
    };
    encoded(&Packet::Connect(Box::new(connect)), Version::V5)
}

fn publish(words: &Words<'_>, version: Version, scope: &Scope) -> Result<Vec<u8>, String> {
    let name = scope.topic(words.at(1)?);
    let payload = written_out(text(words.at(2)?));
    let properties = message_properties(words, "", scope)?;
    let alias: Option<u16> = words.number("alias")?;
    let packet_id = words.value("id").map(id).transpose()?;
    let topic = if words.at(1)? == "-" { None } else { Some(topic(&name)?) };
    let publish = Publish {
        dup: words.has("dup"),
        qos: qos(words.number("qos")?)?,
        retain: words.has("retain"),
        topic,
        packet_id,
        topic_alias: alias.and_then(NonZeroU16::new),
        message_expiry: words.number("expiry")?,
        subscription_ids: mqtt::SubscriptionIds::default(),
        properties: properties.as_ref(),
        payload: payload.as_bytes(),
    };
    encoded(&Packet::Publish(publish), version)
}

/// What a message keeps on its way; each key behind `prefix`.
fn message_properties(
    words: &Words<'_>,
    prefix: &str,
    scope: &Scope,
) -> Result<MessagePropertiesBuf, String> {
    let key = |name: &str| format!("{prefix}{name}");
    let mut properties = MessagePropertiesBuf::default();
    if words.has(&key("format")) {
        properties = properties.payload_format_utf8(true);
    }
    if let Some(text) = words.value(&key("type")) {
        properties = properties.content_type(text).map_err(|e| e.to_string())?;
    }
    if let Some(name) = words.value(&key("response")) {
        properties = properties.response_topic(topic(&scope.topic(name))?);
    }
    if let Some(data) = words.value(&key("correlation")) {
        properties = properties.correlation_data(data.as_bytes()).map_err(|e| e.to_string())?;
    }
    for pair in words.values(&key("user")) {
        let (name, value) = pair.split_once(':').ok_or("user=name:value")?;
        properties = properties.user(name, &written_out(value)).map_err(|e| e.to_string())?;
    }
    Ok(properties)
}

fn user<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<UserPropertiesBuf, String> {
    let mut user = UserPropertiesBuf::default();
    for pair in pairs {
        let (name, value) = pair.split_once(':').ok_or("user=name:value")?;
        user.push(name, &written_out(value)).map_err(|e| e.to_string())?;
    }
    Ok(user)
}

fn subscription(word: &str) -> Result<(&str, SubscribeOptions), String> {
    let mut parts = word.split(':');
    let name = parts.next().unwrap_or_default();
    let mut options = SubscribeOptions::default();
    for part in parts {
        match part {
            "nl" => options.no_local = true,
            "rap" => options.retain_as_published = true,
            "rh1" => options.retain_handling = RetainHandling::SendIfNew,
            "rh2" => options.retain_handling = RetainHandling::DoNotSend,
            level => options.qos = qos(Some(number(level)?))?,
        }
    }
    Ok((name, options))
}

fn topic(name: &str) -> Result<TopicName<'_>, String> {
    TopicName::new(name).map_err(|error| format!("{name:?}: {error}"))
}

/// `-` is none.
fn text(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

fn id(word: &str) -> Result<PacketId, String> {
    PacketId::new(number(word)?).ok_or_else(|| "a packet identifier is not 0".to_owned())
}

fn qos(level: Option<u8>) -> Result<QoS, String> {
    QoS::from_u8(level.unwrap_or(0)).ok_or_else(|| "a QoS is 0, 1 or 2".to_owned())
}

fn reason_code(word: &str) -> Result<ReasonCode, String> {
    ReasonCode::from_u8(number(word)?).ok_or_else(|| format!("{word} is no reason code"))
}

use std::time::Instant;

use mqtt::{
    Connect, Decoded, Decoder, Packet, Publish, QoS, Subscribe, SubscribeOptions, TopicName,
};

use crate::cloud::Cloud;

/// Reads what passes between a client and a broker, and finds what a cloud would not take.
#[derive(Debug)]
pub(crate) struct Censor {
    cloud: &'static Cloud,
    client: Half,
    broker: Half,
    subscriptions: usize,
    unconfirmed: usize,
    messages: Allowance,
    bytes: Allowance,
}

/// What may still be spent, of so much in a second.
#[derive(Debug)]
struct Allowance {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    fn of(rate: u32) -> Self {
        Self { rate: rate.into(), left: rate.into(), at: Instant::now() }
    }

    fn spend(&mut self, amount: usize) -> bool {
        let now = Instant::now();
        let since = now.duration_since(self.at).as_secs_f64();
        (self.at, self.left) = (now, (self.left + since * self.rate).min(self.rate));
        self.left -= u32::try_from(amount).map_or(f64::MAX, f64::from);
        self.left >= 0.0
    }
}

/// One direction.
#[derive(Debug)]
struct Half {
    decoder: Decoder,
    unread: Vec<u8>,
}

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It goes on, and CONNECT was among what came.
    LetIn,
    /// It ends with these bytes.
    Answer(&'static [u8]),
    /// It ends, for a reason.
    End(String),
}

/// CONNACK of 3.1.1 with code 1.
const OTHER_VERSION: &[u8] = &[0x20, 2, 0, 1];

impl Half {
    fn new() -> Self {
        Self { decoder: Decoder::new(mqtt::limits::VARINT_MAX), unread: Vec::new() }
    }
}

impl Censor {
    pub(crate) fn new(cloud: &'static Cloud) -> Self {
        Self {
            cloud,
            client: Half::new(),
            broker: Half::new(),
            subscriptions: 0,
            unconfirmed: 0,
            messages: Allowance::of(cloud.messages_per_second),
            bytes: Allowance::of(cloud.bytes_per_second),
        }
    }

    /// Bytes of the client; those that the broker is to get are put into `pass`.
    pub(crate) fn of_client(&mut self, bytes: &[u8], pass: &mut Vec<u8>) -> Verdict {
        self.client.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.client.unread);
        let (mut at, mut verdict) = (0, Verdict::Pass);
        loop {
            let len = match self.client.decoder.decode(&unread[at..]) {
                Ok(Decoded::Packet { packet, len }) => {
                    if let Packet::Publish(publish) = &packet {
                        let bytes = publish.payload.len();
                        if !(self.messages.spend(1) && self.bytes.spend(bytes)) {
                            return Verdict::End(
                                "messages or bytes faster than allowed".to_owned(),
                            );
                        }
                    }
                    match packet_verdict(self.cloud, &packet, len, self.subscriptions) {
                        Ok(Found::Version(version)) => {
                            self.client.decoder.set_version(version);
                            self.broker.decoder.set_version(version);
                            verdict = Verdict::LetIn;
                        }
                        Ok(Found::Filters(count)) => self.subscriptions += count,
                        Ok(Found::Confirmable) => self.unconfirmed += 1,
                        Ok(Found::Nothing) => {}
                        Err(end) => return end,
                    }
                    len
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => return Verdict::End(format!("no MQTT: {error}")),
            };
            if self.unconfirmed > self.cloud.unconfirmed {
                return Verdict::End(format!("{} unconfirmed messages", self.unconfirmed));
            }
            pass.extend_from_slice(&unread[at..at + len]);
            at += len;
        }
        self.client.unread = unread[at..].to_vec();
        verdict
    }

    /// Bytes of the broker.
    pub(crate) fn of_broker(&mut self, bytes: &[u8]) {
        self.broker.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.broker.unread);
        let mut at = 0;
        while let Ok(Decoded::Packet { packet, len }) = self.broker.decoder.decode(&unread[at..]) {
            if matches!(packet, Packet::PubAck(_) | Packet::PubComp(_)) {
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
            }
            at += len;
        }
        self.broker.unread = unread[at..].to_vec();
    }
}

/// What a packet changes.
enum Found {
    Nothing,
    Version(mqtt::Version),
    Filters(usize),
    Confirmable,
}

fn packet_verdict(
    cloud: &Cloud,
    packet: &Packet<'_>,
    len: usize,
    subscriptions: usize,
) -> Result<Found, Verdict> {
    let end = |why: Option<String>, found| match why {
        Some(why) => Err(Verdict::End(why)),
        None => Ok(found),
    };
    if len > cloud.packet {
        return Err(Verdict::End(format!("a packet of {len} bytes")));
    }
    match packet {
        Packet::Connect(connect) => {
            let level = if connect.version.is_v5() { 5 } else { 4 };
            if !cloud.versions.contains(&level) {
                return Err(Verdict::Answer(OTHER_VERSION));
            }
            end(of_connect(cloud, connect), Found::Version(connect.version))
        }
        Packet::Subscribe(subscribe) => {
            let count = subscribe.filters.iter().count();
            let all = subscriptions + count;
            let why = (all > cloud.subscriptions).then(|| format!("{all} subscriptions"));
            end(of_subscribe(cloud, subscribe).or(why), Found::Filters(count))
        }
        Packet::Publish(publish) => {
            let confirmable = publish.qos != QoS::AtMostOnce;
            let found = if confirmable { Found::Confirmable } else { Found::Nothing };
            end(of_publish(cloud, publish), found)
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) => {
            let refuses = ack.code.is_error() && !cloud.refusals;
            end(
                refuses.then(|| format!("an acknowledgement that says {}", ack.code)),
                Found::Nothing,
            )
        }
        _ => Ok(Found::Nothing),
    }
}

fn of_connect(cloud: &Cloud, connect: &Connect<'_>) -> Option<String> {
    let (id, keep_alive) = (connect.client_id.len(), connect.keep_alive);
    if connect.properties.user.count() > 0 && !cloud.user_properties {
        Some("user properties of CONNECT".to_owned())
    } else if id > cloud.client_id {
        Some(format!("a client identifier of {id} bytes"))
    } else if keep_alive == 0 && cloud.keep_alive < u16::MAX || keep_alive > cloud.keep_alive {
        Some(format!("a keep alive of {keep_alive} s"))
    } else {
        None
    }
}

fn of_subscribe(cloud: &Cloud, subscribe: &Subscribe<'_>) -> Option<String> {
    let count = subscribe.filters.iter().count();
    if count > cloud.filters {
        return Some(format!("{count} filters in a SUBSCRIBE"));
    }
    if subscribe.user.count() > 0 && !cloud.user_properties {
        return Some("user properties of SUBSCRIBE".to_owned());
    }
    subscribe.filters.iter().find_map(|(filter, options)| {
        let plain = SubscribeOptions { qos: options.qos, ..SubscribeOptions::default() };
        if options != plain && !cloud.subscribe_options {
            Some("options of a subscription".to_owned())
        } else if options.qos.as_u8() > cloud.qos {
            Some(format!("a subscription of QoS {}", options.qos.as_u8()))
        } else {
            of_topic(cloud, filter.as_str(), cloud.subscribes)
        }
    })
}

fn of_publish(cloud: &Cloud, publish: &Publish<'_>) -> Option<String> {
    let (bytes, qos) = (publish.payload.len(), publish.qos.as_u8());
    if qos > cloud.qos {
        Some(format!("a message of QoS {qos}"))
    } else if publish.retain && !cloud.retain {
        Some("a message with RETAIN".to_owned())
    } else if bytes > cloud.payload {
        Some(format!("a payload of {bytes} bytes"))
    } else {
        let topic = publish.topic.map_or("", TopicName::as_str);
        of_topic(cloud, topic, cloud.publishes)
    }
}

fn of_topic(cloud: &Cloud, topic: &str, fronts: &[&str]) -> Option<String> {
    let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
    if slashes > cloud.slashes {
        Some(format!("a topic with {slashes} slashes"))
    } else if topic.len() > cloud.topic {
        Some(format!("a topic of {} bytes", topic.len()))
    } else if !fronts.is_empty() && !fronts.iter().any(|front| topic.starts_with(front)) {
        Some(format!("the topic {topic:?}"))
    } else {
        None
    }
}

//! Packets of clients who mostly know what they do.

use std::num::NonZeroU16;

use mqtt::{
    Ack, Auth, Connect, ConnectProperties, Disconnect, MessagePropertiesBuf, Packet, PacketId,
    Publish, QoS, ReasonCode, Subscribe, SubscribeFiltersBuf, SubscribeOptions, TopicFilter,
    TopicName, Unsubscribe, UnsubscribeFiltersBuf, UserProperties, Version, Will,
};

use super::Source;

pub(crate) const TOPICS: [&str; 8] = ["t/a", "t/b", "u", "a", "t/a/b/c", "$SYS/x", "/", "other/é"];
const FILTERS: [&str; 12] = [
    "t/a",
    "t/+",
    "#",
    "u",
    "+/+",
    "t/#",
    "$SYS/#",
    "$share/g/t/a",
    "$share/g/#",
    "$share/h/t/+",
    "t/a/b/c",
    "a",
];
/// Lengths of payloads; the last is shared rather than copied.
const LENGTHS: [usize; 6] = [8, 0, 8, 40, 150, 8300];

/// What CONNECT says, but for the will.
pub(crate) fn connect<'a>(source: &mut Source<'_>, client_id: &'a str) -> Connect<'a> {
    let choice = source.byte();
    let version =
        [Version::V5, Version::V3_1_1, Version::V5, Version::V3_1][usize::from(choice % 4)];
    let properties = match version {
        Version::V5 => ConnectProperties {
            session_expiry: [None, Some(u32::MAX), Some(5), Some(0)][source.below(4)],
            receive_maximum: [None, Some(1), Some(2), Some(3)][source.below(4)],
            maximum_packet_size: [None, None, Some(20), Some(50), Some(120)][source.below(5)],
            topic_alias_maximum: [None, Some(2), Some(1), Some(300)][source.below(4)],
            request_problem_information: choice & 0x80 == 0,
            authentication_method: (choice & 0x40 != 0).then_some("m"),
            ..ConnectProperties::default()
        },
        _ => ConnectProperties::default(),
    };
    Connect {
        version,
        client_id,
        clean_start: choice & 0x10 != 0,
        keep_alive: [0, 10, 1][source.below(3)],
        username: None,
        password: None,
        will: None,
        properties,
    }
}

/// A will, if there is to be one.
pub(crate) fn will(source: &mut Source<'_>) -> Option<Will<'static>> {
    let choice = source.byte();
    (choice & 1 != 0).then(|| Will {
        topic: topic(source),
        payload: &[b'w'; 150][..LENGTHS[source.below(5)]],
        qos: qos(choice >> 1),
        retain: choice & 0x10 != 0,
        delay: [0, 3, u32::MAX][usize::from(choice >> 5) % 3],
        message_expiry: (choice & 0x40 != 0).then_some(2),
        properties: mqtt::MessageProperties::default(),
    })
}

/// One packet, appended to `out` unless it cannot be written; `serial` makes its payload unique.
pub(crate) fn packet(
    source: &mut Source<'_>,
    version: Version,
    known: Option<PacketId>,
    serial: u32,
    out: &mut Vec<u8>,
) {
    let choice = source.below(16);
    let own = PacketId::new(1 + (source.byte() % 8) as u16).unwrap_or(PacketId::MIN);
    let theirs = known.unwrap_or(own);
    let user = UserProperties::default();
    match choice {
        0..6 => publish(source, version, own, serial, out),
        6 | 7 => {
            let mut filters = SubscribeFiltersBuf::default();
            for _ in 0..1 + source.below(3) {
                let options = SubscribeOptions::from_u8(source.byte() & 0x2F).unwrap_or_default();
                // What agrees with no rule is left out.
                let _ = filters.push(filter(source), options);
            }
            let subscription_id = [None, Some(1), None, Some(300)][source.below(4)];
            let filters = filters.as_ref();
            let packet = Subscribe { packet_id: own, subscription_id, user, filters };
            write(&Packet::Subscribe(packet), version, out);
        }
        8 => {
            let mut filters = UnsubscribeFiltersBuf::default();
            (0..1 + source.below(3)).for_each(|_| filters.push(filter(source)));
            let filters = filters.as_ref();
            write(
                &Packet::Unsubscribe(Unsubscribe { packet_id: own, user, filters }),
                version,
                out,
            );
        }
        9 => write(&Packet::PubAck(ack(source, theirs)), version, out),
        10 => write(&Packet::PubRec(ack(source, theirs)), version, out),
        11 => write(&Packet::PubRel(Ack::new(own, ReasonCode::Success)), version, out),
        12 => write(&Packet::PubComp(Ack::new(theirs, ReasonCode::Success)), version, out),
        13 => write(&Packet::PingReq, version, out),
        14 => disconnect(source, version, out),
        _ => {
            let codes = [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication];
            let auth = Auth::new(codes[source.below(2)], Some("m"));
            write(
                &Packet::Auth(Auth { data: source.flag().then_some(b"data"), ..auth }),
                version,
                out,
            );
        }
    }
}

fn publish(
    source: &mut Source<'_>,
    version: Version,
    packet_id: PacketId,
    serial: u32,
    out: &mut Vec<u8>,
) {
    let (flags, extras) = (source.byte(), source.byte());
    let qos = qos(flags);
    let alias = NonZeroU16::new(u16::from(extras & 3)).filter(|_| version == Version::V5);
    let topic = topic(source);
    let mut payload = vec![b'x'; LENGTHS[source.below(LENGTHS.len())]];
    let len = payload.len().min(8);
    payload[..len].copy_from_slice(&u64::from(serial).to_be_bytes()[..len]);
    let mut properties = MessagePropertiesBuf::default();
    if extras & 0x10 != 0 {
        properties = properties.payload_format_utf8(true);
    }
    if extras & 0x20 != 0 {
        properties = properties.content_type("text/plain").expect("text");
    }
    write(
        &Packet::Publish(Publish {
            dup: flags & 0x10 != 0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags & 0x20 != 0,
            topic: Some(topic).filter(|_| alias.is_none() || extras & 4 == 0),
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            topic_alias: alias,
            message_expiry: [None, None, Some(1), Some(0)][usize::from(flags >> 6)],
            properties: properties.as_ref(),
            ..Publish::new(topic, &payload)
        }),
        version,
        out,
    );
}

fn disconnect(source: &mut Source<'_>, version: Version, out: &mut Vec<u8>) {
    let disconnect = Disconnect {
        code: [ReasonCode::NORMAL_DISCONNECTION, ReasonCode::DisconnectWithWillMessage]
            [source.below(2)],
        session_expiry: [None, Some(0), Some(5), Some(u32::MAX)][source.below(4)],
        ..Disconnect::default()
    };
    write(&Packet::Disconnect(disconnect), version, out);
}

fn ack(source: &mut Source<'_>, packet_id: PacketId) -> Ack<'static> {
    let codes = [ReasonCode::Success, ReasonCode::Success, ReasonCode::UnspecifiedError];
    Ack::new(packet_id, codes[source.below(3)])
}

/// Appends a packet; one that breaks the rules of its version leaves `out` as it was.
pub(crate) fn write(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    let _ = packet.encode(version, out);
}

fn topic(source: &mut Source<'_>) -> TopicName<'static> {
    TopicName::new(TOPICS[source.below(TOPICS.len())]).expect("a topic")
}

fn filter(source: &mut Source<'_>) -> TopicFilter<'static> {
    TopicFilter::new(FILTERS[source.below(FILTERS.len())]).expect("a filter")
}

fn qos(choice: u8) -> QoS {
    [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce][usize::from(choice) % 3]
}

//! What decoding and encoding a PUBLISH costs: 64 bytes of payload, the topic of a device of a site.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis_mqtt::{
    Ack, Decoded, Decoder, MessagePropertiesBuf, Packet, PacketId, PacketKind, Publish,
    PublishFrame, QoS, ReasonCode, TopicName, Version,
};

const TOPIC: &str = "site/7/line/3/temperature";
const BATCH: usize = 64;

/// Version, QoS and the name of a measurement.
const CASES: [(&str, Version, QoS); 4] = [
    ("v3 qos 0", Version::V3_1_1, QoS::AtMostOnce),
    ("v3 qos 1", Version::V3_1_1, QoS::AtLeastOnce),
    ("v5 qos 0", Version::V5, QoS::AtMostOnce),
    ("v5 qos 1", Version::V5, QoS::AtLeastOnce),
];

fn publish(qos: QoS) -> Publish<'static> {
    let topic = TopicName::new(TOPIC).unwrap_or_else(|error| unreachable!("{error}"));
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MAX);
    Publish { qos, packet_id, ..Publish::new(topic, &[0x5A; 64]) }
}

fn wire(version: Version, packet: &Packet<'_>, times: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..times {
        packet.encode(version, &mut out).unwrap_or_else(|error| unreachable!("{error}"));
    }
    out
}

/// Decodes all packets in `bytes` and gives the bytes of their payloads, as the broker goes through a batch.
fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> usize {
    let mut payloads = 0;
    while let Ok(Decoded::Packet { packet, len }) = decoder.decode(bytes) {
        payloads += match &packet {
            Packet::Publish(publish) => {
                publish.payload.len() + publish.topic.map_or(0, |t| t.len())
            }
            _ => 1,
        };
        bytes = bytes.get(len..).unwrap_or_default();
    }
    payloads
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut measure = |name: &str, version: Version, packet: &Packet<'_>, times: usize| {
        let bytes = wire(version, packet, times);
        let mut decoder = Decoder::new(1 << 20);
        decoder.set_version(version);
        group.throughput(Throughput::Elements(times as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode_all(black_box(&mut decoder), black_box(&bytes)));
        });
    };
    for (name, version, qos) in CASES {
        let packet = Packet::Publish(publish(qos));
        measure(&format!("publish {name}"), version, &packet, 1);
        measure(&format!("batch of {BATCH}, {name}"), version, &packet, BATCH);
    }
    let properties = MessagePropertiesBuf::default()
        .content_type("text/plain")
        .and_then(|built| built.user("unit", "celsius"));
    let properties = properties.unwrap_or_else(|error| unreachable!("{error}"));
    let rich = Publish {
        message_expiry: Some(60),
        properties: properties.as_ref(),
        ..publish(QoS::AtLeastOnce)
    };
    measure("publish v5 qos 1, three properties", Version::V5, &Packet::Publish(rich), 1);
    let ack = Packet::PubAck(Ack::new(PacketId::MAX, ReasonCode::Success));
    measure(&format!("batch of {BATCH} puback v5"), Version::V5, &ack, BATCH);
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(4096);
    for (name, version, qos) in CASES {
        let publish = publish(qos);
        group.bench_function(format!("publish {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&publish).encode(version, black_box(&mut out))
            });
        });
        group.bench_function(format!("frame head {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                PublishFrame::encode_head(black_box(&mut out), version, black_box(&publish))
            });
        });
    }
    let ack = Ack::new(PacketId::MAX, ReasonCode::Success);
    group.bench_function("puback v5", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&ack).encode(PacketKind::PubAck, Version::V5, black_box(&mut out))
        });
    });
}

fn topics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic");
    group.bench_function("name", |bencher| bencher.iter(|| TopicName::new(black_box(TOPIC))));
}

criterion_group!(benches, decode, encode, topics);
criterion_main!(benches);

//! What the broker itself spends on a message: 64 bytes, permissions on, in batches of 64 as a
//! link passes them in. No codec of packets that come in, no socket, no disk. The time per
//! message is the inverse of the rate that is reported.

#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]
#![allow(clippy::expect_used, reason = "a benchmark of a broken broker would measure nothing")]

use std::hint::black_box;
use std::sync::Arc;

use auth::{Actions, Effect, Fallback, PermissionSet, Permissions, Rule};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt::{
    Ack, Connect, ConnectProperties, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFiltersBuf, SubscribeOptions, TopicFilter, TopicName, UserProperties, Version,
};
use portcullis_broker::durable::Snapshot;
use portcullis_broker::{
    Admission, Admitted, Broker, Conversation, Effect as Output, LinkId, Outbox, Settings,
    Timestamp,
};

const BATCH: u16 = 64;
const TOPIC: &str = "site/7/line/3/temperature";

/// A broker and the links around it, as far as they cost anything.
struct Bench {
    broker: Broker,
    now: Timestamp,
    links: u64,
    outbox: Outbox,
    permissions: Arc<PermissionSet>,
}

impl Bench {
    fn new() -> Self {
        let rule = Rule {
            effect: Effect::Allow,
            actions: Actions::BOTH,
            filter: "site/#".to_owned(),
            max_qos: QoS::ExactlyOnce,
            retain: true,
            label: None,
        };
        let stated = Permissions {
            rules: vec![rule],
            fallback: Fallback::Deny,
            source: "bench@00000000".into(),
        };
        let now = Timestamp::from_unix_ms(1);
        Self {
            broker: Broker::new(Settings::default(), 1, now, Snapshot::default()),
            now,
            links: 0,
            outbox: Outbox::default(),
            permissions: Arc::new(PermissionSet::compile(&stated).expect("valid rules")),
        }
    }

    fn connect(&mut self, durable: bool) -> Conversation {
        self.links += 1;
        let client_id = format!("client-{}", self.links);
        let connect = Connect {
            version: Version::V5,
            client_id: &client_id,
            clean_start: true,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties {
                session_expiry: durable.then_some(3600),
                ..ConnectProperties::default()
            },
        };
        let admitted = self.broker.connect(
            self.now,
            Admission {
                link: LinkId(self.links),
                connect: &connect,
                client_id: client_id.as_str().into(),
                principal: "bench".into(),
                attributes: Vec::new(),
                permissions: Arc::clone(&self.permissions),
                authentication_data: None,
                durability: portcullis_broker::Durability::Strict,
                valid_for_ms: None,
                limits: auth::Limits::default(),
                will_verdict: None,
                will_interception: None,
                listener: None,
                arrangement: None,
            },
        );
        let Admitted::Accepted(conversation) = admitted else { unreachable!("{admitted:?}") };
        self.settle(&[conversation]);
        conversation
    }

    fn subscribe(&mut self, who: Conversation, filter: &str, qos: QoS) {
        let mut filters = SubscribeFiltersBuf::default();
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        let filter = TopicFilter::new(filter).expect("a filter");
        filters.push(filter, options).expect("a filter");
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        });
        self.broker.receive(self.now, who, &packet, None);
        self.settle(&[who]);
    }

    fn publish(&mut self, who: Conversation, topic: &str, qos: QoS, id: u16) {
        let topic = TopicName::new(topic).expect("a topic");
        let packet_id = PacketId::new(id).filter(|_| qos != QoS::AtMostOnce);
        let publish = Publish { qos, packet_id, ..Publish::new(topic, &[0x5A; 64]) };
        self.broker.receive(self.now, who, &Packet::Publish(publish), None);
    }

    fn puback(&mut self, who: Conversation, id: u16) {
        let packet_id = PacketId::new(id).expect("not 0");
        let ack = Packet::PubAck(Ack::new(packet_id, ReasonCode::Success));
        self.broker.receive(self.now, who, &ack, None);
    }

    /// Does what the shell does after an entry: effects, disk, output.
    fn settle(&mut self, links: &[Conversation]) {
        while let Some(commit) = self.broker.take_commit() {
            self.broker.committed(self.now, commit.upto, true);
        }
        while let Some(effect) = self.broker.poll_effect() {
            black_box::<Output>(effect);
        }
        for link in links {
            self.broker.take_output(self.now, *link, &mut self.outbox);
            black_box(self.outbox.len());
            self.outbox.clear();
        }
    }

    /// A batch of publishes, and each receiver's confirmations in a batch of its own. `next`
    /// is the packet identifier that the receivers will see next.
    fn exchange(&mut self, from: Conversation, to: &[Conversation], qos: QoS, next: &mut u16) {
        for id in 1..=BATCH {
            self.publish(from, TOPIC, qos, id);
        }
        self.settle(to);
        if qos == QoS::AtLeastOnce {
            for receiver in to {
                for n in 0..BATCH {
                    self.puback(*receiver, wrapped(*next, n));
                }
            }
            *next = wrapped(*next, BATCH);
        }
        self.settle(&[from]);
    }
}

/// Identifiers are 1..=65535.
fn wrapped(id: u16, by: u16) -> u16 {
    let sum = (u32::from(id) - 1 + u32::from(by)) % 65_535 + 1;
    u16::try_from(sum).unwrap_or(1)
}

fn delivery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("delivery");
    for (name, receivers, qos, durable) in [
        ("qos 0, 1 to 1", 1, QoS::AtMostOnce, false),
        ("qos 1, 1 to 1 with acknowledgements", 1, QoS::AtLeastOnce, false),
        ("qos 1, 1 to 1 durable and quick", 1, QoS::AtLeastOnce, true),
        ("qos 0, 1 to 100", 100, QoS::AtMostOnce, false),
        ("qos 1, 1 to 100 with acknowledgements", 100, QoS::AtLeastOnce, false),
    ] {
        let mut bench = Bench::new();
        let from = bench.connect(false);
        let to: Vec<_> = (0..receivers).map(|_| bench.connect(durable)).collect();
        to.iter().for_each(|receiver| bench.subscribe(*receiver, "site/+/line/#", qos));
        let mut next = 1;
        let before = bench.broker.stats().publishes_sent;
        bench.exchange(from, &to, qos, &mut next);
        let sent = bench.broker.stats().publishes_sent - before;
        assert_eq!(sent, u64::from(BATCH) * receivers, "everything is delivered");
        group.throughput(Throughput::Elements(u64::from(BATCH) * receivers));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                bench.exchange(from, &to, qos, &mut next);
                // Time passes, or what is due would heap up.
                bench.now = bench.now.after_seconds(1);
                bench.broker.handle_deadline(bench.now);
            });
        });
        assert_eq!(bench.broker.stats().queued_bytes, 0, "everything is confirmed");
        assert_eq!(bench.broker.stats().deliveries_stored, 0, "nothing is written");
    }
    group.finish();
}

fn route(criterion: &mut Criterion) {
    const SUBSCRIPTIONS: usize = 10_000;
    let mut bench = Bench::new();
    let from = bench.connect(false);
    let topics: Vec<String> =
        (0..SUBSCRIPTIONS).map(|n| format!("site/{}/line/{n}/x", n % 50)).collect();
    for topics in topics.chunks(500) {
        let receiver = bench.connect(false);
        topics.iter().for_each(|topic| bench.subscribe(receiver, topic, QoS::AtMostOnce));
    }
    let other = bench.connect(false);
    let mut group = criterion.benchmark_group("route among 10k subscriptions");
    group.throughput(Throughput::Elements(topics.len() as u64));
    group.bench_function("known topics", |bencher| {
        bencher.iter(|| {
            topics.iter().for_each(|topic| bench.publish(from, topic, QoS::AtMostOnce, 0));
            bench.settle(&[]);
        });
    });
    group.bench_function("after a change", |bencher| {
        bencher.iter(|| {
            bench.subscribe(other, "site/none", QoS::AtLeastOnce);
            bench.subscribe(other, "site/none", QoS::AtMostOnce);
            topics.iter().for_each(|topic| bench.publish(from, topic, QoS::AtMostOnce, 0));
            bench.settle(&[]);
        });
    });
    group.finish();
}

criterion_group!(benches, delivery, route);
criterion_main!(benches);

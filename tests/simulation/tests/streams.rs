//! A client with several streams, some of which are not read, end, or are lost, while messages come for it: what it gets is
//! what was published, QoS 2 once, in order on each stream.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken promise fails the test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, PermissionSet, Permissions};
use broker::{Ending, Lane, LinkId, Settings};
use mqtt::{
    Ack, Connect, ConnectProperties, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode,
    Subscribe, SubscribeFiltersBuf, SubscribeOptions, TopicFilter, TopicName, UserProperties,
    Version,
};
use portcullis_simulation::{Door, Login, World};

const SEEDS: u64 = 300;
const STEPS: u32 = 400;
const TOPICS: [&str; 3] = ["a", "b", "c"];
const WINDOW: u16 = 6;

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Client {
    world: World,
    dice: Dice,
    link: LinkId,
    durable: bool,
    /// Streams that are there, besides the first.
    open: Vec<Lane>,
    last: u32,
    /// Acknowledgements that it has not sent, each with the stream of what it confirms.
    replies: VecDeque<(Lane, Vec<u8>, Option<PacketId>)>,
    /// Unconfirmed.
    pending: BTreeSet<PacketId>,
    /// Confirmed on this connection; no identifier is used twice here.
    confirmed: BTreeSet<PacketId>,
    /// QoS 2 messages that are not released, over all connections.
    held: BTreeSet<PacketId>,
    published: Vec<QoS>,
    received: BTreeMap<usize, u32>,
    /// The last message of each topic on each stream that was no repeat.
    latest: BTreeMap<(Lane, String), usize>,
}

#[test]
fn nothing_is_lost_whatever_becomes_of_streams() {
    let (mut messages, mut repeats, mut stuck) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let mut client = Client::new(seed);
        (0..STEPS).for_each(|_| client.step());
        client.come_to_rest(seed);
        messages += client.published.len();
        repeats += client.received.values().filter(|times| **times > 1).count();
        stuck += client.world.broker.stats().limit_stuck_streams;
    }
    println!(
        "{SEEDS} seeds: {messages} messages, 0 lost, {repeats} of QoS 1 twice, {stuck} streams stuck"
    );
    assert!(repeats > 0 && stuck > 0, "the test has become toothless");
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let settings = Settings {
            max_waiting_messages: [4, 12, 1000][dice.below(3) as usize],
            max_waiting_bytes: [2000, 1 << 20][dice.below(2) as usize],
            max_outbox_bytes: [40, 1 << 20][dice.below(2) as usize],
            ..Settings::default()
        };
        let mut client = Self {
            world: World::new(settings, seed),
            durable: dice.below(2) == 0,
            dice,
            link: LinkId(0),
            open: Vec::new(),
            last: 0,
            replies: VecDeque::new(),
            pending: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            held: BTreeSet::new(),
            published: Vec::new(),
            received: BTreeMap::new(),
            latest: BTreeMap::new(),
        };
        client.connect();
        for topic in TOPICS {
            client.subscribe(Lane::CONTROL, topic);
        }
        client
    }

    fn connect(&mut self) {
        let stated =
            Permissions { rules: Vec::new(), fallback: Fallback::Allow, source: "test".into() };
        let connect = Connect {
            version: Version::V5,
            client_id: "c",
            clean_start: false,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties {
                session_expiry: self.durable.then_some(u32::MAX),
                receive_maximum: Some(WINDOW),
                ..ConnectProperties::default()
            },
        };
        let door = self.world.connect(&Login {
            connect: &connect,
            principal: "c",
            permissions: Arc::new(PermissionSet::compile(&stated).expect("valid")),
            valid_for_ms: None,
            limits: auth::Limits::default(),
            authentication_data: None,
            will_verdict: None,
            will_interception: None,
        });
        let Door::Open(link) = door else { panic!("nothing speaks against it") };
        self.link = link;
        self.open.clear();
        self.replies.clear();
        self.pending.clear();
        self.confirmed.clear();
        self.latest.clear();
        self.last = 0;
    }

    fn step(&mut self) {
        self.world.advance(Duration::from_millis(1));
        match self.dice.below(100) {
            0..6 if self.open.len() < 4 => {
                self.last += 1;
                self.open.push(Lane(self.last));
                self.world.open_lane(self.link, Lane(self.last), false);
            }
            6..12 => {
                let (lane, topic) = (self.any_lane(), TOPICS[self.dice.below(3) as usize]);
                self.subscribe(lane, topic);
            }
            12..50 => self.publish(),
            50..56 => {
                let (lane, stalled) = (self.any_lane(), self.dice.below(2) == 0);
                self.stall(lane, stalled);
            }
            56..59 => self.end_some(),
            59..62 => drop(self.world.begin_commit()),
            62..68 => self.world.finish_commit(),
            68..70 => drop(self.world.finish_read()),
            70 if self.durable && self.dice.below(4) == 0 => {
                self.world.cut(self.link);
                self.connect();
            }
            71 => self.world.advance(Duration::from_secs(self.dice.below(15))),
            72..85 => drop(self.reply()),
            _ => drop(self.read()),
        }
    }

    fn any_lane(&mut self) -> Lane {
        let lanes = self.open.len() as u64 + 1;
        self.open.get(self.dice.below(lanes) as usize).copied().unwrap_or(Lane::CONTROL)
    }

    fn stall(&mut self, lane: Lane, stalled: bool) {
        match lane {
            Lane::CONTROL => self.world.stall(self.link, stalled),
            lane => self.world.stall_lane(self.link, lane, stalled),
        }
    }

    fn end_some(&mut self) {
        let lane = self.any_lane();
        if lane == Lane::CONTROL {
            return;
        }
        self.open.retain(|open| *open != lane);
        let ending = [Ending::InOrder, Ending::Lost][self.dice.below(2) as usize];
        if ending == Ending::Lost {
            // What was on its way is lost with it, in both directions.
            self.world.stall_lane(self.link, lane, true);
            self.replies.retain(|(of, ..)| *of != lane);
        }
        self.world.end_lane(self.link, lane, ending);
    }

    fn publish(&mut self) {
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][self.dice.below(2) as usize];
        let topic = TOPICS[self.dice.below(3) as usize];
        let payload = self.published.len().to_string();
        let topic = TopicName::new(topic).expect("a topic");
        let publish = Publish { qos, ..Publish::new(topic, payload.as_bytes()) };
        assert!(self.world.publish_from_outside(&publish), "there is room");
        self.published.push(qos);
    }

    fn subscribe(&mut self, lane: Lane, topic: &str) {
        let mut filters = SubscribeFiltersBuf::default();
        let options = SubscribeOptions { qos: QoS::ExactlyOnce, ..SubscribeOptions::default() };
        filters.push(TopicFilter::new(topic).expect("a filter"), options).expect("a filter");
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        });
        self.send(lane, &encode(&packet));
    }

    fn send(&mut self, lane: Lane, bytes: &[u8]) {
        match lane {
            Lane::CONTROL => drop(self.world.send(self.link, bytes)),
            lane => self.world.send_on(self.link, lane, bytes),
        }
    }

    /// Sends the next acknowledgement, on the stream of what it confirms if that is there.
    fn reply(&mut self) -> bool {
        let Some((lane, bytes, ends)) = self.replies.pop_front() else { return false };
        if let Some(id) = ends {
            self.pending.remove(&id);
            self.confirmed.insert(id);
        }
        let lane = if self.open.contains(&lane) { lane } else { Lane::CONTROL };
        self.send(lane, &bytes);
        true
    }

    /// Looks at what has come on all streams.
    fn read(&mut self) -> bool {
        let mut came = vec![(
            Lane::CONTROL,
            std::mem::take(self.world.wire(self.link).expect("a connection")),
        )];
        for (lane, bytes, over) in self.world.lanes(self.link) {
            if over {
                self.open.retain(|open| *open != lane);
            }
            came.push((lane, bytes));
        }
        let any = came.iter().any(|(_, bytes)| !bytes.is_empty());
        for (lane, bytes) in came {
            let mut decoder = Decoder::new(u32::MAX);
            decoder.set_version(Version::V5);
            let mut rest = &bytes[..];
            while let Decoded::Packet { packet, len } = decoder.decode(rest).expect("MQTT") {
                self.handle(lane, &packet);
                rest = &rest[len..];
            }
        }
        assert!(self.world.is_open(self.link), "nothing was wrong");
        any
    }

    fn handle(&mut self, lane: Lane, packet: &Packet<'_>) {
        let success = ReasonCode::Success;
        match packet {
            Packet::Publish(publish) => {
                let number: usize =
                    std::str::from_utf8(publish.payload).expect("text").parse().expect("a number");
                let id = publish.packet_id.expect("no message has QoS 0");
                // A repeat may cross with what confirmed the message.
                if !self.confirmed.contains(&id) {
                    self.pending.insert(id);
                }
                assert!(self.pending.len() <= usize::from(WINDOW), "Receive Maximum exceeded");
                if !publish.dup {
                    let topic = publish.topic.expect("a name").as_str().to_owned();
                    let before = self.latest.insert((lane, topic), number);
                    assert!(
                        before.is_none_or(|before| before < number),
                        "{number} after {before:?}"
                    );
                }
                let (packet, ends, fresh) = match publish.qos {
                    QoS::ExactlyOnce => {
                        (Packet::PubRec(Ack::new(id, success)), None, self.held.insert(id))
                    }
                    _ => (Packet::PubAck(Ack::new(id, success)), Some(id), true),
                };
                if fresh {
                    *self.received.entry(number).or_default() += 1;
                }
                self.replies.push_back((lane, encode(&packet), ends));
            }
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id);
                let packet = Packet::PubComp(Ack::new(ack.packet_id, success));
                self.replies.push_back((lane, encode(&packet), Some(ack.packet_id)));
            }
            Packet::ConnAck(_) | Packet::SubAck(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Every stream is read again, and everything confirmed.
    fn come_to_rest(&mut self, seed: u64) {
        self.stall(Lane::CONTROL, false);
        for lane in self.open.clone() {
            self.stall(lane, false);
        }
        for _ in 0..100_000 {
            self.world.flush();
            let busy = self.read() | self.reply() | self.world.finish_read();
            if !busy && self.world.broker.stats().queued == 0 {
                break;
            }
            self.world.advance(Duration::from_millis(1));
        }
        let stats = self.world.broker.stats();
        assert_eq!((stats.queued, stats.in_flight, stats.queued_bytes), (0, 0, 0), "seed {seed}");
        for (number, qos) in self.published.iter().enumerate() {
            let times = self.received.get(&number).copied().unwrap_or(0);
            let once = *qos == QoS::ExactlyOnce;
            assert!(times == 1 || times > 1 && !once, "seed {seed}: {number} came {times} times");
        }
    }
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes).expect("a packet that can be written");
    bytes
}

//! Random devices, a slow disk and power failures, from a seed. Whatever happens:
//!
//! - an acknowledged QoS 1 or 2 message reaches every durable session that had subscribed;
//! - a QoS 2 message reaches no session twice;
//! - the messages of one publisher, topic and QoS come in their order;
//! - a session that CONNACK promised is there;
//! - nothing is left in memory or on disk when everything has been delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, PermissionSet, Permissions};
use mqtt::{QoS, TopicFilter, TopicName, Version};
use portcullis_broker::Settings;

use crate::device::{Device, Learned};
use crate::world::{Door, Login, World};

/// How many seeds are tried, unless `PORTCULLIS_SEEDS` says how many.
const SEEDS: u64 = 2000;
const STEPS: u32 = 400;
const TOPICS: [&str; 3] = ["t/a", "t/b", "u"];
const FILTERS: [&str; 5] = ["t/a", "t/+", "#", "u", "t/b"];
const RECEIVE_MAXIMUM: u16 = 6;

#[test]
fn promises_are_kept_whatever_happens() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    let seeds = match number("PORTCULLIS_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("PORTCULLIS_SEEDS").unwrap_or(SEEDS),
    };
    let mut delivered = 0;
    for seed in seeds {
        let replay = Replay(seed);
        let mut simulation = Simulation::new(seed);
        (0..STEPS).for_each(|_| simulation.step());
        simulation.come_to_rest();
        simulation.check();
        delivered += simulation.devices.iter().map(|d| d.receipts.len()).sum::<usize>();
        drop(replay);
    }
    assert!(delivered > 0, "a simulation in which nothing arrives proves nothing");
}

/// Says how to repeat a failure.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "replay: PORTCULLIS_SEED={} cargo test -p portcullis-broker --test broker simulation",
                self.0
            );
        }
    }
}

struct Simulation {
    world: World,
    devices: Vec<Device>,
    messages: Vec<Sent>,
    permissions: Arc<PermissionSet>,
    random: u64,
}

/// One publish, as its publisher sees it.
struct Sent {
    publisher: usize,
    topic: &'static str,
    qos: QoS,
    acknowledged: bool,
    /// Device and epoch of each durable session that must get it once it is acknowledged.
    owed: BTreeSet<(usize, u64)>,
    /// The same when it was sent for the first time.
    owed_at_first: BTreeSet<(usize, u64)>,
    /// It was sent again.
    again: bool,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let stated =
            Permissions { rules: Vec::new(), fallback: Fallback::Allow, source: "all".into() };
        let settings =
            Settings { receive_maximum: RECEIVE_MAXIMUM, max_inflight: 4, ..Settings::default() };
        let mut simulation = Self {
            world: World::new(settings, seed),
            devices: Vec::new(),
            messages: Vec::new(),
            permissions: Arc::new(PermissionSet::compile(&stated).expect("valid")),
            random: seed,
        };
        for n in 0..5 {
            let version = if simulation.chance(30) { Version::V3_1_1 } else { Version::V5 };
            let durable = simulation.chance(70);
            // 3.1.1 has no Receive Maximum: there the gateway's own limit is all.
            let window = match version {
                Version::V5 => 1 + simulation.below(4) as u16,
                Version::V3_1 | Version::V3_1_1 => 4,
            };
            simulation.devices.push(Device::new(format!("d{n}"), version, durable, window));
        }
        simulation
    }

    fn step(&mut self) {
        let who = self.below(5) as usize;
        match self.below(100) {
            0..8 => self.connect(who),
            8..12 => self.cut(who),
            12..14 => self.disconnect(who),
            14..22 => self.subscribe(who),
            22..24 => self.unsubscribe(who),
            24..48 => self.publish(who),
            48..66 => drop(self.read(who, 3)),
            66..80 => drop(self.send_acks(who, 2)),
            80..87 => drop(self.world.begin_commit()),
            87..94 => self.world.finish_commit(),
            94..98 => {
                let ms = 1 + self.below(30);
                self.world.advance(Duration::from_millis(ms));
            }
            98 => self.crash(),
            _ => self.take_over(who),
        }
        self.check_always();
    }

    fn connect(&mut self, who: usize) {
        if self.devices[who].link.is_none() {
            self.take_over(who);
        }
    }

    /// Connects, whatever became of the last connection.
    fn take_over(&mut self, who: usize) {
        if self.chance(5) {
            self.devices[who].wants_clean = true;
        }
        let device = &mut self.devices[who];
        let name = device.name.clone();
        let connect = device.connect();
        let login = Login {
            connect: &connect,
            principal: &name,
            permissions: Arc::clone(&self.permissions),
            authentication_data: None,
            valid_for_ms: None,
            will_verdict: None,
        };
        let Door::Open(link) = self.world.connect(&login) else { panic!("{name} is let in") };
        self.devices[who].link = Some(link);
    }

    fn cut(&mut self, who: usize) {
        if let Some(link) = self.devices[who].link {
            self.world.cut(link);
            self.devices[who].hang_up();
        }
    }

    fn disconnect(&mut self, who: usize) {
        let ends = self.chance(20);
        if let Some(link) = self.devices[who].link.filter(|_| self.devices[who].welcome) {
            let bytes = self.devices[who].disconnect(ends);
            self.world.send(link, &bytes);
        }
    }

    fn crash(&mut self) {
        let with_commit = self.chance(50);
        self.world.crash(with_commit);
        self.devices.iter_mut().filter(|d| d.link.is_some()).for_each(Device::hang_up);
    }

    fn subscribe(&mut self, who: usize) {
        let (filter, qos) = (FILTERS[self.below(5) as usize], self.qos());
        self.welcome_does(who, |device| device.subscribe(filter, qos));
    }

    fn unsubscribe(&mut self, who: usize) {
        let filter = FILTERS[self.below(5) as usize];
        self.welcome_does(who, |device| device.unsubscribe(filter));
    }

    fn publish(&mut self, who: usize) {
        let (topic, qos) = (TOPICS[self.below(3) as usize], self.qos());
        let device = &self.devices[who];
        if device.welcome && device.outgoing.len() < usize::from(RECEIVE_MAXIMUM) {
            let owed = self.subscribers(topic, qos);
            let number = self.messages.len();
            self.messages.push(Sent {
                publisher: who,
                topic,
                qos,
                acknowledged: false,
                owed_at_first: owed.clone(),
                owed,
                again: false,
            });
            self.welcome_does(who, |device| device.publish(number, topic, qos));
        }
    }

    /// Sessions to which a message on `topic` is owed if it is published now.
    fn subscribers(&self, topic: &str, qos: QoS) -> BTreeSet<(usize, u64)> {
        let topic = TopicName::new(topic).expect("a topic");
        let matches = |filter: &str| TopicFilter::new(filter).expect("valid").matches(topic);
        let owed = self.devices.iter().enumerate().filter(|(_, device)| {
            let mut confirmed = device.confirmed.iter();
            qos > QoS::AtMostOnce
                && device.durable
                && device.promised
                && confirmed.any(|(f, granted)| matches(f) && *granted > QoS::AtMostOnce)
        });
        owed.map(|(who, device)| (who, device.epoch)).collect()
    }

    fn welcome_does(&mut self, who: usize, what: impl FnOnce(&mut Device) -> Vec<u8>) {
        let device = &mut self.devices[who];
        if let Some(link) = device.link.filter(|_| device.welcome) {
            let bytes = what(device);
            let asked = self.world.send(link, &bytes);
            assert!(asked.is_none(), "everything is allowed");
        }
    }

    /// A device looks at up to `count` packets; answers how many there were.
    fn read(&mut self, who: usize, count: u32) -> u32 {
        for n in 0..count {
            let device = &mut self.devices[who];
            let Some(link) = device.link else { return n };
            let Some(learned) = self.world.wire(link).and_then(|wire| device.read(wire)) else {
                return n;
            };
            match learned {
                Learned::Nothing => {}
                Learned::Acknowledged(message) => self.messages[message].acknowledged = true,
                Learned::SendAgain(packets) => {
                    for (message, bytes) in packets {
                        self.messages[message].again = true;
                        let sent = &self.messages[message];
                        // It may count as the first or as a new one: owed is what is owed by both.
                        if !sent.acknowledged {
                            let now = self.subscribers(sent.topic, sent.qos);
                            self.messages[message].owed.retain(|owed| now.contains(owed));
                        }
                        self.world.send(link, &bytes);
                    }
                }
            }
        }
        count
    }

    fn send_acks(&mut self, who: usize, count: u32) -> u32 {
        for n in 0..count {
            let device = &mut self.devices[who];
            let Some(link) = device.link else { return n };
            let Some(bytes) = device.next_ack() else { return n };
            self.world.send(link, &bytes);
        }
        count
    }

    fn check_always(&self) {
        let stats = self.world.broker.stats();
        assert!(stats.sessions <= self.devices.len() as u64, "one session per client identifier");
        let links = self.devices.iter().filter_map(|device| device.link);
        let open = links.filter(|link| self.world.is_open(*link)).count();
        assert_eq!(stats.clients_connected, open as u64, "one connection per client identifier");
    }

    /// Everybody comes back and everything is delivered.
    fn come_to_rest(&mut self) {
        (0..self.devices.len()).for_each(|who| self.connect(who));
        for _ in 0..1000 {
            let mut work = 0;
            for who in 0..self.devices.len() {
                work += self.read(who, u32::MAX) + self.send_acks(who, u32::MAX);
            }
            work += u32::from(self.world.begin_commit());
            self.world.finish_commit();
            self.world.advance(Duration::from_millis(50));
            self.check_always();
            if work == 0 {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn check(&self) {
        for (number, sent) in self.messages.iter().enumerate().filter(|(_, s)| s.acknowledged) {
            for (who, epoch) in &sent.owed {
                let device = &self.devices[*who];
                let got = device.receipts.iter().any(|r| r.message == number);
                assert!(
                    got || device.epoch != *epoch,
                    "{} lost message {number} ({:?} on {})",
                    device.name,
                    sent.qos,
                    sent.topic
                );
            }
        }
        for (who, device) in self.devices.iter().enumerate() {
            self.check_receipts(who, device);
            assert!(device.outgoing.is_empty(), "{} waits for an acknowledgement", device.name);
        }
        let stats = self.world.broker.stats();
        assert_eq!(stats.queued_bytes, 0, "{stats:?}");
        let model = &self.world.model;
        assert_eq!((model.messages.len(), model.deliveries(), model.received()), (0, 0, 0));
    }

    fn check_receipts(&self, who: usize, device: &Device) {
        let mut once = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut last = BTreeMap::new();
        for receipt in &device.receipts {
            let sent = &self.messages[receipt.message];
            let qos = receipt.qos.as_u8();
            if receipt.qos == QoS::ExactlyOnce {
                let first = once.insert((receipt.epoch, receipt.message));
                assert!(first, "{} got message {} twice", device.name, receipt.message);
            }
            // Whoever subscribed between a message and its repetition gets it late, and a repeat of
            // what came before is allowed at QoS 1; order is about the rest.
            let in_order = !sent.again || sent.owed_at_first.contains(&(who, receipt.epoch));
            if in_order && seen.insert((receipt.epoch, receipt.message)) {
                let stream = (receipt.epoch, sent.publisher, sent.topic, sent.qos.as_u8(), qos);
                let before = last.insert(stream, receipt.message);
                assert!(
                    before.is_none_or(|before| before < receipt.message),
                    "{} got message {} after {before:?}",
                    device.name,
                    receipt.message
                );
            }
        }
    }

    fn qos(&mut self) -> QoS {
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.below(3) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, PermissionSet, Permissions};
use broker::{Answer, Question, Verdict};
use mqtt::{QoS, RetainHandling, SubscribeOptions, Version};

use crate::device::{Device, LastWords, Sending};
use crate::history::What;
use crate::plan::Plan;
use crate::random::Random;
use crate::reference::Reference;
use crate::world::{Door, Login, World};

const DEVICES: u64 = 5;
const TOPICS: [&str; 4] = ["t/a", "t/b", "u", "t"];
const FILTERS: [&str; 7] = ["t/a", "t/+", "#", "u", "t/b", "t/#", "+/a"];
/// Bytes that the shell reads at once.
const READ: usize = 8 * 1024;
/// Lines of what was done that a failure shows.
const TRACE: usize = 40;

/// What happened under one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Messages that devices got.
    pub delivered: usize,
    /// Messages that devices sent.
    pub published: usize,
}

/// Random devices, links, disk and guests around the broker, from a seed. Whatever happens, what
/// leaves the broker is what the [`Reference`] says, and nothing that was promised is lost.
pub struct Simulation {
    plan: Plan,
    world: World,
    reference: Reference,
    devices: Vec<Device>,
    /// A guest's turn: its question for each device, and the CONNECT that waits for it.
    asked: Vec<Option<Asked>>,
    /// Whether each message may come twice at QoS 2: a retained one may.
    may_repeat: Vec<bool>,
    permissions: Arc<PermissionSet>,
    random: Random,
    /// Steps for which the disk refuses to write.
    refuses: u32,
    trace: VecDeque<String>,
}

enum Asked {
    Packet(Question),
    Connect { bytes: Vec<u8> },
}

impl Simulation {
    /// The world of this seed, in which nothing has happened.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let fallback = if plan.guests { Fallback::Ask } else { Fallback::Allow };
        let stated = Permissions { rules: Vec::new(), fallback, source: "simulation".into() };
        let mut simulation = Self {
            world: World::new(plan.settings.clone(), seed),
            reference: Reference::new(plan.settings.clone(), plan.small_outboxes, plan.prompt),
            devices: Vec::new(),
            asked: (0..DEVICES).map(|_| None).collect(),
            may_repeat: Vec::new(),
            permissions: Arc::new(PermissionSet::compile(&stated).expect("valid")),
            random,
            refuses: 0,
            trace: VecDeque::new(),
            plan,
        };
        (0..DEVICES).for_each(|n| simulation.add_device(n));
        simulation
    }

    fn add_device(&mut self, n: u64) {
        let random = &mut self.random;
        let version = if random.chance(30) { Version::V3_1_1 } else { Version::V5 };
        let passing = self.plan.passing && random.chance(30);
        let expiry = match () {
            () if passing => 0,
            () if self.plan.expiry => random.pick(&[2, 20, 1_000_000]),
            () => 1_000_000,
        };
        // 3.1.1 has no Receive Maximum: there the gateway's own limit is all.
        let window = if version.is_v5() { 1 + random.below(4) as u16 } else { 4 };
        let mut device = Device::new(format!("d{n}"), version, expiry, window);
        device.max_packet = (self.plan.small_packets && random.chance(50)).then_some(64);
        device.alias_max = if self.plan.aliases { random.pick(&[0, 1, 3]) } else { 0 };
        self.devices.push(device);
    }

    /// Lets `steps` things happen, then everything come to rest.
    pub fn run(&mut self, steps: u32) -> Outcome {
        (0..steps).for_each(|_| self.step());
        self.come_to_rest();
        self.check_end();
        Outcome {
            delivered: self.devices.iter().map(|device| device.receipts.len()).sum(),
            published: self.may_repeat.len(),
        }
    }

    /// The last things that were done, oldest first.
    pub fn trace(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().map(String::as_str)
    }

    /// The parts of the world that this seed has.
    #[must_use]
    pub fn plan(&self) -> String {
        format!("{:?}", self.plan)
    }

    fn step(&mut self) {
        // No two things happen at the same time.
        self.world.advance(Duration::from_millis(1));
        self.follow();
        let who = self.random.below(DEVICES) as usize;
        // What cannot be done now is not worth a step.
        let done = (0..4).find_map(|_| self.act(who));
        if let Some(what) = done {
            self.note(format!("{} {who}: {what}", self.world.now.as_unix_ms()));
        }
        self.deliver(who);
        self.follow();
        if self.plan.prompt {
            self.be_prompt();
            self.reference.check_rest(self.world.now);
        }
        self.check_always();
    }

    fn act(&mut self, who: usize) -> Option<String> {
        match self.random.below(128) {
            0..10 => self.connect(who),
            10..11 => self.connect_again(who),
            11..14 if self.plan.cut => self.cut(who),
            14..16 if self.plan.half_close => self.half_close(who),
            16..19 => self.disconnect(who),
            19..28 => self.subscribe(who),
            28..31 => self.unsubscribe(who),
            31..57 => self.publish(who),
            57..60 if self.plan.flood => self.flood(who),
            60..62 if self.plan.stall => self.stall(who, true),
            62..65 if self.plan.stall => self.stall(who, false),
            65..73 => self.answer(who),
            73..88 => self.read(who, 3).then(|| "reads".to_owned()),
            88..100 => self.send_acks(who, 2).then(|| "confirms".to_owned()),
            100..106 => self.world.begin_commit().then(|| "disk begins".to_owned()),
            106..112 => self.finish_commit(),
            112 if self.plan.refuse => self.refuse(),
            113..117 => self.wait(30),
            117 if self.plan.expiry || self.plan.wills || self.plan.keep_alive => self.wait(4000),
            118 if self.plan.crash => self.crash(),
            119 if self.plan.restart => self.restart(),
            _ => None,
        }
    }

    fn note(&mut self, line: String) {
        if self.trace.len() >= TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    /// Tells the reference what has happened.
    fn follow(&mut self) {
        let slack = self.plan.settings.max_outbox_bytes + 24 * 1024;
        for moment in std::mem::take(&mut self.world.history) {
            if let What::Emitted { link, bytes } = &moment.what {
                assert!(bytes.len() <= slack, "{} bytes waited for {link:?}", bytes.len());
            }
            self.reference.follow(&moment, &self.world.disk);
        }
    }

    fn connect(&mut self, who: usize) -> Option<String> {
        if self.devices[who].link.is_some() { None } else { self.connect_again(who) }
    }

    /// Connects, whatever became of the last connection.
    fn connect_again(&mut self, who: usize) -> Option<String> {
        self.devices[who].doubt();
        if self.random.chance(5) {
            self.devices[who].wants_clean = true;
        }
        let will = (self.plan.wills && self.random.chance(60)).then(|| LastWords {
            topic: self.random.pick(&TOPICS),
            qos: self.qos(),
            retain: self.plan.retained && self.random.chance(30),
            delay: self.random.pick(&[0, 0, 1, 5]),
            expiry: self.plan.expiry.then(|| self.random.pick(&[1, 3])),
        });
        let payload = format!("{}:will", self.may_repeat.len());
        if will.is_some() {
            self.may_repeat.push(true);
        }
        let keep_alive = if self.plan.keep_alive { self.random.pick(&[0, 1, 60]) } else { 0 };
        let connect = self.devices[who].connect(will, payload.as_bytes(), keep_alive);
        let mut bytes = Vec::new();
        connect.encode(&mut bytes).expect("a CONNECT");
        let said = format!("connects clean={} {will:?}", connect.clean_start);
        self.asked[who] = None;
        self.enter(who, bytes, None);
        Some(said)
    }

    fn enter(&mut self, who: usize, bytes: Vec<u8>, will_verdict: Option<Verdict>) {
        let mut decoder = mqtt::Decoder::new(u32::MAX);
        let Ok(mqtt::Decoded::Packet { packet: mqtt::Packet::Connect(connect), .. }) =
            decoder.decode(&bytes)
        else {
            panic!("a CONNECT can be read");
        };
        let login = Login {
            connect: &connect,
            principal: connect.client_id,
            permissions: Arc::clone(&self.permissions),
            valid_for_ms: None,
            authentication_data: None,
            will_verdict,
        };
        match self.world.connect(&login) {
            Door::Open(link) => self.devices[who].begin(link, connect.clean_start),
            Door::Ask(_) => self.asked[who] = Some(Asked::Connect { bytes: bytes.clone() }),
            Door::Shut(closing) => {
                assert!(self.plan.guests, "{}: {closing:?}", self.devices[who].name);
            }
        }
    }

    /// A guest answers. One that traps has answered no by the time the broker hears of it.
    fn answer(&mut self, who: usize) -> Option<String> {
        let allow = !self.random.chance(12);
        self.give_answer(who, allow)
    }

    fn give_answer(&mut self, who: usize, allow: bool) -> Option<String> {
        let verdict = || match allow {
            true => Verdict::Allow,
            false => Verdict::Deny { why: "it trapped".to_owned() },
        };
        match self.asked[who].take()? {
            Asked::Connect { bytes } => self.enter(who, bytes, Some(verdict())),
            Asked::Packet(question) => {
                let answer = match &question {
                    Question::Publish { .. } => Answer::Publish(verdict()),
                    Question::Subscribe(filters) => {
                        Answer::Subscribe(filters.iter().map(|_| verdict()).collect())
                    }
                    Question::Authenticate { .. } => panic!("nobody names a method"),
                };
                let link = self.devices[who].link?;
                self.asked[who] = self.world.answer(link, answer).map(Asked::Packet);
            }
        }
        Some(format!("is answered {allow}"))
    }

    fn cut(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        self.world.cut(link);
        self.hang_up(who);
        Some("is cut".to_owned())
    }

    fn hang_up(&mut self, who: usize) {
        self.devices[who].hang_up();
        if !matches!(self.asked[who], Some(Asked::Connect { .. })) {
            self.asked[who] = None;
        }
    }

    /// It ends its own side, and goes on reading.
    fn half_close(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        self.deliver_all(who);
        self.world.hang_up(link);
        self.devices[who].mute = true;
        Some("closes its side".to_owned())
    }

    fn disconnect(&mut self, who: usize) -> Option<String> {
        let expiry = self.random.pick(&[None, None, Some(0), Some(3)]);
        let with_will = self.random.chance(30);
        let device = self.ready(who)?;
        device.disconnect(expiry, with_will);
        if expiry == Some(0) {
            device.wants_clean = true;
        }
        Some(format!("disconnects expiry={expiry:?} will={with_will}"))
    }

    fn subscribe(&mut self, who: usize) -> Option<String> {
        let mut filters = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            let name = self.random.pick(&FILTERS);
            let qos = self.qos();
            let v5 = self.plan.options && self.devices[who].version.is_v5();
            let options = SubscribeOptions {
                qos,
                no_local: v5 && self.random.chance(25),
                retain_as_published: v5 && self.random.chance(50),
                retain_handling: match self.random.below(3) {
                    1 if v5 => RetainHandling::SendIfNew,
                    2 if v5 => RetainHandling::DoNotSend,
                    _ => RetainHandling::SendAtSubscribe,
                },
            };
            filters.push((name, options));
        }
        let id = (self.plan.identifiers && self.random.chance(70))
            .then(|| self.random.pick(&[1, 2, 268_435_455]));
        self.ready(who)?.subscribe(&filters, id);
        Some(format!("subscribes to {filters:?} id={id:?}"))
    }

    fn unsubscribe(&mut self, who: usize) -> Option<String> {
        let filter = self.random.pick(&FILTERS);
        self.ready(who)?.unsubscribe(filter);
        Some(format!("unsubscribes from {filter}"))
    }

    fn publish(&mut self, who: usize) -> Option<String> {
        let receive_maximum = usize::from(self.plan.settings.receive_maximum);
        let qos = self.qos();
        let retain = self.plan.retained && self.random.chance(30);
        let small = self.random.pick(&[0, 0, 0, 40]);
        let large = self.plan.large_payloads && self.random.chance(10);
        let sending = Sending {
            message: self.may_repeat.len(),
            topic: self.random.pick(&TOPICS),
            qos,
            retain,
            expiry: (self.plan.expiry && self.random.chance(50)).then(|| self.random.pick(&[1, 5])),
            size: match retain && self.random.chance(25) {
                true => None,
                false => Some(if large { 9000 } else { small }),
            },
            alias: self.plan.aliases && self.random.chance(60),
        };
        let device = self.ready(who)?;
        if device.outgoing.len() >= receive_maximum {
            return None;
        }
        device.publish(sending);
        self.may_repeat.push(retain);
        Some(format!("publishes {sending:?}"))
    }

    fn flood(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        if !self.world.may_read(link) {
            return None;
        }
        self.ready(who)?.flood();
        Some("floods".to_owned())
    }

    /// The device, if it is connected and may send.
    fn ready(&mut self, who: usize) -> Option<&mut Device> {
        let open = self.devices[who].link.is_some_and(|link| self.world.is_open(link));
        let device = &mut self.devices[who];
        (open && device.welcome && !device.mute).then_some(device)
    }

    fn stall(&mut self, who: usize, stalled: bool) -> Option<String> {
        let link = self.devices[who].link.filter(|link| self.world.is_stalled(*link) != stalled)?;
        self.world.stall(link, stalled);
        Some(format!("stalls {stalled}"))
    }

    /// A device looks at up to `count` packets; answers whether there were any.
    fn read(&mut self, who: usize, count: u32) -> bool {
        let mut any = false;
        for _ in 0..count {
            let device = &mut self.devices[who];
            let Some(link) = device.link else { return any };
            if !self.world.wire(link).is_some_and(|wire| device.read(wire)) {
                if !self.world.is_open(link) {
                    self.world.cut(link);
                    self.hang_up(who);
                }
                return any;
            }
            any = true;
        }
        any
    }

    fn send_acks(&mut self, who: usize, count: u32) -> bool {
        (0..count).take_while(|_| self.devices[who].send_ack()).count() > 0
    }

    /// Bytes that a device has sent arrive, all or the first few of them.
    fn deliver(&mut self, who: usize) {
        let whole = self.devices[who].pipe.len();
        let len = match self.plan.delay {
            true => self.random.below(whole as u64 + 1) as usize,
            false => whole,
        };
        self.deliver_some(who, len);
    }

    fn deliver_all(&mut self, who: usize) -> bool {
        self.deliver_some(who, usize::MAX)
    }

    fn deliver_some(&mut self, who: usize, len: usize) -> bool {
        let device = &mut self.devices[who];
        let Some(link) = device.link else { return false };
        // While a guest thinks, and while the broker has enough, the socket is not read.
        let busy = self.asked[who].is_some() || !self.world.may_read(link);
        let len = len.min(device.pipe.len()).min(READ);
        if busy || len == 0 || !self.world.is_open(link) {
            return false;
        }
        let bytes: Vec<u8> = device.pipe.drain(..len).collect();
        self.asked[who] = self.world.send(link, &bytes).map(Asked::Packet);
        true
    }

    fn finish_commit(&mut self) -> Option<String> {
        if self.refuses > 0 {
            self.refuses -= 1;
            return Some("disk refuses".to_owned());
        }
        self.world.finish_commit();
        Some("disk ends".to_owned())
    }

    /// The disk is full, say, for a while. What it was given is kept and tried again.
    fn refuse(&mut self) -> Option<String> {
        self.refuses = 1 + self.random.below(10) as u32;
        Some("disk begins to refuse".to_owned())
    }

    fn wait(&mut self, most: u64) -> Option<String> {
        let ms = 1 + self.random.below(most);
        self.world.advance(Duration::from_millis(ms));
        Some(format!("waits {ms} ms"))
    }

    fn crash(&mut self) -> Option<String> {
        let with_commit = self.random.chance(50);
        self.world.crash(with_commit);
        self.after_crash();
        Some(format!("power fails, commit written: {with_commit}"))
    }

    /// The gateway is stopped in an orderly way, and started.
    fn restart(&mut self) -> Option<String> {
        self.world.shut_down();
        self.follow();
        while self.world.begin_commit() {
            self.world.finish_commit();
            self.follow();
        }
        self.reference.check_stored(&self.world.disk, self.world.now);
        self.world.crash(false);
        self.after_crash();
        Some("the gateway is restarted".to_owned())
    }

    fn after_crash(&mut self) {
        self.follow();
        self.reference.crash(&self.world.disk, self.world.now);
        for who in 0..self.devices.len() {
            self.devices[who].hang_up();
            self.asked[who] = None;
        }
    }

    /// Everybody reads, confirms, answers and writes until nothing is left to do.
    fn be_prompt(&mut self) {
        for _ in 0..1000 {
            let mut work = false;
            for who in 0..self.devices.len() {
                work |= self.deliver_all(who);
                self.follow();
                work |= self.answer(who).is_some();
                self.follow();
                work |= self.read(who, u32::MAX) | self.send_acks(who, u32::MAX);
                self.follow();
            }
            work |= self.world.begin_commit();
            self.world.finish_commit();
            self.follow();
            if !work {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Everybody comes back and everything is delivered.
    fn come_to_rest(&mut self) {
        self.refuses = 0;
        self.plan.keep_alive = false;
        self.plan.wills = false;
        for who in 0..self.devices.len() {
            self.asked[who] = None;
            self.connect_again(who);
            self.follow();
        }
        for _ in 0..3 {
            self.be_prompt();
            self.world.advance(Duration::from_millis(250));
            self.follow();
        }
        self.reference.check_rest(self.world.now);
        self.check_always();
    }

    fn check_always(&self) {
        let stats = self.world.broker.stats();
        let (sessions, online, subscriptions) = self.reference.counts();
        let expected = (sessions, online, subscriptions, self.reference.retained.len() as u64);
        let got = (stats.sessions, stats.clients_connected, stats.subscriptions, stats.retained);
        assert_eq!(got, expected, "sessions, connections, subscriptions, retained messages");
        let (least, most) = self.reference.queued(self.world.now);
        let queued = stats.queued_bytes as usize;
        assert!(
            (least..=most).contains(&queued),
            "{queued} bytes queued, not {least} to {most}: {stats:?} {:#?}",
            self.reference.sessions
        );
        let limit = self.plan.settings.max_queued_bytes_total;
        assert!(queued <= limit, "{queued} bytes are queued, the limit is {limit}");
        let forgotten = self.world.forgotten().next();
        assert!(forgotten.is_none(), "{forgotten:?} was not woken");
        for device in &self.devices {
            if let Some(link) = device.link.filter(|link| !self.world.is_stalled(*link)) {
                self.reference.check_idle(link, self.world.now);
            }
        }
    }

    fn check_end(&self) {
        for device in &self.devices {
            let waits = device.outgoing.len();
            assert_eq!(waits, 0, "{} waits for acknowledgements", device.name);
            let mut once = BTreeSet::new();
            let twice = device.receipts.iter().filter(|receipt| {
                receipt.qos == QoS::ExactlyOnce
                    && !self.plan.small_queues
                    && !self.may_repeat[receipt.message]
                    && !once.insert((receipt.epoch, receipt.message))
            });
            let twice: Vec<usize> = twice.map(|receipt| receipt.message).collect();
            assert!(twice.is_empty(), "{} got messages twice: {twice:?}", device.name);
        }
        let disk = &self.world.disk;
        let left = (disk.messages(), disk.deliveries(), disk.received());
        assert_eq!(left, (0, 0, 0), "messages, queue entries and identifiers left on disk");
        assert_eq!(self.world.broker.stats().queued_bytes, 0, "bytes left in queues");
    }

    fn qos(&mut self) -> QoS {
        self.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }
}

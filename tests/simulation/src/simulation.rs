mod checks;
mod devices;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, PermissionSet, Permissions};
use broker::{Interests, Question};
use mqtt::{QoS, TopicFilter, Version};

use crate::device::Device;
use crate::history::What;
use crate::plan::Plan;
use crate::random::Random;
use crate::reference::{Reference, SHOWN};
use crate::world::World;

const DEVICES: u64 = 5;
const TOPICS: [&str; 4] = ["t/a", "t/b", "u", "t"];
const FILTERS: [&str; 7] = ["t/a", "t/+", "#", "u", "t/b", "t/#", "+/a"];
const SHARED: [&str; 4] = ["$share/g/t/#", "$share/g/#", "$share/h/t/+", "$share/h/u"];
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
            reference: Reference::new(
                plan.settings.clone(),
                plan.small_outboxes,
                plan.prompt,
                plan.guests,
                plan.interceptors,
            ),
            devices: Vec::new(),
            asked: (0..DEVICES).map(|_| None).collect(),
            may_repeat: Vec::new(),
            permissions: Arc::new(PermissionSet::compile(&stated).expect("valid")),
            random,
            refuses: 0,
            trace: VecDeque::new(),
            plan,
        };
        simulation.world.slow_reads = simulation.plan.slow_reads;
        if simulation.plan.interceptors {
            let publish = vec![TopicFilter::new(SHOWN).expect("a filter").to_owned()];
            simulation.world.set_interests(Interests { publish, ..Interests::default() });
        }
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
            119..122 => self.world.finish_read().then(|| "disk reads".to_owned()),
            122 => self.sync(),
            112 if self.plan.refuse => self.refuse(),
            113..117 => self.wait(30),
            117 if self.plan.expiry || self.plan.wills || self.plan.keep_alive => self.wait(4000),
            118 if self.plan.crash => self.crash(),
            123 if self.plan.restart => self.restart(),
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

    fn sync(&mut self) -> Option<String> {
        self.world.sync();
        Some("disk syncs".to_owned())
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
        self.world.sync();
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

    fn qos(&mut self) -> QoS {
        self.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }
}

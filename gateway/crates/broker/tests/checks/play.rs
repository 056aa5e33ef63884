use std::sync::Arc;
use std::time::Duration;

use auth::{Excess, Limits, PermissionSet, Rate};
use mqtt::{Connect, ConnectProperties, ReasonCode, Version};
use portcullis_broker::{
    Answer, Authentication, Event, Memory, Question, Renewal, Ruling, Settings, Verdict,
};

use super::client::Client;
use super::{Reached, Source, interceptors, packets, settings};
use simulation::{Door, Login, What, World};

pub(crate) const ALL: &[&str] = &[
    "let in",
    "refused",
    "asked about a will",
    "taken over",
    "cut",
    "sent",
    "sent in parts",
    "sent anything",
    "asked",
    "answered",
    "shown a will",
    "shown a publish",
    "shown deliveries",
    "acknowledged",
    "nothing to acknowledge",
    "commit begun",
    "commit finished",
    "nothing to commit",
    "time passed",
    "stalled",
    "flowing again",
    "power failed",
    "shut down",
    "said by the gateway",
    "told of memory",
    "not connected",
];

/// The last one has its identifier assigned.
const NAMES: [&str; 4] = ["a", "b", "c", ""];

/// What is large enough for anything that the clients say.
const ROUNDS: u32 = 10_000;

/// Clients of every kind, a broker, a disk and a clock.
pub(crate) struct Play {
    world: World,
    settings: Settings,
    clients: [Client; 4],
    permissions: Vec<Arc<PermissionSet>>,
    serial: u32,
    pub(crate) reached: Reached,
}

impl Play {
    pub(crate) fn new(settings: Settings, odd: bool) -> Self {
        let mut world = World::new(settings.clone(), u64::from(odd));
        if odd {
            world.set_interests(interceptors::interests());
        }
        Self {
            world,
            settings,
            clients: NAMES.map(Client::new),
            permissions: settings::permissions(),
            serial: 0,
            reached: Reached::new(),
        }
    }

    pub(crate) fn step(&mut self, source: &mut Source<'_>) {
        let who = source.below(NAMES.len());
        let reached = match source.below(32) {
            0..4 => self.connect(source, who),
            4..14 => self.send(source, who),
            14..18 => self.acknowledge(who, 1 + source.below(4)),
            18..20 => self.answer(source, who),
            20..22 => self.begin_commit(),
            22..24 => self.finish_commit(),
            24 => self.pass(source),
            25 => self.send_anything(source, who),
            26 => self.stall(who, true),
            27 => self.stall(who, false),
            28 => self.cut(who),
            29 => self.crash(source),
            30 => self.say(source),
            _ => self.shut_down(source),
        };
        self.reached.insert(reached);
        self.look();
    }

    fn connect(&mut self, source: &mut Source<'_>, who: usize) -> &'static str {
        let name = NAMES[who];
        let mut connect = packets::connect(source, name);
        connect.will = packets::will(source);
        let choice = source.byte();
        let principal = if choice & 0x1F == 1 { "somebody else" } else { name };
        let mut login = Login {
            connect: &connect,
            principal,
            permissions: Arc::clone(&self.permissions[usize::from(choice >> 5) % 5]),
            authentication_data: (choice & 0x1F == 3).then_some(b"data"),
            valid_for_ms: (choice & 0x1F == 2).then_some(500),
            limits: limits(choice & 0x1F),
            will_verdict: None,
            will_interception: None,
        };
        let mut asked = false;
        let mut door = self.world.connect(&login);
        while let Door::Ask(question) = &door {
            assert!(connect.will.is_some());
            asked = true;
            match question {
                Question::Publish { .. } if login.will_verdict.is_none() => {
                    login.will_verdict = Some(verdict(source));
                }
                Question::Intercept(draft) if login.will_interception.is_none() => {
                    self.reached.insert("shown a will");
                    login.will_interception = Some(interceptors::made_of(draft));
                }
                other => panic!("asked again: {other:?}"),
            }
            door = self.world.connect(&login);
        }
        let link = match door {
            Door::Open(link) => link,
            Door::Shut(_) => return "refused",
            Door::Ask(question) => panic!("answered: {question:?}"),
        };
        // Whoever had the session is told so, and hears no more.
        self.read(who);
        if self.is_new() {
            self.clients[who].forget();
        }
        let before = self.clients[who].connection.take();
        let now = self.world.now;
        let valid_for = login.valid_for_ms.map(Duration::from_millis);
        self.clients[who].connected(now, link, &connect, &self.settings);
        if let Some(connection) = self.clients[who].connection.as_mut() {
            connection.principal = principal;
            connection.valid_until = valid_for.map(|valid_for| now.after(valid_for));
        }
        if let Some(before) = before {
            self.world.cut(before.link);
            return "taken over";
        }
        if asked { "asked about a will" } else { "let in" }
    }

    /// Whether the session of whoever was let in last is a new one. A client need not hear of each:
    /// CONNACK may be lost, and the next one says that the session goes on.
    fn is_new(&self) -> bool {
        let told = self.world.history.iter().rev().find_map(|moment| match &moment.what {
            What::Told(Event::Connected { session_present, .. }) => Some(!session_present),
            _ => None,
        });
        told.unwrap_or(false)
    }

    fn send(&mut self, source: &mut Source<'_>, who: usize) -> &'static str {
        let choice = source.byte();
        let client = &mut self.clients[who];
        let Some(connection) = client.connection.as_mut() else { return "not connected" };
        let (version, known) = (connection.version, connection.known(usize::from(choice >> 4)));
        let mut bytes = std::mem::take(&mut connection.underway);
        for _ in 0..1 + usize::from(choice & 3) {
            self.serial += 1;
            packets::packet(source, version, known, self.serial, &mut bytes);
        }
        if choice & 0x0C != 0 {
            return self.deliver(who, &bytes).unwrap_or("sent");
        }
        let cut = source.below(256).min(bytes.len());
        let rest = bytes.split_off(cut);
        let asked = self.deliver(who, &bytes);
        if let Some(connection) = self.clients[who].connection.as_mut() {
            connection.underway = rest;
        }
        asked.unwrap_or("sent in parts")
    }

    fn send_anything(&mut self, source: &mut Source<'_>, who: usize) -> &'static str {
        let bytes: Vec<u8> = (0..source.below(40)).map(|_| source.byte()).collect();
        self.deliver(who, &bytes).unwrap_or("sent anything")
    }

    /// Bytes of a client arrive; says if something else came of it.
    fn deliver(&mut self, who: usize, bytes: &[u8]) -> Option<&'static str> {
        let client = &mut self.clients[who];
        client.sends(bytes);
        let Some(connection) = client.connection.as_mut() else { return Some("not connected") };
        if connection.asked.is_some() {
            // The gateway reads on when the extension has answered.
            connection.waiting.extend_from_slice(bytes);
            return None;
        }
        connection.heard = self.world.now;
        connection.asked = self.world.send(connection.link, bytes);
        connection.asked.is_some().then_some("asked")
    }

    fn answer(&mut self, source: &mut Source<'_>, who: usize) -> &'static str {
        let Some(connection) = self.clients[who].connection.as_mut() else {
            return "not connected";
        };
        let shown = self.world.shown(connection.link);
        if !shown.is_empty() {
            let made = shown.iter().map(interceptors::made_of_delivery).collect();
            self.world.reviewed(connection.link, made);
            self.reached.insert("shown deliveries");
            return "answered";
        }
        let Some(question) = connection.asked.take() else { return "not connected" };
        let answer = match question {
            Question::Intercept(draft) => {
                self.reached.insert("shown a publish");
                Answer::Intercept(interceptors::made_of(&draft))
            }
            Question::Publish { .. } => Answer::Publish(ruling(source)),
            Question::Subscribe(asked) => {
                // Now and then one too few.
                let count = asked.len() - usize::from(source.below(8) == 7);
                Answer::Subscribe((0..count).map(|_| verdict(source)).collect())
            }
            Question::Authenticate { .. } => Answer::Authenticate(match source.below(4) {
                2 => Authentication::Challenge { data: None },
                3 => Authentication::Refuse {
                    code: ReasonCode::NotAuthorized,
                    why: "the guest said so".into(),
                },
                choice => {
                    let valid_for_ms = (choice == 1).then_some(500);
                    let renewal = Renewal {
                        principal: connection.principal.into(),
                        attributes: Vec::new(),
                        permissions: Arc::clone(&self.permissions[source.below(5)]),
                        valid_for_ms,
                        limits: auth::Limits::default(),
                        data: None,
                    };
                    connection.valid_until =
                        valid_for_ms.map(|ms| self.world.now.after(Duration::from_millis(ms)));
                    Authentication::Renew(Box::new(renewal))
                }
            }),
        };
        connection.heard = self.world.now;
        connection.asked = self.world.answer(connection.link, answer);
        if connection.asked.is_none() {
            let waiting = std::mem::take(&mut connection.waiting);
            connection.asked = self.world.send(connection.link, &waiting);
        }
        "answered"
    }

    /// A client that keeps the rules confirms what it got.
    fn acknowledge(&mut self, who: usize, count: usize) -> &'static str {
        for n in 0..count {
            let Some(bytes) = self.clients[who].reply() else {
                return if n > 0 { "acknowledged" } else { "nothing to acknowledge" };
            };
            self.finish_sending(who);
            self.deliver(who, &bytes);
            self.read(who);
        }
        "acknowledged"
    }

    fn finish_sending(&mut self, who: usize) {
        let connection = self.clients[who].connection.as_mut();
        let bytes = connection.map(|c| std::mem::take(&mut c.underway)).unwrap_or_default();
        self.deliver(who, &bytes);
    }

    fn begin_commit(&mut self) -> &'static str {
        if self.world.begin_commit() {
            return "commit begun";
        }
        self.clients.iter_mut().for_each(Client::catches_up);
        "nothing to commit"
    }

    fn finish_commit(&mut self) -> &'static str {
        for connection in self.clients.iter_mut().filter_map(|client| client.connection.as_mut()) {
            if self.world.is_excused(connection.link) {
                connection.heard = self.world.now;
            }
        }
        self.world.finish_commit();
        "commit finished"
    }

    fn pass(&mut self, source: &mut Source<'_>) -> &'static str {
        let ms = [1, 20, 600, 2000, 6000, 40_000, 1 << 40][source.below(7)];
        self.world.advance(Duration::from_millis(ms));
        let next = self.world.broker.next_deadline();
        assert!(next.is_none_or(|at| at > self.world.now), "{next:?} is over and still due");
        for client in &self.clients {
            let Some(connection) = &client.connection else { continue };
            let excused = self.world.is_excused(connection.link);
            let over = connection.is_over(self.world.now, excused);
            let over = over && self.world.is_open(connection.link);
            assert!(!over, "{} should have been closed by now", client.name);
        }
        "time passed"
    }

    fn stall(&mut self, who: usize, stalled: bool) -> &'static str {
        let Some(connection) = self.clients[who].connection.as_mut() else {
            return "not connected";
        };
        connection.stalled = stalled;
        self.world.stall(connection.link, stalled);
        if stalled { "stalled" } else { "flowing again" }
    }

    fn cut(&mut self, who: usize) -> &'static str {
        let Some(connection) = self.clients[who].connection.take() else { return "not connected" };
        self.world.cut(connection.link);
        "cut"
    }

    fn crash(&mut self, source: &mut Source<'_>) -> &'static str {
        self.world.crash(source.flag());
        self.clients.iter_mut().for_each(|client| client.connection = None);
        "power failed"
    }

    fn say(&mut self, source: &mut Source<'_>) -> &'static str {
        let (topic, value) = (["$SYS/x", "$SYS/y"][source.below(2)], source.byte());
        if value & 0xE0 == 0x20 {
            let levels = [Memory::Ample, Memory::Tight, Memory::Full, Memory::Full];
            self.set_memory(levels[usize::from(value & 3)]);
            return "told of memory";
        }
        self.world.publish_system(topic, &value.to_string());
        "said by the gateway"
    }

    /// Whoever waited for memory is heard again where there is some.
    fn set_memory(&mut self, memory: Memory) {
        for client in &mut self.clients {
            let Some(connection) = client.connection.as_mut() else { continue };
            if self.world.is_excused(connection.link) {
                connection.heard = self.world.now;
            }
        }
        self.world.set_memory(memory);
        for client in &mut self.clients {
            let Some(connection) = client.connection.as_mut() else { continue };
            if let Some(asked) = self.world.asked_late(connection.link) {
                connection.asked = Some(asked);
            }
        }
    }

    fn shut_down(&mut self, source: &mut Source<'_>) -> &'static str {
        if source.below(4) > 0 {
            return "nothing to commit";
        }
        self.world.shut_down();
        "shut down"
    }

    /// What holds after every step.
    fn look(&mut self) {
        (0..NAMES.len()).for_each(|who| self.read(who));
        let forgotten = self.world.forgotten().next();
        assert_eq!(forgotten, None, "output waits for a connection that was not woken");
        let stats = self.world.broker.stats();
        let links = self.clients.iter().filter_map(|client| client.connection.as_ref());
        let open = links.filter(|connection| self.world.is_open(connection.link)).count();
        assert_eq!(stats.clients_connected, open as u64);
        assert!(stats.clients_connected <= stats.sessions);
        let settings = &self.settings;
        let per_session = settings.max_subscriptions as u64;
        assert!(stats.subscriptions <= stats.sessions * per_session);
        // What is sent at once need not fit the queues; the window bounds it.
        let in_flight = NAMES.len() * usize::from(settings.max_inflight) * 9000;
        let bound = settings.max_queued_bytes_total + in_flight;
        assert!(stats.queued_bytes <= bound as u64, "{stats:?}");
    }

    fn read(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let Some(connection) = &client.connection else { return };
        let Some(wire) = self.world.wire(connection.link) else { return };
        client.reads(wire, &mut self.reached);
    }

    /// Sockets flow, the disk writes, extensions allow, clients confirm what they get: then nothing
    /// remains of any exchange, and of any queue of whoever is connected.
    pub(crate) fn come_to_rest(&mut self) {
        self.set_memory(Memory::Ample);
        let mut rounds = 0;
        loop {
            let mut moved = self.world.begin_commit();
            self.world.finish_commit();
            for who in 0..NAMES.len() {
                self.stall(who, false);
                self.read(who);
                moved |= self.answer(&mut Source::new(&[]), who) == "answered";
                moved |= self.acknowledge(who, 8) == "acknowledged";
            }
            self.look();
            rounds += 1;
            assert!(rounds < ROUNDS, "the broker does not come to rest");
            if !moved {
                break;
            }
        }
        for client in &self.clients {
            let Some(connection) = &client.connection else { continue };
            let rests = !self.world.is_open(connection.link) || connection.is_quiet();
            assert!(rests, "{}: something was never confirmed", client.name);
        }
    }

    /// Every session is resumed and drained, then ended. Nothing is left in memory or on disk.
    pub(crate) fn wipe(&mut self) {
        for who in 0..NAMES.len() {
            self.cut(who);
        }
        self.world.flush();
        let sessions = self.world.disk.snapshot().sessions;
        // When a session ends that was offline, what it had for a group goes to the next member: so
        // twice. Then nobody is owed anything, and every session is ended.
        for (round, clean) in [(0, false), (1, false), (2, true)] {
            for session in &sessions {
                let record = &session.record;
                let mut connect = plain(&record.client_id);
                connect.clean_start = clean;
                connect.properties.session_expiry = (!clean).then_some(u32::MAX);
                self.visit(&connect, &record.principal);
            }
            self.world.flush();
            if round == 0 {
                continue;
            }
            let stats = self.world.broker.stats();
            assert_eq!(stats.queued_bytes, 0, "everything was delivered: {stats:?}");
            let disk = &self.world.disk;
            assert_eq!(disk.deliveries(), 0, "left on disk");
        }
        let stats = self.world.broker.stats();
        assert_eq!((stats.sessions, stats.subscriptions, stats.clients_connected), (0, 0, 0));
        assert_eq!(self.world.disk.received(), 0, "left on disk");
        self.world.advance(Duration::from_secs(3600));
        assert_eq!(self.world.broker.next_deadline(), None, "nothing is left that could be due");
    }

    /// A client that takes all it is owed and goes.
    fn visit(&mut self, connect: &Connect<'_>, principal: &str) {
        let login = Login {
            connect,
            principal,
            permissions: Arc::clone(&self.permissions[0]),
            authentication_data: None,
            valid_for_ms: None,
            limits: auth::Limits::default(),
            will_verdict: None,
            will_interception: None,
        };
        let Door::Open(link) = self.world.connect(&login) else { panic!("{principal} is let in") };
        let mut client = Client::new("visitor");
        client.connected(self.world.now, link, connect, &self.settings);
        self.clients[0] = client;
        self.come_to_rest();
        self.cut(0);
    }
}

fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        client_id,
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

fn ruling(source: &mut Source<'_>) -> Ruling {
    let choice = source.below(3);
    Ruling { verdict: chosen(choice), valid_ms: if choice == 1 { 700 } else { 0 } }
}

fn verdict(source: &mut Source<'_>) -> Verdict {
    chosen(source.below(3))
}

fn chosen(choice: usize) -> Verdict {
    match choice {
        2 => Verdict::Deny { code: ReasonCode::NotAuthorized, why: "the guest said so".into() },
        _ => Verdict::Allow,
    }
}

/// Some clients are sent away when they send more in a time than they may.
fn limits(choice: u8) -> Limits {
    let messages = (choice == 4).then_some(Rate { per_second: 10, burst: 3 });
    Limits { messages, excess: Excess::Disconnect, ..Limits::default() }
}

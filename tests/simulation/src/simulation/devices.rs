use std::sync::Arc;

use broker::{Answer, Draft, Interception, Question, Ruling, Verdict};
use mqtt::{QoS, ReasonCode, RetainHandling, SubscribeOptions};

use super::{Asked, FILTERS, SHARED, Simulation, TOPICS};
use crate::device::{Device, LastWords, Sending};
use crate::world::{Door, Login};

/// What devices and guests do.
impl Simulation {
    pub(super) fn connect(&mut self, who: usize) -> Option<String> {
        if self.devices[who].link.is_some() { None } else { self.connect_again(who) }
    }

    /// Connects, whatever became of the last connection.
    pub(super) fn connect_again(&mut self, who: usize) -> Option<String> {
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
        self.enter(who, bytes, None, None);
        Some(said)
    }

    pub(super) fn enter(
        &mut self,
        who: usize,
        bytes: Vec<u8>,
        will_verdict: Option<Verdict>,
        will_interception: Option<Interception>,
    ) {
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
            limits: auth::Limits::default(),
            authentication_data: None,
            will_verdict,
            will_interception,
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
    pub(super) fn answer(&mut self, who: usize) -> Option<String> {
        let allow = !self.random.chance(12);
        let asked = self.asked[who].is_some();
        if let Some(link) = self.devices[who].link.filter(|_| asked && self.random.chance(5)) {
            self.world.forget_rulings(link);
        }
        self.give_answer(who, allow)
    }

    pub(super) fn give_answer(&mut self, who: usize, allow: bool) -> Option<String> {
        let asked = self.asked[who].take()?;
        let code = self.random.pick(&[
            ReasonCode::NotAuthorized,
            ReasonCode::ImplementationSpecificError,
            ReasonCode::QuotaExceeded,
        ]);
        let valid_ms = self.random.pick(&[0, 50, 5_000]);
        let verdict = || match allow {
            true => Verdict::Allow,
            false => Verdict::Deny { code, why: "it trapped".into() },
        };
        match asked {
            // A will that interceptors see goes on as it is.
            Asked::Connect { bytes } => {
                let passed = self.plan.interceptors.then_some(Interception::Pass);
                self.enter(who, bytes, Some(verdict()), passed);
            }
            Asked::Packet(question) => {
                let answer = match &question {
                    Question::Publish { .. } => {
                        Answer::Publish(Ruling { verdict: verdict(), valid_ms })
                    }
                    Question::Subscribe(filters) => {
                        Answer::Subscribe(filters.iter().map(|_| verdict()).collect())
                    }
                    Question::Authenticate { .. } => panic!("nobody names a method"),
                    Question::Intercept(draft) => Answer::Intercept(self.intercept(draft, code)),
                };
                let link = self.devices[who].link?;
                self.asked[who] = self.world.answer(link, answer).map(Asked::Packet);
            }
        }
        Some(format!("is answered {allow}"))
    }

    /// What interceptors make of a message. It keeps its payload, by which devices know it, and gets no higher QoS, with
    /// which it would come once although its publisher may repeat it.
    fn intercept(&mut self, draft: &Draft, code: ReasonCode) -> Interception {
        match self.random.below(8) {
            0 => Interception::Discard,
            1 => Interception::Refuse { code, why: "it trapped".to_owned() },
            2 | 3 => {
                let topic = mqtt::TopicName::new(self.random.pick(&TOPICS)).expect("a topic");
                let qos = self.qos().min(draft.qos);
                let retain = draft.retain && self.random.chance(50);
                let draft = Draft { topic: topic.to_owned(), qos, retain, ..draft.clone() };
                Interception::Replace(vec![draft])
            }
            _ => Interception::Pass,
        }
    }

    pub(super) fn cut(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        self.world.cut(link);
        self.hang_up(who);
        Some("is cut".to_owned())
    }

    pub(super) fn hang_up(&mut self, who: usize) {
        self.devices[who].hang_up();
        if !matches!(self.asked[who], Some(Asked::Connect { .. })) {
            self.asked[who] = None;
        }
    }

    /// It ends its own side, and goes on reading.
    pub(super) fn half_close(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        self.deliver_all(who);
        self.world.hang_up(link);
        self.devices[who].mute = true;
        Some("closes its side".to_owned())
    }

    pub(super) fn disconnect(&mut self, who: usize) -> Option<String> {
        let expiry = self.random.pick(&[None, None, Some(0), Some(3)]);
        let with_will = self.random.chance(30);
        let device = self.ready(who)?;
        device.disconnect(expiry, with_will);
        if expiry == Some(0) {
            device.wants_clean = true;
        }
        Some(format!("disconnects expiry={expiry:?} will={with_will}"))
    }

    pub(super) fn subscribe(&mut self, who: usize) -> Option<String> {
        if let Some(shared) = self.draw_shared(who) {
            return self.subscribe_shared(who, shared);
        }
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

    /// The group that a device is to join or leave, if it is to be one. What a device gets for one
    /// group can be told from what it gets for others, and for itself: by the subscription
    /// identifier, or because in 3.1.1 there is nothing else.
    fn draw_shared(&mut self, who: usize) -> Option<usize> {
        let index = self.random.below(SHARED.len() as u64) as usize;
        let often = self.random.chance(60);
        match self.devices[who].version.is_v5() {
            _ if !self.plan.shared => None,
            true => often.then_some(index),
            false => who.is_multiple_of(2).then_some(who / 2 % SHARED.len()),
        }
    }

    fn subscribe_shared(&mut self, who: usize, index: usize) -> Option<String> {
        let qos = match self.plan.shared_confirmed {
            true => self.random.pick(&[QoS::AtLeastOnce, QoS::ExactlyOnce]),
            false => self.qos(),
        };
        let v5 = self.plan.options && self.devices[who].version.is_v5();
        let retain_as_published = v5 && self.random.chance(50);
        let options = SubscribeOptions { qos, retain_as_published, ..SubscribeOptions::default() };
        let (filter, id) = (SHARED[index], 100 + index as u32);
        self.ready(who)?.subscribe(&[(filter, options)], Some(id));
        Some(format!("subscribes to {filter} {options:?}"))
    }

    pub(super) fn unsubscribe(&mut self, who: usize) -> Option<String> {
        let plain = self.random.pick(&FILTERS);
        let filter = self.draw_shared(who).map_or(plain, |index| SHARED[index]);
        self.ready(who)?.unsubscribe(filter);
        Some(format!("unsubscribes from {filter}"))
    }

    pub(super) fn publish(&mut self, who: usize) -> Option<String> {
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

    pub(super) fn flood(&mut self, who: usize) -> Option<String> {
        let link = self.devices[who].link?;
        if !self.world.may_read(link) {
            return None;
        }
        self.ready(who)?.flood();
        Some("floods".to_owned())
    }

    /// The device, if it is connected and may send.
    pub(super) fn ready(&mut self, who: usize) -> Option<&mut Device> {
        let open = self.devices[who].link.is_some_and(|link| self.world.is_open(link));
        let device = &mut self.devices[who];
        (open && device.welcome && !device.mute).then_some(device)
    }

    pub(super) fn stall(&mut self, who: usize, stalled: bool) -> Option<String> {
        let link = self.devices[who].link.filter(|link| self.world.is_stalled(*link) != stalled)?;
        self.world.stall(link, stalled);
        Some(format!("stalls {stalled}"))
    }
}

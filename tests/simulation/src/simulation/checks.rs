use std::collections::BTreeSet;
use std::time::Duration;

use broker::Overflow;
use mqtt::QoS;

use super::{DEVICES, Simulation};
use crate::reference::rule_of;

/// What is true after every step, when everything has come to rest, and in the end.
impl Simulation {
    /// Everybody reads, confirms, answers and writes until nothing is left to do.
    pub(super) fn be_prompt(&mut self) {
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
            while self.world.finish_read() {
                work = true;
                self.follow();
            }
            self.follow();
            if !work {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Everybody comes back and everything is delivered.
    pub(super) fn come_to_rest(&mut self) {
        self.refuses = 0;
        self.plan.keep_alive = false;
        self.plan.wills = false;
        for who in 0..self.devices.len() {
            self.asked[who] = None;
            self.connect_again(who);
            self.follow();
        }
        for _ in 0..6 {
            self.be_prompt();
            self.world.advance(Duration::from_millis(250));
            self.follow();
        }
        self.world.sync();
        self.reference.check_rest(self.world.now);
        self.check_always();
    }

    pub(super) fn check_always(&self) {
        let (stats, settings) = (self.world.broker.stats(), &self.plan.settings);
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
        // Until the oldest have been read from disk, a queue may be too long.
        let trims = matches!(settings.overflow, Overflow::DropOldest | Overflow::LastValue);
        let limit = settings.max_queued_bytes_total + if trims { 256 * 1024 } else { 0 };
        assert!(queued <= limit, "{queued} bytes are queued, the limit is {limit}");
        self.check_rules();
        let forgotten = self.world.forgotten().next();
        assert!(forgotten.is_none(), "{forgotten:?} was not woken");
        for device in &self.devices {
            if let Some(link) = device.link.filter(|link| !self.world.is_stalled(*link)) {
                self.reference.check_idle(link, self.world.now);
            }
        }
    }

    /// On disk is no more of a rule's topics than may wait, besides what was sent to a client that
    /// was there.
    fn check_rules(&self) {
        let settings = &self.plan.settings;
        let trims = matches!(settings.overflow, Overflow::DropOldest | Overflow::LastValue);
        // What was dropped is still on disk until something is written that cannot wait.
        let slack = match (trims, self.plan.prompt) {
            (false, _) => 0,
            (true, false) => 1000,
            (true, true) => DEVICES as usize,
        };
        for (at, rule) in settings.topic_rules.iter().enumerate() {
            let max = rule.max_queued_messages.unwrap_or(usize::MAX - 2000);
            let max = max + usize::from(settings.max_inflight) + slack;
            for stored in self.world.disk.all() {
                let entries = stored.deliveries.values();
                let ours = entries
                    .filter(|entry| rule_of(settings, entry.body.topic.as_str()) == Some(at));
                let count = ours.count();
                let who = &stored.record.client_id;
                assert!(count <= max, "{count} wait for {who} on {:?}, not {max}", rule.filter);
            }
        }
    }

    pub(super) fn check_end(&self) {
        for device in &self.devices {
            let waits = device.outgoing.len();
            assert_eq!(waits, 0, "{} waits for acknowledgements", device.name);
            let mut once = BTreeSet::new();
            let twice = device.receipts.iter().filter(|receipt| {
                // A member of a group may get its own copy as well.
                receipt.qos == QoS::ExactlyOnce
                    && !self.plan.shared
                    && !self.may_repeat[receipt.message]
                    && !once.insert((receipt.epoch, receipt.message))
            });
            let twice: Vec<usize> = twice.map(|receipt| receipt.message).collect();
            assert!(twice.is_empty(), "{} got messages twice: {twice:?}", device.name);
        }
        let disk = &self.world.disk;
        let left = (disk.deliveries(), disk.received());
        assert_eq!(left, (0, 0), "queue entries and identifiers left on disk");
        assert_eq!(self.world.broker.stats().queued_bytes, 0, "bytes left in queues");
    }
}

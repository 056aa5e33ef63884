use std::time::Duration;

use broker::{Overflow, Settings, TopicRule};
use mqtt::TopicFilter;

use crate::random::Random;

/// What happens under one seed: a random part of all that may, so that each part is also met
/// without the others.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything is read, confirmed and written at once, so that what comes is known exactly.
    pub(crate) prompt: bool,
    /// Bytes of clients arrive in pieces, later.
    pub(crate) delay: bool,
    /// Sockets that take nothing for a while.
    pub(crate) stall: bool,
    pub(crate) cut: bool,
    pub(crate) half_close: bool,
    pub(crate) crash: bool,
    pub(crate) restart: bool,
    /// A disk that refuses commits for a while.
    pub(crate) refuse: bool,
    /// Guests are asked about everything, and are slow.
    pub(crate) guests: bool,
    /// Interceptors see some of what is published, and are slow. Without guests, whose rulings would be remembered meanwhile.
    pub(crate) interceptors: bool,
    pub(crate) wills: bool,
    pub(crate) retained: bool,
    pub(crate) expiry: bool,
    pub(crate) options: bool,
    pub(crate) small_packets: bool,
    pub(crate) small_outboxes: bool,
    pub(crate) large_payloads: bool,
    /// Clients that ask for many small answers.
    pub(crate) flood: bool,
    pub(crate) aliases: bool,
    pub(crate) identifiers: bool,
    pub(crate) keep_alive: bool,
    pub(crate) passing: bool,
    /// Clients share subscriptions.
    pub(crate) shared: bool,
    /// Nobody shares one at QoS 0, where messages may be lost.
    pub(crate) shared_confirmed: bool,
    /// The disk takes its time to read.
    pub(crate) slow_reads: bool,
    pub(crate) settings: Settings,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let prompt = random.chance(30);
        let mut settings = Settings { receive_maximum: 6, max_inflight: 4, ..Settings::default() };
        let (reject, oldest) = (Overflow::Reject, Overflow::DropOldest);
        let small_queues = random.chance(25);
        if small_queues {
            settings.max_queued_messages = random.pick(&[2, 5]);
            settings.max_queued_bytes = random.pick(&[400, 1000]);
            settings.max_queued_bytes_total = random.pick(&[800, 2000]);
            settings.max_retained_messages = 2;
            settings.max_retained_bytes = random.pick(&[250, 500]);
            settings.max_subscriptions = 3;
            settings.max_journal_bytes = 4096;
            settings.overflow =
                random.pick(&[reject, reject, oldest, Overflow::DropNewest, Overflow::LastValue]);
        } else if random.chance(10) {
            settings.overflow = Overflow::LastValue;
        }
        waiting(random, &mut settings);
        if random.chance(30) {
            settings.topic_rules = rules(random);
            if !small_queues {
                settings.overflow =
                    random.pick(&[settings.overflow, oldest, oldest, Overflow::DropNewest]);
            }
        }
        let flood = !prompt && random.chance(20);
        let small_outboxes = flood || !prompt && random.chance(25);
        if small_outboxes {
            settings.max_outbox_bytes = random.pick(&[64, 300]);
        }
        if random.chance(20) {
            settings.persist_delay = Duration::from_millis(random.pick(&[1, 200]));
        }
        let guests = random.chance(30);
        Self {
            prompt,
            delay: !prompt && random.chance(40),
            stall: flood || !prompt && random.chance(40),
            cut: random.chance(60),
            half_close: !prompt && random.chance(30),
            crash: random.chance(40),
            restart: random.chance(20),
            refuse: !prompt && random.chance(25),
            guests,
            interceptors: !guests && random.chance(25),
            wills: random.chance(40),
            retained: random.chance(40),
            expiry: random.chance(40),
            options: random.chance(50),
            small_packets: random.chance(25),
            small_outboxes,
            large_payloads: random.chance(15),
            flood,
            aliases: random.chance(40),
            identifiers: random.chance(40),
            keep_alive: random.chance(20),
            passing: random.chance(70),
            shared: random.chance(35),
            shared_confirmed: random.chance(70),
            slow_reads: !prompt && random.chance(40),
            settings,
        }
    }
}

/// How much of what waits may be in memory.
fn waiting(random: &mut Random, settings: &mut Settings) {
    if random.chance(40) {
        settings.max_waiting_messages = random.pick(&[1, 2, 4]);
    }
    if random.chance(20) {
        settings.max_waiting_bytes = random.pick(&[1, 300]);
    }
    if random.chance(10) {
        settings.max_waiting_bytes_total = random.pick(&[1, 600]);
    }
}

/// Rules that limit what some topics may take of a queue.
fn rules(random: &mut Random) -> Vec<TopicRule> {
    let mut filters = vec![random.pick(&["t/a", "t/+", "t/#", "u", "#"])];
    if random.chance(40) {
        filters.push(random.pick(&["t/b", "+/a", "#"]));
    }
    let names = ["first", "second"].into_iter();
    let rule = |(name, filter): (&str, &str)| TopicRule {
        name: name.to_owned(),
        filter: TopicFilter::new(filter).expect("a filter").to_owned(),
        durability: None,
        overflow: None,
        max_queued_messages: Some(random.pick(&[1, 1, 2, 3, 1000])),
        max_queued_bytes: random.pick(&[None, None, Some(250), Some(700)]),
    };
    names.zip(filters).map(rule).collect()
}

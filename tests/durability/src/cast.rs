use std::thread;
use std::time::Duration;

use mqtt::{QoS, Version};

use crate::fault::Faults;
use crate::publisher::{Habits as Publishing, Publisher};
use crate::random::Random;
use crate::session::Surroundings;
use crate::subscriber::{Habits as Subscribing, Subscriber};
use crate::will::Wills;

/// All clients of a run.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) wills: Wills,
}

/// How long nothing may come before a queue counts as empty.
const QUIET: Duration = Duration::from_secs(3);

impl Cast {
    pub(crate) fn new() -> Self {
        let publishers: Vec<_> =
            (0..).zip(PUBLISHERS).map(|(index, habits)| Publisher::new(index, habits)).collect();
        let ordinary = publishers.iter().filter(|it| !it.habits.retains).map(|it| it.index);
        let ordinary: Vec<u16> = ordinary.collect();
        let wills = Wills::new(u16::try_from(publishers.len()).unwrap_or_default());
        let subscribers = (0..)
            .zip(subscribers(&ordinary, &wills))
            .map(|(index, habits)| Subscriber::new(index, habits))
            .collect();
        Self { publishers, subscribers, wills }
    }

    /// Has each subscriber begin its session.
    pub(crate) fn settle(&mut self, place: &Surroundings<'_>) {
        for subscriber in &mut self.subscribers {
            subscriber.settle(place).expect("nobody kills the gateway yet");
        }
    }

    /// All clients at once, while `meanwhile` does what is to be done to the gateway. When that returns,
    /// the gateway is gone or time is over.
    pub(crate) fn perform<T>(
        &mut self,
        place: &Surroundings<'_>,
        random: &mut Random,
        meanwhile: impl FnOnce() -> T,
    ) -> T {
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                let mut random = random.fork();
                scope.spawn(move || publisher.run(place, &mut random));
            }
            for subscriber in &mut self.subscribers {
                let mut random = random.fork();
                scope.spawn(move || subscriber.run(place, &mut random));
            }
            let mut random = random.fork();
            let wills = &mut self.wills;
            scope.spawn(move || wills.run(place, &mut random));
            let result = meanwhile();
            place.over.store(true, std::sync::atomic::Ordering::Relaxed);
            result
        })
    }

    /// Publishers bring what they began to an end, and then subscribers receive all that there is.
    pub(crate) fn finish(&mut self, place: &Surroundings<'_>) {
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(|| publisher.finish(place).expect("nobody kills the gateway"));
            }
        });
        thread::scope(|scope| {
            for subscriber in &mut self.subscribers {
                scope.spawn(|| subscriber.drain(place, QUIET).expect("nobody kills the gateway"));
            }
        });
    }

    /// What the clients themselves have found wrong.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let sessions = self.publishers.iter().map(|it| &it.session);
        for session in sessions.chain(self.subscribers.iter().map(|it| &it.session)) {
            faults.extend(session.faults.clone());
        }
        faults
    }
}

const PLAIN: Publishing = Publishing {
    version: Version::V5,
    qos: None,
    retains: false,
    topics: 3,
    window: 32,
    identifiers: 60_000,
};

/// Few identifiers, so that one that the gateway did not forget in time would soon swallow a message.
const PUBLISHERS: [Publishing; 7] = [
    Publishing { qos: Some(QoS::AtLeastOnce), ..PLAIN },
    Publishing { qos: Some(QoS::ExactlyOnce), identifiers: 40, ..PLAIN },
    Publishing { identifiers: 100, ..PLAIN },
    Publishing { version: Version::V3_1_1, ..PLAIN },
    Publishing { version: Version::V3_1_1, qos: Some(QoS::ExactlyOnce), window: 4, ..PLAIN },
    Publishing { qos: Some(QoS::AtLeastOnce), retains: true, topics: 12, window: 8, ..PLAIN },
    Publishing {
        version: Version::V3_1_1,
        qos: Some(QoS::ExactlyOnce),
        retains: true,
        topics: 12,
        window: 8,
        ..PLAIN
    },
];

fn subscribers(publishers: &[u16], wills: &Wills) -> Vec<Subscribing> {
    let all: Vec<_> = publishers.iter().map(|it| (*it, Publisher::filter(*it))).collect();
    let some = |from: usize, to: usize| all.get(from..to).unwrap_or_default().to_vec();
    let always = Subscribing {
        version: Version::V5,
        qos: QoS::ExactlyOnce,
        filters: all.clone(),
        attendance: 1000,
        sluggishness: 0,
        receive_maximum: None,
        restless: false,
    };
    let old = Subscribing { version: Version::V3_1_1, ..always.clone() };
    vec![
        always.clone(),
        Subscribing { qos: QoS::AtLeastOnce, ..always.clone() },
        Subscribing { filters: some(0, 3), ..old.clone() },
        Subscribing { attendance: 250, filters: some(0, 3), ..always.clone() },
        Subscribing { attendance: 150, qos: QoS::AtLeastOnce, filters: some(1, 4), ..old.clone() },
        Subscribing {
            sluggishness: 2,
            receive_maximum: Some(8),
            filters: some(2, 3),
            ..always.clone()
        },
        Subscribing { sluggishness: 2, qos: QoS::AtLeastOnce, filters: some(0, 1), ..old.clone() },
        Subscribing { restless: true, attendance: 900, filters: some(1, 4), ..always.clone() },
        Subscribing { restless: true, attendance: 900, filters: some(0, 3), ..old },
        Subscribing { filters: vec![wills.subscribed()], attendance: 800, ..always },
    ]
}

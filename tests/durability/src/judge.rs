//! What the clients know, put together after the last of them has received all that there is.

use std::collections::{HashMap, HashSet};

use mqtt::QoS;

use crate::cast::Cast;
use crate::clock::Tick;
use crate::fault::{Faults, Kind};
use crate::key::Key;
use crate::subscriber::{Got, Subscriber, Subscription};

/// What is known of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) topic: u16,
    pub(crate) qos: QoS,
    pub(crate) first: Tick,
    /// At `Tick::MAX` if never.
    pub(crate) promised: Tick,
}

impl Cast {
    /// What is known of a message; `None` if nobody sent it.
    pub(crate) fn known(&self, key: Key) -> Option<Known> {
        if key.publisher == self.wills.index {
            let first = self.wills.left.get(key.number as usize)?.first;
            return Some(Known { topic: 0, qos: QoS::ExactlyOnce, first, promised: Tick::MAX });
        }
        let publisher = self.publishers.get(usize::from(key.publisher))?;
        let sent = publisher.sent.get(key.number as usize)?;
        let promised = sent.promised.unwrap_or(Tick::MAX);
        Some(Known { topic: sent.topic, qos: sent.qos, first: sent.first, promised })
    }
}

impl Subscriber {
    /// Whether a subscription of that time accounts for the message.
    pub(crate) fn may_get(&self, epoch: usize, key: Key, known: &Known) -> bool {
        self.of(epoch, key.publisher).any(|subscription| {
            subscription.asked <= known.promised
                && subscription.left.is_none_or(|left| known.first <= left)
        })
    }

    /// Whether one subscription lasted from before the message was sent until `until`. Only then is the
    /// first that was made of it a delivery: what a publisher sends again may reach a subscription that was
    /// not there the first time.
    pub(crate) fn was_there(&self, epoch: usize, key: Key, known: &Known, until: Tick) -> bool {
        self.of(epoch, key.publisher).any(|subscription| {
            subscription.granted.is_some_and(|granted| granted < known.first)
                && subscription.leaving.is_none_or(|leaving| leaving > until)
        })
    }

    /// Its subscriptions to a publisher.
    fn of(&self, epoch: usize, publisher: u16) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(move |subscription| {
            subscription.epoch == epoch && self.habits.filters[subscription.filter].0 == publisher
        })
    }
}

/// A stream whose order counts: epoch of the subscriber, publisher, topic, QoS of the publication.
type Stream = (usize, u16, u16, QoS);

/// Judges a run that is over.
pub(crate) fn judge(cast: &Cast) -> Faults {
    let mut faults = cast.faults();
    for subscriber in &cast.subscribers {
        arrivals(cast, subscriber, &mut faults);
        losses(cast, subscriber, &mut faults);
    }
    faults
}

/// What arrived was sent, was subscribed to, came in order and at QoS 2 once.
fn arrivals(cast: &Cast, subscriber: &Subscriber, faults: &mut Faults) {
    let who = &subscriber.session.client_id;
    let mut seen: HashMap<(usize, Key), Got> = HashMap::new();
    let mut last: HashMap<Stream, Got> = HashMap::new();
    for got in &subscriber.got {
        let Got { key, epoch, .. } = *got;
        let Some(known) = cast.known(key).filter(|known| known.first < got.at) else {
            faults.add(Kind::Corrupt, format!("{who} gets {key}, which was not sent: {got:?}"));
            continue;
        };
        if !subscriber.may_get(epoch, key, &known) {
            let evidence =
                format!("{who} gets {key} without a subscription: {got:?}, known {known:?}");
            faults.add(Kind::Resurrected, evidence);
        }
        if let Some(before) = seen.insert((epoch, key), *got) {
            if got.qos == QoS::ExactlyOnce {
                let evidence = format!("{who} gets {key} twice: {before:?} and {got:?}");
                faults.add(Kind::Duplicate, evidence);
            }
            continue;
        }
        let stream = (epoch, key.publisher, known.topic, known.qos);
        if let Some(before) = last.insert(stream, *got)
            && before.key.number > key.number
            && subscriber.was_there(epoch, key, &known, before.at)
        {
            let evidence = format!("{who} gets {key} for the first time after {before:?}: {got:?}");
            faults.add(Kind::Disorder, evidence);
        }
    }
}

/// What was promised while a subscription lasted has arrived.
fn losses(cast: &Cast, subscriber: &Subscriber, faults: &mut Faults) {
    let epoch = subscriber.session.epoch();
    let got: HashSet<Key> =
        subscriber.got.iter().filter(|it| it.epoch == epoch).map(|it| it.key).collect();
    for subscription in subscriber.subscriptions.iter().filter(|it| it.epoch == epoch) {
        let (Some(granted), None) = (subscription.granted, subscription.leaving) else { continue };
        let index = subscriber.habits.filters[subscription.filter].0;
        let Some(publisher) = cast.publishers.get(usize::from(index)) else { continue };
        for (number, sent) in (0..).zip(&publisher.sent) {
            let key = Key { publisher: index, number };
            if sent.promised.is_some() && sent.first > granted && !got.contains(&key) {
                let who = &subscriber.session.client_id;
                let evidence = format!("{who} never gets {key}: {sent:?}, {subscription:?}");
                faults.add(Kind::Lost, evidence);
            }
        }
    }
}

//! A store as it would be after a power cut, against what the clients knew at that moment.

use std::collections::{HashMap, HashSet};

use mqtt::QoS;

use crate::cast::Cast;
use crate::clock::Tick;
use crate::fault::{Faults, Kind};
use crate::key::Key;
use crate::publisher::{Publisher, Sent};
use crate::retained::Allowed;
use crate::stored::{Entry, Stored, StoredSession};
use crate::subscriber::{Got, Subscriber};

/// The clients' knowledge, arranged so that it can be asked about many moments.
#[derive(Debug)]
pub(crate) struct Knowledge<'a> {
    cast: &'a Cast,
    /// For each subscriber, the arrivals of each message.
    arrivals: Vec<HashMap<(usize, Key), Vec<Got>>>,
}

impl<'a> Knowledge<'a> {
    pub(crate) fn new(cast: &'a Cast) -> Self {
        let of = |subscriber: &Subscriber| {
            let mut arrivals: HashMap<_, Vec<Got>> = HashMap::new();
            for got in &subscriber.got {
                arrivals.entry((got.epoch, got.key)).or_default().push(*got);
            }
            arrivals
        };
        Self { cast, arrivals: cast.subscribers.iter().map(of).collect() }
    }

    /// What is wrong with a store that is what a power cut left, when `now` was the last tick before it.
    pub(crate) fn judge(&self, stored: &Stored, now: Tick) -> Faults {
        let mut cut = Cut { knowledge: self, stored, now, faults: Faults::default() };
        for client_id in &stored.doubles {
            let evidence = format!("{client_id} has a session that was replaced, and its own");
            cut.faults.add(Kind::Resurrected, evidence);
        }
        let twice = cut.queued_at_qos_2();
        for publisher in &self.cast.publishers {
            if !stored.partial {
                cut.publisher(publisher, &twice);
            }
            cut.retained(publisher);
        }
        for (index, subscriber) in self.cast.subscribers.iter().enumerate() {
            cut.subscriber(index, subscriber);
        }
        cut.faults
    }

    fn arrivals(&self, subscriber: usize, epoch: usize, key: Key) -> &[Got] {
        self.arrivals[subscriber].get(&(epoch, key)).map(Vec::as_slice).unwrap_or_default()
    }
}

struct Cut<'a> {
    knowledge: &'a Knowledge<'a>,
    stored: &'a Stored,
    now: Tick,
    faults: Faults,
}

impl<'a> Cut<'a> {
    fn over(&self, tick: Option<Tick>) -> bool {
        tick.is_some_and(|tick| tick <= self.now)
    }

    /// The session that the subscriber had, or was asking for.
    fn epoch(&self, subscriber: &Subscriber) -> Option<usize> {
        subscriber.session.epochs.iter().rposition(|epoch| epoch.asked <= self.now)
    }

    fn queued_at_qos_2(&self) -> HashSet<Key> {
        let queues = self.stored.sessions.values().flat_map(|session| &session.queue);
        queues.filter(|entry| entry.qos == QoS::ExactlyOnce).filter_map(|entry| entry.key).collect()
    }

    fn publisher(&mut self, publisher: &Publisher, queued: &HashSet<Key>) {
        let begun = publisher.session.epochs.first().and_then(|epoch| epoch.begun);
        if !self.over(begun) {
            return;
        }
        let who = &publisher.session.client_id;
        let Some(session) = self.stored.sessions.get(who) else {
            return self.faults.add(Kind::Lost, format!("the session of {who}"));
        };
        let mut under_way = HashSet::new();
        for (number, sent) in (0..).zip(&publisher.sent).take_while(|it| it.1.first <= self.now) {
            let twice = sent.qos == QoS::ExactlyOnce;
            if !twice || self.over(sent.done) {
                continue;
            }
            under_way.insert(sent.packet_id);
            let key = Key { publisher: publisher.index, number };
            // It will be sent again, and the identifier alone tells that it was there before.
            let guarded = session.received.contains(&sent.packet_id);
            if !self.over(sent.promised) && !guarded && (queued.contains(&key) || self.is_out(key))
            {
                let evidence = format!("{key} will be taken for a new message: {sent:?}");
                self.faults.add(Kind::Duplicate, evidence);
            }
        }
        for id in session.received.difference(&under_way.into_iter().collect()) {
            let evidence = format!("identifier {id} of {who}, of which PUBCOMP was heard");
            self.faults.add(Kind::Resurrected, evidence);
        }
    }

    /// Whether a subscriber has it at QoS 2.
    fn is_out(&self, key: Key) -> bool {
        self.knowledge.arrivals.iter().zip(&self.knowledge.cast.subscribers).any(|(got, it)| {
            let epoch = self.epoch(it).unwrap_or_default();
            let found = got.get(&(epoch, key)).into_iter().flatten();
            found.into_iter().any(|got| got.at <= self.now && got.qos == QoS::ExactlyOnce)
        })
    }

    fn retained(&mut self, publisher: &Publisher) {
        if !publisher.habits.retains {
            return;
        }
        for number in 0..publisher.habits.topics {
            let topic = publisher.topic(number);
            let allowed = Allowed::of(publisher, number, self.now, self.now);
            let found = self.stored.retained.get(&topic).map(Vec::as_slice);
            allowed.check(&topic, found, publisher.index, &mut self.faults);
        }
    }

    fn subscriber(&mut self, index: usize, subscriber: &Subscriber) {
        let Some(epoch) = self.epoch(subscriber) else { return };
        if !self.over(subscriber.session.epochs[epoch].begun) {
            return;
        }
        let who = &subscriber.session.client_id;
        let Some(session) = self.stored.sessions.get(who) else {
            return self.faults.add(Kind::Lost, format!("the session of {who}"));
        };
        let view = View { index, subscriber, epoch, session };
        if !self.stored.partial {
            self.subscriptions(&view);
        }
        self.promises(&view);
        self.queue(&view);
    }

    fn subscriptions(&mut self, view: &View<'_>) {
        let View { subscriber, session, .. } = view;
        let who = &subscriber.session.client_id;
        for (number, (_, filter)) in subscriber.habits.filters.iter().enumerate() {
            let all = subscriber.subscriptions.iter().filter(|it| it.epoch == view.epoch);
            let mut of_filter = all.filter(|it| it.filter == number && it.asked <= self.now);
            let Some(last) = of_filter.next_back() else { continue };
            let found = session.subscriptions.get(filter);
            let stays = !self.over(last.leaving);
            if self.over(last.granted) && stays && found != Some(&subscriber.habits.qos) {
                let evidence = format!("{who} is not subscribed to {filter}: {found:?}, {last:?}");
                self.faults.add(Kind::Lost, evidence);
            } else if self.over(last.left) && found.is_some() {
                let evidence = format!("{who} is subscribed to {filter}: {last:?}");
                self.faults.add(Kind::Resurrected, evidence);
            }
        }
    }

    /// What was promised is confirmed or in the queue.
    fn promises(&mut self, view: &View<'_>) {
        let queued: HashMap<Key, &Entry> =
            view.session.queue.iter().filter_map(|entry| Some((entry.key?, entry))).collect();
        for subscription in &view.subscriber.subscriptions {
            let holds = subscription.epoch == view.epoch
                && self.over(subscription.granted)
                && !self.over(subscription.leaving);
            let index = view.subscriber.habits.filters[subscription.filter].0;
            let publisher = self.knowledge.cast.publishers.get(usize::from(index));
            let (Some(granted), Some(publisher), true) = (subscription.granted, publisher, holds)
            else {
                continue;
            };
            let received = self.stored.sessions.get(&publisher.session.client_id);
            for (number, sent) in (0..).zip(&publisher.sent).take_while(|it| it.1.first <= self.now)
            {
                let key = Key { publisher: index, number };
                if sent.first <= granted || !self.is_promised(sent, received) {
                    continue;
                }
                let entry = queued.get(&key);
                if entry.is_none_or(|entry| entry.released) && !self.is_settled(view, key, sent) {
                    let who = &view.subscriber.session.client_id;
                    let evidence = format!("{who} will not get {key}: {sent:?}, {entry:?}");
                    self.faults.add(Kind::Lost, evidence);
                }
            }
        }
    }

    /// PUBACK or PUBREC was heard; or will be, because the identifier says that the message is there.
    fn is_promised(&self, sent: &Sent, received: Option<&StoredSession>) -> bool {
        self.over(sent.promised)
            || sent.qos == QoS::ExactlyOnce
                && received.is_some_and(|it| it.received.contains(&sent.packet_id))
    }

    /// The subscriber has it and has said so; at QoS 2 the rest of the exchange is done, or kept.
    fn is_settled(&self, view: &View<'_>, key: Key, sent: &Sent) -> bool {
        let twice = sent.qos.min(view.subscriber.habits.qos) == QoS::ExactlyOnce;
        let owed = |id: u16| view.session.queue.iter().any(|it| it.released && it.packet_id == id);
        self.knowledge.arrivals(view.index, view.epoch, key).iter().any(|got| {
            self.over(got.answered) && (!twice || self.over(got.released) || owed(got.packet_id))
        })
    }

    /// What is in the queue belongs there, is there once, and follows what was delivered.
    fn queue(&mut self, view: &View<'_>) {
        let who = &view.subscriber.session.client_id;
        let mut seen = HashSet::new();
        let mut last = self.delivered(view);
        for entry in view.session.queue.iter().filter(|entry| !entry.released) {
            let found = entry.key.and_then(|key| Some((key, self.knowledge.cast.known(key)?)));
            let Some((key, mut known)) = found.filter(|(_, known)| known.first <= self.now) else {
                let evidence = format!("{who} will get bytes that nobody sent: {entry:?}");
                self.faults.add(Kind::Corrupt, evidence);
                continue;
            };
            if known.promised > self.now {
                known.promised = Tick::MAX;
            }
            if !view.subscriber.may_get(view.epoch, key, &known) {
                let evidence = format!("{who} will get {key} without a subscription: {known:?}");
                self.faults.add(Kind::Resurrected, evidence);
            }
            let arrivals = self.knowledge.arrivals(view.index, view.epoch, key);
            let ended = arrivals.iter().any(|got| self.over(got.released));
            let again = !seen.insert(key);
            if entry.qos == QoS::ExactlyOnce && (again || ended) {
                let evidence =
                    format!("{who} will get {key} again: {entry:?}, before: {arrivals:?}");
                self.faults.add(Kind::Duplicate, evidence);
            }
            if again || arrivals.iter().any(|got| got.at <= self.now) {
                continue;
            }
            let stream = (key.publisher, known.topic, known.qos);
            if let Some(before) = last.insert(stream, key.number)
                && before > key.number
                && view.subscriber.was_there(view.epoch, key, &known, self.now)
            {
                let evidence = format!("{who} will get {key} after number {before}: {entry:?}");
                self.faults.add(Kind::Disorder, evidence);
            }
        }
    }

    /// The last message of each stream that was delivered.
    fn delivered(&self, view: &View<'_>) -> HashMap<(u16, u16, QoS), u32> {
        let mut last = HashMap::new();
        let got = view.subscriber.got.iter().take_while(|got| got.at <= self.now);
        for got in got.filter(|got| got.epoch == view.epoch) {
            let Some(known) = self.knowledge.cast.known(got.key) else { continue };
            let stream = (got.key.publisher, known.topic, known.qos);
            let number = last.entry(stream).or_insert(got.key.number);
            *number = got.key.number.max(*number);
        }
        last
    }
}

/// One subscriber and its session in the store.
struct View<'a> {
    index: usize,
    subscriber: &'a Subscriber,
    epoch: usize,
    session: &'a StoredSession,
}

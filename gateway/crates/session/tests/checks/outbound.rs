use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt::{PacketId, QoS, TopicName};
use portcullis_session::{
    Class, Delivery, Load, Message, Outbound, Rest, Returning, Settled, Sum, Timestamp,
    Transmission,
};

use super::{Reached, Source};

pub(crate) const ALL: &[&str] = &[
    "queued",
    "sent at once",
    "no room",
    "connected",
    "published",
    "published again",
    "release sent",
    "not ready",
    "window full",
    "nothing to send",
    "identifiers used up",
    "puback",
    "pubrec",
    "pubrec again",
    "pubrec refused",
    "pubcomp",
    "echo",
    "discarded",
    "discarded unknown",
    "drained",
    "restarted",
    "restored with a gap",
    "queued behind",
    "put away",
    "brought",
    "brought released",
    "given up behind",
    "forgotten",
];

/// How many identifiers there are.
const IDENTIFIERS: u64 = 65_535;

/// Classes that deliveries are of, none included.
const CLASSES: u32 = 3;

/// What is known of one unconfirmed delivery.
#[derive(Clone)]
struct Entry {
    sequence: u64,
    message: Option<Arc<Message>>,
    qos: QoS,
    retain: bool,
    tag: u32,
    released: bool,
    /// Sent at least once, on whatever connection.
    sent: bool,
    /// Sent on this connection.
    on_wire: bool,
}

impl Entry {
    fn weight(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.weight())
    }

    fn shared(&self) -> bool {
        self.tag.is_multiple_of(3)
    }

    fn class(&self) -> Option<Class> {
        NonZeroU32::new(self.tag % CLASSES).map(Class)
    }

    fn load(&self) -> Load {
        Load { weight: self.weight(), shared: self.shared(), class: self.class() }
    }

    fn packet_id(&self) -> PacketId {
        let number = self.sequence % IDENTIFIERS + 1;
        PacketId::new(number.try_into().expect("below 65,536")).expect("not 0")
    }
}

/// The row without what is confirmed, in a plain list.
struct Model {
    row: Outbound<u32>,
    entries: Vec<Entry>,
    /// How many of them, at the end, are the rest.
    away: usize,
    window: usize,
    next: u64,
    tags: u32,
}

/// Identifiers in flight are unique, the window is kept, everything unconfirmed is sent again in order
/// and marked, and what the row says of itself is true.
pub(crate) fn check(source: &mut Source<'_>, reached: &mut Reached) {
    let next = u64::from(source.short()) * 2;
    let mut model =
        Model { row: Outbound::new(next), entries: Vec::new(), away: 0, window: 0, next, tags: 0 };
    while !source.is_empty() {
        reached.insert(model.step(source));
        model.compare();
    }
    model.finish();
}

impl Model {
    fn step(&mut self, source: &mut Source<'_>) -> &'static str {
        match source.below(16) {
            0 | 1 => self.push(source),
            2 | 3 => self.push_sent(source),
            4 => self.connect(source.short()),
            5..8 => self.send(source.below(4) > 0),
            8 => {
                let packet_id = self.pick(source);
                let index = self.awaiting(packet_id, QoS::AtLeastOnce, &[false]);
                let settled = self.row.puback(packet_id);
                self.settled(index, settled, "puback")
            }
            9 | 10 => self.pubrec(source),
            11 => {
                let packet_id = self.pick(source);
                let index = self.awaiting(packet_id, QoS::ExactlyOnce, &[false]);
                let settled = self.row.pubrec_refused(packet_id);
                self.settled(index, settled, "pubrec refused")
            }
            12 => {
                let packet_id = self.pick(source);
                let index = self.awaiting(packet_id, QoS::ExactlyOnce, &[true]);
                let settled = self.row.pubcomp(packet_id);
                self.settled(index, settled, "pubcomp")
            }
            13 => self.discard(source),
            14 => self.restart(source),
            _ => match source.below(8) {
                0 => self.drain(),
                1 => self.put_away(),
                2 => self.push_behind(source),
                3..6 => self.bring(source.below(8)),
                _ => self.send(true),
            },
        }
    }

    fn push(&mut self, source: &mut Source<'_>) -> &'static str {
        if self.away > 0 {
            return self.push_behind(source);
        }
        let entry = self.entry(source, true);
        let message = entry.message.clone().expect("made with one");
        let sequence = self.row.push(message, entry.qos, entry.retain, entry.class(), entry.tag);
        assert_eq!(sequence, entry.sequence);
        self.entries.push(entry);
        self.next += 1;
        "queued"
    }

    fn push_behind(&mut self, source: &mut Source<'_>) -> &'static str {
        let entry = self.entry(source, true);
        assert_eq!(self.row.push_behind(entry.load()), entry.sequence);
        self.entries.push(entry);
        self.away += 1;
        self.next += 1;
        "queued behind"
    }

    /// Only what is kept whole can be put away.
    fn put_away(&mut self) -> &'static str {
        if self.entries.iter().any(|entry| entry.message.is_none() && !entry.released) {
            return "nothing to send";
        }
        self.row.put_away(|tag| tag.is_multiple_of(3));
        self.away = self.entries.len();
        self.entries.iter_mut().for_each(|entry| entry.on_wire = false);
        "put away"
    }

    /// The next of the rest comes into memory, or is found to be gone, or all are.
    fn bring(&mut self, choice: usize) -> &'static str {
        let here = self.entries.len() - self.away;
        if choice == 7 {
            let rest = self.row.forget_rest();
            assert_eq!(rest.count, self.away);
            self.entries.truncate(here);
            self.away = 0;
            return "forgotten";
        }
        let Some(entry) = self.entries.get(here) else { return "nothing to send" };
        self.away -= 1;
        let load = entry.load();
        if choice == 6 {
            self.row.take_from_rest(load);
            self.entries.remove(here);
            return "given up behind";
        }
        let Entry { sequence, message, qos, retain, tag, released, .. } = entry.clone();
        self.row.bring(Returning { sequence, message, qos, retain, load, tag });
        self.entries[here].sent |= released;
        if released { "brought released" } else { "brought" }
    }

    fn push_sent(&mut self, source: &mut Source<'_>) -> &'static str {
        let with_message = source.flag();
        let mut entry = self.entry(source, with_message);
        if !self.row.has_room() {
            return "no room";
        }
        assert_eq!(self.away, 0, "what lies behind comes first");
        assert_eq!(self.row.next_packet_id(), entry.packet_id());
        let (message, tag) = (entry.message.clone(), entry.tag);
        let sent = self.row.push_sent(message, entry.qos, entry.retain, entry.class(), tag);
        assert_eq!(sent, (entry.sequence, entry.packet_id()));
        (entry.sent, entry.on_wire) = (true, true);
        self.entries.push(entry);
        self.next += 1;
        "sent at once"
    }

    fn entry(&mut self, source: &mut Source<'_>, with_message: bool) -> Entry {
        let choice = source.byte();
        self.tags += 1;
        Entry {
            sequence: self.next,
            message: with_message.then(|| message(choice)),
            qos: if choice & 1 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
            retain: choice & 2 != 0,
            tag: self.tags,
            released: false,
            sent: false,
            on_wire: false,
        }
    }

    fn connect(&mut self, choice: u16) -> &'static str {
        let window = if choice < 0xC000 { choice % 6 } else { choice };
        self.row.connect(window);
        self.window = window.into();
        self.entries.iter_mut().for_each(|entry| entry.on_wire = false);
        "connected"
    }

    fn send(&mut self, ready: bool) -> &'static str {
        let in_flight = self.in_flight();
        let first = self.entries.first().map(|entry| entry.sequence);
        let here = self.entries.len() - self.away;
        let due = self.entries[..here].iter_mut().find(|entry| !entry.on_wire);
        let may_go = due.as_ref().is_some_and(|entry| {
            in_flight < self.window && first.is_some_and(|f| entry.sequence - f < IDENTIFIERS)
        });
        let sent = self.row.next_to_send(|delivery| {
            assert!(due.as_ref().is_some_and(|entry| entry.sequence == delivery.sequence));
            ready
        });
        let Some(entry) = due else {
            assert!(sent.is_none(), "{sent:?} was sent already");
            return "nothing to send";
        };
        let Some(sent) = sent else {
            assert!(!(may_go && ready), "{} could have been sent", entry.sequence);
            return match (may_go, in_flight < self.window) {
                (true, _) => "not ready",
                (false, true) => "identifiers used up",
                (false, false) => "window full",
            };
        };
        assert!(may_go && ready, "{sent:?} must not be sent");
        entry.on_wire = true;
        match sent {
            Transmission::Release { packet_id } => {
                assert!(entry.released && packet_id == entry.packet_id());
                "release sent"
            }
            Transmission::Publish { packet_id, dup, delivery } => {
                assert!(!entry.released, "{} was received", entry.sequence);
                assert_eq!((packet_id, dup), (entry.packet_id(), entry.sent));
                same(entry, delivery);
                if std::mem::replace(&mut entry.sent, true) {
                    "published again"
                } else {
                    "published"
                }
            }
        }
    }

    fn pubrec(&mut self, source: &mut Source<'_>) -> &'static str {
        let packet_id = self.pick(source);
        let index = self.awaiting(packet_id, QoS::ExactlyOnce, &[false, true]);
        let delivery = self.row.pubrec(packet_id);
        assert_eq!(delivery.is_some(), index.is_some(), "PUBREC of {packet_id:?}");
        let (Some(delivery), Some(index)) = (delivery, index) else { return "echo" };
        let entry = &mut self.entries[index];
        entry.message = None;
        same(entry, delivery);
        if std::mem::replace(&mut entry.released, true) { "pubrec again" } else { "pubrec" }
    }

    fn discard(&mut self, source: &mut Source<'_>) -> &'static str {
        let known = source.below(256);
        let sequence = match known.checked_rem(self.entries.len()) {
            Some(index) if known < 0xE0 => self.entries[index].sequence,
            _ => self.next.saturating_sub(source.short().into()),
        };
        let here = self.entries.len() - self.away;
        let index = self.entries[..here].iter().position(|entry| entry.sequence == sequence);
        assert_eq!(self.row.get_mut(sequence).is_some(), index.is_some());
        let settled = self.row.discard(sequence);
        if index.is_none() {
            assert_eq!(settled, None);
            return "discarded unknown";
        }
        self.settled(index, settled, "discarded")
    }

    fn drain(&mut self) -> &'static str {
        let drained = self.row.drain();
        let here = self.entries.len() - self.away;
        assert_eq!(drained.len(), here);
        drained.iter().zip(&self.entries).for_each(|(delivery, entry)| same(entry, delivery));
        self.entries.drain(..here);
        "drained"
    }

    /// What was on disk comes back. Some entries may be damaged, and where the rest stands there
    /// may be a gap of any size.
    fn restart(&mut self, source: &mut Source<'_>) -> &'static str {
        let lost = source.below(256);
        let gap = [0, 0, 0, 1, 2, 65_533, 65_534, 65_535, 70_000][source.below(9)];
        let mut number = 0;
        self.entries.retain(|entry| {
            number += 1;
            let kept = entry.message.is_some() || entry.released;
            kept && (lost == 0 || !lost.is_multiple_of(number))
        });
        self.next = self.entries.last().map_or(0, |entry| entry.sequence + 1);
        if gap > 0 {
            let mut entry = self.entry(source, true);
            entry.sequence += gap;
            self.next = entry.sequence + 1;
            self.entries.push(entry);
        }
        let rest = Rest {
            first: self.entries.first().map_or(0, |entry| entry.sequence),
            count: self.entries.len(),
            weight: self.entries.iter().map(Entry::weight).sum(),
            shared: self.entries.iter().filter(|entry| entry.shared()).count(),
        };
        self.row = Outbound::restored(rest, self.sums(|_| true), self.next, self.next);
        self.away = self.entries.len();
        self.window = 0;
        for entry in &mut self.entries {
            (entry.sent, entry.on_wire) = (true, false);
        }
        if gap > 0 { "restored with a gap" } else { "restarted" }
    }

    /// Everything that is owed goes out, window by window, and is confirmed in the end.
    fn finish(&mut self) {
        self.connect(3);
        while self.away > 0 {
            self.bring(0);
            self.compare();
        }
        while !self.entries.is_empty() {
            while self.in_flight() < self.window && self.entries.iter().any(|e| !e.on_wire) {
                if self.send(true) == "identifiers used up" {
                    break;
                }
            }
            let first = self.entries[0].clone();
            assert!(first.on_wire, "{} is first and not sent", first.sequence);
            let packet_id = first.packet_id();
            let settled = match first.qos {
                QoS::AtMostOnce | QoS::AtLeastOnce => self.row.puback(packet_id),
                QoS::ExactlyOnce => {
                    assert!(self.row.pubrec(packet_id).is_some());
                    self.entries[0].message = None;
                    self.row.pubcomp(packet_id)
                }
            };
            self.settled(Some(0), settled, "confirmed");
            self.compare();
        }
        assert!(self.row.is_empty() && !self.row.has_unsent() && self.row.weight() == 0);
    }

    fn settled(
        &mut self,
        index: Option<usize>,
        settled: Option<Settled<u32>>,
        what: &'static str,
    ) -> &'static str {
        let entry = index.map(|index| self.entries.remove(index));
        let expected = entry.map(|entry| {
            let Entry { sequence, tag, on_wire, .. } = entry;
            let weight = entry.message.as_ref().map_or(0, |message| message.weight());
            Settled { sequence, tag, in_flight: on_wire, weight }
        });
        assert_eq!(settled, expected, "{what}");
        if settled.is_some() { what } else { "echo" }
    }

    fn awaiting(&self, packet_id: PacketId, qos: QoS, released: &[bool]) -> Option<usize> {
        self.entries.iter().position(|entry| {
            entry.on_wire
                && entry.packet_id() == packet_id
                && entry.qos == qos
                && released.contains(&entry.released)
        })
    }

    /// The identifier of an entry, or any.
    fn pick(&self, source: &mut Source<'_>) -> PacketId {
        let choice = source.below(256);
        match choice.checked_rem(self.entries.len()) {
            Some(index) if choice < 0xF0 => self.entries[index].packet_id(),
            _ => source.packet_id(),
        }
    }

    /// What is owed of each class, of those entries that `counts` says.
    fn sums(&self, counts: impl Fn(&Entry) -> bool) -> BTreeMap<Class, Sum> {
        let mut sums: BTreeMap<Class, Sum> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| counts(entry)) {
            if let Some(sum) = entry.class().map(|class| sums.entry(class).or_default()) {
                sum.count += 1;
                sum.weight += entry.weight();
            }
        }
        sums
    }

    fn compare_classes(&self) {
        let (owed, unsent) = (self.sums(|_| true), self.sums(|entry| !entry.on_wire));
        let here = &self.entries[..self.entries.len() - self.away];
        for class in (1..CLASSES).filter_map(NonZeroU32::new).map(Class) {
            let sum = |sums: &BTreeMap<Class, Sum>| sums.get(&class).copied().unwrap_or_default();
            assert_eq!(self.row.owed_of(class), sum(&owed), "{class:?}");
            assert_eq!(self.row.unsent_of(class), sum(&unsent), "{class:?}");
            let first = here.iter().find(|e| e.class() == Some(class) && !e.sent);
            let found = self.row.first_unsent_of(class).map(|delivery| delivery.sequence);
            assert_eq!(found, first.map(|entry| entry.sequence), "{class:?}");
        }
    }

    fn in_flight(&self) -> usize {
        self.entries.iter().filter(|entry| entry.on_wire).count()
    }

    fn compare(&mut self) {
        let on_wire = self.entries.iter().filter(|entry| entry.on_wire);
        let mut identifiers: Vec<PacketId> = on_wire.map(Entry::packet_id).collect();
        identifiers.sort_unstable();
        let unique = identifiers.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(unique, "two deliveries in flight have one identifier: {identifiers:?}");
        let in_flight = identifiers.len();
        assert_eq!(self.row.in_flight(), in_flight);
        assert!(
            in_flight <= self.window,
            "{in_flight} are in flight, the window is {}",
            self.window
        );
        assert_eq!(self.row.len(), self.entries.len());
        assert_eq!(self.row.is_empty(), self.entries.is_empty());
        let here = self.entries.len() - self.away;
        let weight = |entries: &[Entry]| entries.iter().map(Entry::weight).sum::<usize>();
        assert_eq!(self.row.weight(), weight(&self.entries));
        assert_eq!(self.row.weight_in_memory(), weight(&self.entries[..here]));
        let shared = self.entries[here..].iter().filter(|entry| entry.shared()).count();
        let Rest { first, count, shared: counted, .. } = self.row.rest();
        assert_eq!((count, counted), (self.away, shared));
        assert!(self.entries[here..].iter().all(|entry| entry.sequence >= first));
        assert!(self.away == 0 || self.entries[..here].iter().all(|e| e.sequence < first));
        assert_eq!(self.row.next_sequence(), self.next);
        self.compare_classes();
        // Those that were given up where they stood may still count as unsent, but never alone.
        let unsent = here > in_flight;
        assert!(self.row.has_unsent() || !unsent, "a delivery waits and the row denies it");
        assert!(unsent || in_flight > 0 || !self.row.has_unsent(), "nothing is left to send");
        let free = !unsent && self.away == 0 && in_flight < self.window;
        assert!(free || !self.row.has_room());
        assert!(self.row.has_room() || !free || in_flight > 0, "there is room");
        let row = self.row.iter_mut().map(|delivery| (delivery.sequence, delivery.was_sent()));
        assert!(row.eq(self.entries[..here].iter().map(|entry| (entry.sequence, entry.sent))));
    }
}

fn same(entry: &Entry, delivery: &Delivery<u32>) {
    let Delivery { sequence, message, qos, retain, tag, .. } = delivery;
    let expected = (entry.sequence, entry.qos, entry.retain, entry.tag);
    assert_eq!((*sequence, *qos, *retain, *tag), expected);
    assert_eq!(*message, entry.message);
}

/// A message of a size and with an end that `choice` decides.
fn message(choice: u8) -> Arc<Message> {
    Arc::new(Message {
        topic: TopicName::new("t").expect("a topic").to_owned(),
        payload: vec![choice; usize::from(choice)].into_boxed_slice(),
        qos: QoS::ExactlyOnce,
        retain: false,
        properties: Box::default(),
        expires: choice.is_multiple_of(5).then(|| Timestamp::from_unix_ms(choice.into())),
    })
}

use std::sync::Arc;

use session::{Class, Lane, Message, Returning, Timestamp};

use crate::broker::Waiter;
use crate::client::{Client, Tag};
use crate::durable::{DeliveryRecord, Lsn, Op, Page, Read, StoredDelivery, Wanted};
use crate::effect::Reader;
use crate::routes::Origin;
use crate::{Broker, DropCause, Effect, Event};

/// Entries that are looked for at once.
pub(crate) const ENTRIES_MAX: usize = 500;
/// Bytes of messages that are read at once.
pub(crate) const BYTES_MAX: usize = 256 * 1024;
/// How long at least lies between two searches of one queue for what has expired, in seconds.
const SWEEP_PAUSE: u32 = 10;

/// A read of a session's queue on disk that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    purpose: Purpose,
    /// The number of the next delivery when the read began, if everything was durable then.
    complete: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be sent.
    Send,
    /// To be removed, because it has expired.
    Sweep,
    /// To be removed, because too many of its rule wait.
    Trim(Class),
}

/// When a queue on disk is searched for what has expired.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    /// When it is due next.
    pub(crate) due: Option<Timestamp>,
    /// Where it goes on.
    from: u64,
    /// When the first that was passed by expires.
    next: Option<Timestamp>,
    /// It was due, and goes on when a read has ended, or the disk has caught up.
    held: bool,
}

impl Sweep {
    /// What held a search up may be over.
    pub(crate) fn release(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.held) {
            self.due = Some(now);
        }
    }

    /// A message that expires `at` is on disk.
    pub(crate) fn note_expiry(&mut self, at: Option<Timestamp>) {
        self.due = earlier(self.due, at);
    }
}

/// What waits on disk for a session is read when its turn comes (DESIGN: memory does not grow
/// with a queue). A read and what it removes cannot meet another: there is one at a time.
impl Broker {
    /// Whether one more message of `weight` bytes for a durable session goes to disk and not to
    /// memory as well: what lies there comes first, or there is no room.
    pub(crate) fn goes_behind(&self, client: &Client, weight: usize) -> bool {
        let settings = &self.settings;
        client.is_durable()
            && (client.online.is_none()
                || client.outbound.rest().count > 0
                || client.outbound.unsent() >= settings.max_waiting_messages
                || client.outbound.weight_in_memory() + weight > settings.max_waiting_bytes
                || self.waiting_bytes + weight > settings.max_waiting_bytes_total)
    }

    /// Asks for the next part of a session's queue, if it wants for it and none is on its way.
    pub(crate) fn read_ahead(&mut self, session: u32) {
        let settings = &self.settings;
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (Some(key), rest) = (client.key, client.outbound.rest()) else { return };
        let wants = (client.online.is_some() || client.trims)
            && rest.count > 0
            && client.outbound.unsent() < settings.max_waiting_messages.div_ceil(2)
            && client.outbound.weight_in_memory() < settings.max_waiting_bytes.div_ceil(2);
        if !wants || client.reading.is_some() {
            return;
        }
        // What was removed from memory a moment ago must not come back from the disk.
        if !self.journal.is_durable(client.behind) {
            self.look_again(session);
            return;
        }
        let read = Read {
            session: key,
            from: rest.first,
            max_entries: settings.max_waiting_messages.clamp(1, ENTRIES_MAX),
            max_bytes: settings.max_waiting_bytes.min(BYTES_MAX),
            wanted: Wanted::All,
        };
        self.begin_read(session, Purpose::Send, read);
    }

    /// Searches a queue on disk for what has expired.
    pub(crate) fn sweep(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(key) = client.key.filter(|_| client.outbound.rest().count > 0) else {
            client.sweep = Sweep::default();
            return;
        };
        client.sweep.due = None;
        let durable = self.journal.is_durable(client.behind);
        client.sweep.held = client.reading.is_some() || !durable;
        if !durable {
            self.look_again(session);
        }
        let Some(client) = self.clients.get(session as usize).filter(|c| !c.sweep.held) else {
            return;
        };
        let from = client.sweep.from.max(client.outbound.rest().first);
        let (max_entries, max_bytes) = (ENTRIES_MAX, BYTES_MAX);
        let wanted = Wanted::ExpiredBy(now);
        let read = Read { session: key, from, max_entries, max_bytes, wanted };
        self.begin_read(session, Purpose::Sweep, read);
    }

    pub(crate) fn begin_read(&mut self, session: u32, purpose: Purpose, read: Read) {
        let everything = self.journal.is_durable(self.journal.last());
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let complete = everything.then(|| client.outbound.next_sequence());
        client.reading = Some(Reading { purpose, complete });
        let reader = Reader { session, uid: client.uid };
        self.effects.push_back(Effect::Read { reader, read });
    }

    /// What [`Effect::Read`] asked for.
    pub fn page_read(&mut self, now: Timestamp, reader: Reader, page: Page) {
        if let Some(estate) = self.estates.remove(&reader.uid) {
            self.share_out(now, reader.uid, estate, page);
            return;
        }
        let Reader { session, uid } = reader;
        let client = self.clients.get_mut(session as usize).filter(|client| client.uid == uid);
        let Some(client) = client else { return };
        let Some(reading) = client.reading.take() else { return };
        let trims = matches!(reading.purpose, Purpose::Trim(_));
        for gone in page.entries.iter().filter(|entry| entry.body.is_none() && !trims) {
            client.values.forget(gone.sequence);
        }
        match reading.purpose {
            Purpose::Send => self.bring(session, reading.complete, page),
            Purpose::Sweep => self.swept(now, session, page),
            Purpose::Trim(class) => self.trimmed(session, class, reading.complete, page),
        }
        if let Some(client) = self.clients.get_mut(session as usize) {
            client.values.settle();
            client.sweep.release(now);
        }
        // The client may have gone meanwhile.
        self.put_away(session);
        self.trim(session);
        // What is to be sent and what is to be dropped are read in turns.
        if !trims {
            self.trim_topics(session);
        }
        self.pump(now, session);
        self.trim_topics(session);
        self.set_alarm(session);
    }

    fn bring(&mut self, session: u32, complete: Option<u64>, page: Page) {
        let none = page.entries.is_empty();
        for entry in page.entries {
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            let StoredDelivery { sequence, delivery, weight, body } = entry;
            if sequence < client.outbound.rest().first || client.values.is_replaced(sequence) {
                continue;
            }
            if body.is_none() && !delivery.released {
                client.outbound.take_from_rest(delivery.load(weight));
                self.queued_bytes -= weight;
                self.remove_behind(session, sequence, DropCause::Damaged);
                continue;
            }
            let filters = client.subscriptions.keys();
            let origin = body.as_ref().and_then(|body| origin(&delivery, body, filters));
            let message = Some(self.journal.new_message_key());
            let online = client.online.as_ref().zip(body.as_ref());
            let lane = online.map_or(Lane::CONTROL, |(online, body)| {
                online.lane_for(body.topic.as_topic(), origin.as_ref())
            });
            let tag = Tag { promise: None, message, stored: Some(Lsn(0)), origin, lane };
            let before = client.outbound.weight();
            let (load, message) = (delivery.load(weight), body);
            let DeliveryRecord { qos, retain, .. } = delivery;
            client.outbound.bring(Returning { sequence, message, qos, retain, load, tag });
            self.waiting_bytes += weight;
            debug_assert_eq!(before, client.outbound.weight(), "what was counted there is here");
        }
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if page.next.is_some() || client.outbound.rest().count == 0 {
            return;
        }
        if none && complete == Some(client.outbound.next_sequence()) {
            // Nothing was on its way, and nothing is there.
            let lost = client.outbound.forget_rest();
            self.queued_bytes -= lost.weight;
            for _ in 0..lost.count {
                self.dropped(session, DropCause::Damaged);
            }
            return;
        }
        // The others are on their way to the disk.
        client.behind = self.journal.last();
    }

    fn swept(&mut self, now: Timestamp, session: u32, page: Page) {
        for StoredDelivery { sequence, delivery, weight, .. } in page.entries {
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            // What may have been sent does not expire (MQTT-4.3.3-7).
            let sent = sequence < client.outbound.sent_below();
            if sent || client.values.is_replaced(sequence) {
                continue;
            }
            client.outbound.take_from_rest(delivery.load(weight));
            self.queued_bytes -= weight;
            self.remove_behind(session, sequence, DropCause::Expired);
        }
        let last = self.journal.last();
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        client.behind = last;
        let next = earlier(client.sweep.next, page.first_expiry);
        client.sweep = match page.next {
            Some(from) => Sweep { due: Some(now.after_seconds(1)), from, next, held: false },
            None => {
                let pause = now.after_seconds(SWEEP_PAUSE);
                let due = earlier(next, client.sweep.due).map(|at| at.max(pause));
                Sweep { due, ..Sweep::default() }
            }
        };
    }

    pub(crate) fn remove_behind(&mut self, session: u32, sequence: u64, cause: DropCause) {
        if let Some(key) = self.clients.get(session as usize).and_then(|client| client.key) {
            self.journal.append(Op::RemoveDelivery { session: key, sequence });
        }
        self.dropped(session, cause);
    }

    /// Counts and tells that a message is lost to a session, where that has no other place.
    pub(crate) fn dropped(&mut self, session: u32, cause: DropCause) {
        match cause {
            DropCause::Expired => self.stats.dropped_expired += 1,
            DropCause::Damaged => self.stats.dropped_damaged += 1,
            DropCause::Replaced => self.stats.dropped_replaced += 1,
            DropCause::TooLarge
            | DropCause::Denied
            | DropCause::NotReviewed
            | DropCause::QueueFull => {}
        }
        let Some(client) = self.clients.get(session as usize) else { return };
        let (client_id, principal) = client.whose();
        self.event(Event::Dropped { client_id, principal, cause });
    }

    /// Has a session whose client has gone put away what is in memory, when it is on disk.
    pub(crate) fn wait_to_put_away(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if !client.is_durable() || client.outbound.unsettled_in_memory() == 0 {
            return;
        }
        self.look_again(session);
    }

    /// Has a session looked at when the disk has caught up.
    pub(crate) fn look_again(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        if !std::mem::replace(&mut client.waits, true) {
            let waiter = Waiter::Connection { session, uid: client.uid };
            self.journal.wait(self.journal.last(), waiter);
        }
    }

    /// Lets go of what a session whose client is away keeps in memory, once it is on disk.
    pub(crate) fn put_away(&mut self, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let last = self.journal.last();
        let journal = &self.journal;
        let safe = |tag: &Tag| {
            tag.promise.is_none() && tag.stored.is_some_and(|lsn| journal.is_durable(lsn))
        };
        // What is being read stands behind the row, and comes to its end.
        let busy = client.reading.is_some() || client.trims;
        if busy || client.online.is_some() || !client.is_durable() {
            return;
        }
        let mut first_expiry = None;
        let all = client.outbound.iter().all(|delivery| {
            let expires = delivery.message.as_ref().and_then(|message| message.expires);
            first_expiry = earlier(first_expiry, expires);
            safe(&delivery.tag)
        });
        if !all {
            return;
        }
        self.waiting_bytes -= client.outbound.weight_in_memory();
        client.outbound.put_away(Tag::is_shared);
        client.excesses.rewind();
        client.behind = last;
        client.sweep.note_expiry(first_expiry);
        self.set_alarm(session);
    }
}

/// The earlier of two moments, where there are any.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// The subscriptions that a stored delivery came of. A shared one is looked for among those that
/// the session has, by its mark.
pub(crate) fn origin<'f>(
    delivery: &DeliveryRecord,
    message: &Message,
    mut filters: impl Iterator<Item = &'f mqtt::TopicFilterBuf>,
) -> Option<Arc<Origin>> {
    let mut origin = Origin::default();
    for id in &delivery.ids {
        // A number out of its range is the mark of a group, or damage, and no identifier.
        let _ = origin.ids.push(*id);
    }
    if delivery.shared {
        origin.group = filters
            .find(|filter| {
                filter.as_filter().share_group().is_some()
                    && delivery.ids.contains(&crate::groups::mark(filter))
                    && filter.as_filter().matches(message.topic.as_topic())
            })
            .cloned();
    }
    (origin != Origin::default()).then(|| Arc::new(origin))
}

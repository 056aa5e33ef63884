use std::collections::BTreeMap;
use std::num::NonZeroU32;

use session::{Class, Sum};

use crate::client::Client;
use crate::deliver::Publication;
use crate::durable::{CLASS, GROUP, Page, Read, StoredDelivery, Wanted};
use crate::queue::{SLACK, SLACK_BYTES};
use crate::read_ahead::Purpose;
use crate::{Broker, DropCause, Limit};

/// What messages on topics of one rule may take in each session's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    class: Class,
    max_messages: usize,
    max_bytes: usize,
}

/// The rules of which a session's queue had more than may wait, because the oldest lie on disk.
#[derive(Debug, Default)]
pub(crate) struct Excesses(BTreeMap<Class, Excess>);

#[derive(Clone, Copy, Debug)]
struct Excess {
    quota: Quota,
    /// There are still too many.
    over: bool,
    /// Before this position none can be dropped; what else waits is not looked at again and again.
    from: u64,
}

/// The number by which a queue entry on disk names the rule that limits it. It comes of the rule's
/// name, for the places of rules change between two starts.
pub(crate) fn class(name: &str) -> Class {
    // FNV-1a, which is the same in every version of the gateway.
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = name.as_bytes().iter().fold(0x811C_9DC5, step);
    Class(NonZeroU32::MIN.saturating_add((hash & !GROUP | CLASS) - 1))
}

impl Quota {
    pub(crate) fn new(name: &str, max_messages: Option<usize>, max_bytes: Option<usize>) -> Self {
        let most = |max: Option<usize>| max.unwrap_or(usize::MAX);
        let (max_messages, max_bytes) = (most(max_messages), most(max_bytes));
        Self { class: class(name), max_messages, max_bytes }
    }

    /// What of it waits in a session's queue: what is sent and not confirmed does not, while the
    /// client is there.
    fn waits(&self, client: &Client) -> Sum {
        if client.online.is_some() {
            client.outbound.unsent_of(self.class)
        } else {
            client.outbound.owed_of(self.class)
        }
    }

    /// The limit that forbids one more message of that many bytes behind what waits and some copies
    /// of it, once what it replaces is gone.
    pub(crate) fn limit(
        &self,
        client: &Client,
        weight: usize,
        copies: usize,
        replaced: Sum,
    ) -> Option<Limit> {
        let Sum { count, weight: bytes } = self.waits(client);
        let (count, bytes) = (count + copies, bytes + copies * weight);
        if count.saturating_sub(replaced.count) >= self.max_messages {
            Some(Limit::TopicQueuedMessages)
        } else if bytes.saturating_sub(replaced.weight) + weight > self.max_bytes {
            Some(Limit::TopicQueuedBytes)
        } else {
            None
        }
    }

    /// Whether a message may wait until older ones have been dropped for it.
    pub(crate) fn has_slack(&self, client: &Client, weight: usize) -> bool {
        let Sum { count, weight: bytes } = self.waits(client);
        weight <= self.max_bytes
            && count < self.max_messages.saturating_add(SLACK)
            && bytes < self.max_bytes.saturating_add(SLACK_BYTES)
    }

    fn is_over(&self, client: &Client) -> bool {
        let Sum { count, weight } = self.waits(client);
        count > self.max_messages || weight > self.max_bytes
    }
}

impl Publication<'_> {
    /// What its deliveries are counted by.
    pub(crate) fn class(&self) -> Option<Class> {
        self.quota.map(|quota| quota.class)
    }
}

impl Excesses {
    /// What was in memory is on disk again.
    pub(crate) fn rewind(&mut self) {
        self.0.values_mut().for_each(|excess| excess.from = 0);
    }

    fn note(&mut self, quota: Quota) {
        let excess = self.0.entry(quota.class).or_insert(Excess { quota, over: true, from: 0 });
        excess.over = true;
    }
}

/// Drops the oldest messages of a rule of which too many wait. Those in memory come first; those
/// on disk are looked for there without being brought to memory, where there may be no room
/// before the client has taken what stands before them.
impl Broker {
    /// Drops what is too much of the rule that limits a publication.
    pub(crate) fn trim_topic(&mut self, session: u32, publication: &Publication<'_>) {
        let Some(quota) = publication.quota else { return };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        client.excesses.note(quota);
        self.trim_topics(session);
    }

    /// Goes on with that for all rules, when a read has ended or the disk has caught up.
    pub(crate) fn trim_topics(&mut self, session: u32) {
        let Some(client) = self.clients.get(session as usize) else { return };
        let over = client.excesses.0.values().filter(|excess| excess.over);
        let quotas: Vec<Quota> = over.map(|excess| excess.quota).collect();
        for quota in quotas {
            self.trim_in_memory(session, quota);
        }
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let mut excesses = std::mem::take(&mut client.excesses);
        excesses.0.retain(|class, excess| {
            excess.over &= excess.quota.is_over(client) && client.outbound.rest().count > 0;
            client.outbound.owed_of(*class).count > 0
        });
        let next = excesses.0.iter().find(|(_, excess)| excess.over);
        let next = next.map(|(class, excess)| (*class, excess.from));
        client.excesses = excesses;
        if let Some((class, from)) = next {
            self.look_for(session, class, from);
        }
    }

    fn trim_in_memory(&mut self, session: u32, quota: Quota) {
        while let Some(client) = self.clients.get(session as usize) {
            let oldest = client.outbound.first_unsent_of(quota.class);
            let oldest = oldest.map(|delivery| delivery.sequence);
            let Some(oldest) = oldest.filter(|_| quota.is_over(client)) else { break };
            self.stats.dropped_queue_full += 1;
            self.dropped(session, DropCause::QueueFull);
            self.give_up(session, oldest);
        }
    }

    /// Looks on disk for the oldest of a class, unless another read is under way.
    fn look_for(&mut self, session: u32, class: Class, from: u64) {
        let Some(client) = self.clients.get(session as usize) else { return };
        let Some(key) = client.key.filter(|_| client.reading.is_none()) else { return };
        // What was removed a moment ago must not be found again.
        if !self.journal.is_durable(client.behind) {
            self.look_again(session);
            return;
        }
        let queue = &client.outbound;
        let from = from.max(queue.rest().first).max(queue.sent_below());
        let (max_entries, max_bytes) = (SLACK, usize::MAX);
        let wanted = Wanted::OfClass(class);
        let read = Read { session: key, from, max_entries, max_bytes, wanted };
        self.begin_read(session, Purpose::Trim(class), read);
    }

    /// Drops what was found, as long as there is too much.
    pub(crate) fn trimmed(
        &mut self,
        session: u32,
        class: Class,
        complete: Option<u64>,
        page: Page,
    ) {
        let Some(client) = self.clients.get(session as usize) else { return };
        let Some(mut excess) = client.excesses.0.get(&class).copied() else { return };
        let (mut next, mut any) = (page.next, false);
        for StoredDelivery { sequence, delivery, weight, .. } in page.entries {
            let Some(client) = self.clients.get_mut(session as usize) else { return };
            if !excess.quota.is_over(client) {
                next = Some(sequence);
                break;
            }
            excess.from = sequence + 1;
            // What the client may have is not taken back.
            if sequence < client.outbound.sent_below() || client.values.is_replaced(sequence) {
                continue;
            }
            client.outbound.take_from_rest(delivery.load(weight));
            client.values.forget(sequence);
            self.queued_bytes -= weight;
            self.stats.dropped_queue_full += 1;
            self.remove_behind(session, sequence, DropCause::QueueFull);
            any = true;
        }
        let last = self.journal.last();
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        excess.from = next.unwrap_or(excess.from);
        // Others may be on their way to the disk; if none is, those that count were sent.
        excess.over = any || next.is_some() || complete != Some(client.outbound.next_sequence());
        if any || next.is_none() {
            client.behind = last;
        }
        client.excesses.0.insert(class, excess);
    }
}

#[cfg(test)]
mod tests {
    use super::class;
    use crate::durable::{CLASS, GROUP};

    #[test]
    fn a_class_is_neither_an_identifier_nor_a_group() {
        for name in ["", "a", "sensors", "Z-9"] {
            assert_eq!(class(name).0.get() & (GROUP | CLASS), CLASS);
        }
        assert_eq!(class("sensors").0.get(), 1_876_364_952, "it stands on disks");
    }
}

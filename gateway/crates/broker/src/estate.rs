use mqtt::{QoS, TopicFilterBuf};
use session::{Delivery, Timestamp};

use crate::broker::Waiter;
use crate::client::{Client, Tag};
use crate::durable::{Lsn, Op, Page, Read, SessionKey, StoredDelivery, Wanted};
use crate::effect::Reader;
use crate::read_ahead::{BYTES_MAX, ENTRIES_MAX, origin};
use crate::{Broker, Effect};

/// What an ended session was to get as a member of groups and has on disk. It is read and given to
/// others bit by bit; only then does the disk forget the session.
#[derive(Debug)]
pub(crate) struct Estate {
    session: SessionKey,
    /// The session's shared subscriptions.
    filters: Vec<TopicFilterBuf>,
    /// Entries before this position may have been sent.
    sent_below: u64,
}

impl Estate {
    pub(crate) fn new<'f>(
        session: SessionKey,
        filters: impl Iterator<Item = &'f TopicFilterBuf>,
        sent_below: u64,
    ) -> Self {
        let shared = filters.filter(|filter| filter.as_filter().share_group().is_some());
        Self { session, filters: shared.cloned().collect(), sent_below }
    }
}

impl Broker {
    /// Has the disk forget a session that is over, of whose queue `in_memory` was a part.
    pub(crate) fn end_on_disk(
        &mut self,
        client: &Client,
        session: SessionKey,
        in_memory: &[Delivery<Tag>],
    ) -> Lsn {
        let rest = client.outbound.rest();
        if rest.shared == 0 {
            return self.journal.append(Op::RemoveSession { session });
        }
        // What is in memory is given to others by itself, and must not be again.
        for delivery in in_memory.iter().filter(|delivery| delivery.tag.stored.is_some()) {
            let sequence = delivery.sequence;
            self.journal.append(Op::RemoveDelivery { session, sequence });
        }
        let mut record = client.record();
        (record.ended, record.will) = (true, None);
        let lsn = self.journal.append(Op::PutSession { session, record });
        let sent_below = client.outbound.sent_below();
        let estate = Estate::new(session, client.subscriptions.keys(), sent_below);
        // A read of the session may still be under way, and is none of the estate. What is on its
        // way to the disk must be there.
        let uid = self.new_uid();
        self.estates.insert(uid, estate);
        self.journal.wait(lsn, Waiter::Estate { uid, from: rest.first });
        lsn
    }

    /// Begins to read what is to be given to others, or goes on.
    pub(crate) fn open_estate(&mut self, uid: u64, estate: Estate, from: u64) {
        self.estates.insert(uid, estate);
        self.read_estate(uid, from);
    }

    pub(crate) fn read_estate(&mut self, uid: u64, from: u64) {
        let Some(estate) = self.estates.get(&uid) else { return };
        let reader = Reader { session: u32::MAX, uid };
        let (session, max_entries, max_bytes) = (estate.session, ENTRIES_MAX, BYTES_MAX);
        let read = Read { session, from, max_entries, max_bytes, wanted: Wanted::All };
        self.effects.push_back(Effect::Read { reader, read });
    }

    /// Gives to others what was read of an estate.
    pub(crate) fn share_out(&mut self, now: Timestamp, uid: u64, estate: Estate, page: Page) {
        let session = estate.session;
        for StoredDelivery { sequence, delivery, body, .. } in page.entries {
            let sent = sequence < estate.sent_below;
            // The first may have it, and no other may (MQTT-4.8.2-5).
            let lost = sent && delivery.qos == QoS::ExactlyOnce;
            let Some(body) = body.filter(|body| !lost && !body.expired(now)) else { continue };
            let origin = origin(&delivery, &body, estate.filters.iter());
            let message = Some(self.journal.new_message_key());
            let tag = Tag { message, stored: Some(Lsn(0)), origin, ..Tag::default() };
            let group = tag.origin.as_ref().and_then(|origin| origin.group.as_ref());
            if group.is_some_and(|group| self.pass_on(now, &body, group, &tag)) {
                self.journal.append(Op::RemoveDelivery { session, sequence });
            }
        }
        match page.next {
            Some(from) => self.open_estate(uid, estate, from),
            None => drop(self.journal.append(Op::RemoveSession { session })),
        }
    }
}

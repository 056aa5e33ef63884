use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::QoS;

use super::Reference;
use super::share::{Holder, Share, Way};
use crate::disk::{Disk, Entry, Stored, identifier};

/// Messages of groups on disk: with a session, or left by one that is over.
impl Reference {
    /// What a publisher hears of messages to groups: each is with a member on disk, or with one
    /// that has no place there.
    pub(super) fn promise_shares(
        &mut self,
        who: LinkId,
        range: (u64, u64),
        disk: &Disk,
        at: Timestamp,
    ) {
        let alive = |way: &Way| {
            self.sessions.get(&way.client).is_some_and(|session| session.epoch == way.epoch)
        };
        for index in 0..self.shares.len() {
            let share = &self.shares[index];
            if !(range.0..range.1).contains(&share.serial) {
                continue;
            }
            let stored = disk
                .all()
                .any(|stored| stored.deliveries.values().any(|e| share.may_be(stored, e)));
            // A publisher that sent it twice may have had the other confirmed.
            let twin = self
                .shares
                .iter()
                .any(|other| other.serial != share.serial && other.is_like(share));
            // It may have been acknowledged when it was with one that has gone since.
            let fleeting = |way: &Way| way.fleeting && (share.orphaned || alive(way));
            let fleeting = share.ways.iter().any(fleeting);
            let safe = stored || fleeting || twin || share.may_be_gone(at);
            assert!(
                safe,
                "{who:?} has its acknowledgement, and nobody of the group has {share:#?}"
            );
            self.shares[index].promised |= stored;
        }
    }

    /// After an orderly stop what no member has confirmed is on disk.
    pub(super) fn check_shares_stored(&self, disk: &Disk, at: Timestamp) {
        for share in self.shares.iter().filter(|s| s.message.qos > QoS::AtMostOnce) {
            let stored = disk
                .all()
                .any(|stored| stored.deliveries.values().any(|e| share.may_be(stored, e)));
            assert!(stored || share.may_be_gone(at), "a stop loses {share:#?}");
        }
    }

    /// After a power cut: what is on disk is still to be delivered, and nothing else is.
    pub(super) fn recover_shares(&mut self, disk: &Disk, at: Timestamp) {
        let mut found = vec![false; self.shares.len()];
        for stored in disk.all() {
            for (sequence, entry) in stored.deliveries.iter().filter(|(_, e)| e.record.shared) {
                let id = identifier(*sequence);
                let client = &stored.record.client_id;
                let rank = |share: &Share| {
                    let exact = share
                        .holder
                        .as_ref()
                        .is_some_and(|holder| holder.packet_id == id && holder.client == *client);
                    // A message that was sent twice is there once: then it is the one that was promised.
                    (!share.done && share.promised, exact, !share.done)
                };
                let indices = (0..self.shares.len())
                    .filter(|index| !found[*index] && self.shares[*index].may_be(stored, entry));
                let index = indices.max_by_key(|index| rank(&self.shares[*index]));
                let index = index.unwrap_or_else(|| {
                    panic!(
                        "{client} has {:?} on disk, and no group is to get it: {:#?}",
                        entry, self.shares
                    );
                });
                found[index] = true;
                let epoch = self.sessions.get(client).map(|session| session.epoch);
                self.shares[index].revive(
                    stored,
                    entry,
                    id,
                    epoch.filter(|_| !stored.record.ended),
                );
            }
        }
        for (share, found) in self.shares.iter_mut().zip(found) {
            if found {
                continue;
            }
            // Somebody may have got it who has no place on disk.
            let given = share.orphaned && share.ways.iter().any(|way| way.fleeting);
            let excused = share.may_be_gone(at) || given;
            assert!(!share.promised || excused, "an acknowledged message is lost: {share:#?}");
            (share.done, share.holder) = (true, None);
        }
        self.join_again();
    }

    /// Subscriptions that are back, or are known again.
    fn join_again(&mut self) {
        let mut all = Vec::new();
        for (client, session) in &self.sessions {
            let shared = session.subscriptions.iter().filter(|(f, _)| super::shares::is_shared(f));
            all.extend(
                shared.map(|(f, subscription)| (Arc::clone(client), f.clone(), *subscription)),
            );
        }
        for (client, filter, subscription) in all {
            self.join(&client, &filter, subscription);
        }
        let filters: Vec<String> = self.shares.iter().map(|share| share.filter.clone()).collect();
        filters.iter().for_each(|filter| self.check_members(filter));
    }
}

impl Share {
    /// Whether a queue entry may be this message.
    fn may_be(&self, stored: &Stored, entry: &Entry) -> bool {
        let Entry { record, body } = entry;
        // Above the identifiers is the mark of the group.
        let ids = record.ids.iter().copied().filter(|id| *id < 1 << 28);
        let mut ids: Vec<u32> = ids.collect();
        ids.sort_unstable();
        record.shared
            && self.message.topic == body.topic.as_str()
            && self.message.payload == *body.payload
            && self.message.properties == *body.properties
            && self.message.expires == body.expires
            && self.ways.iter().any(|way| {
                way.client == stored.record.client_id
                    && (way.due.qos, way.due.retain) == (record.qos, record.retain)
                    && way.due.ids == ids
            })
    }

    /// It is on disk, for a session of that epoch or for one that is over.
    fn revive(&mut self, stored: &Stored, entry: &Entry, id: mqtt::PacketId, epoch: Option<u64>) {
        let client = &stored.record.client_id;
        // What was sent until a power cut, nobody knows.
        let unknown = stored.record.disconnected_at.is_none();
        for way in self.ways.iter_mut().filter(|way| way.client == *client) {
            way.epoch = epoch.unwrap_or(way.epoch);
            way.seen |= unknown;
        }
        self.done = false;
        let seen = self.ways.iter().any(|way| way.client == *client && way.seen);
        self.may_be_missing |= epoch.is_none() && seen && entry.record.qos == QoS::ExactlyOnce;
        if let Some(epoch) = epoch.filter(|_| unknown && entry.record.qos == QoS::ExactlyOnce) {
            let (client, qos) = (Arc::clone(client), entry.record.qos);
            self.holder.get_or_insert(Holder {
                client,
                epoch,
                packet_id: id,
                qos,
                link: None,
                released: false,
                released_aloud: false,
            });
        }
        let mine = |h: &Holder| h.client == *client && h.packet_id == id;
        self.holder = self.holder.take().filter(mine).filter(|_| epoch.is_some());
        if let Some(holder) = &mut self.holder {
            let early = entry.record.released || !holder.released_aloud;
            assert!(early, "{client} was sent PUBREL and would get {:?} again", self.message);
            holder.epoch = epoch.unwrap_or(holder.epoch);
            (holder.link, holder.released) = (None, entry.record.released);
        }
    }
}

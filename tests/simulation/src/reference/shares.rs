use std::rc::Rc;
use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{Ack, PacketId, Publish, QoS, TopicFilter};

use super::share::{Holder, Share, Way};
use super::state::Subscription;
use super::{Due, Message, Reference};
use crate::disk::Disk;

/// Which member of a group gets what, and how often.
impl Reference {
    /// A message is published to a group.
    pub(super) fn share(
        &mut self,
        filter: String,
        members: &[(Arc<str>, Subscription)],
        message: &Rc<Message>,
    ) {
        let serial = self.serial;
        self.serial += 1;
        let ways = members.iter().map(|(client, s)| self.way(client, *s, message)).collect();
        self.shares.push(Share {
            serial,
            filter,
            message: Rc::clone(message),
            ways,
            holder: None,
            done: false,
            may_be_missing: false,
            promised: false,
            orphaned: false,
        });
    }

    fn way(&self, client: &Arc<str>, subscription: Subscription, message: &Rc<Message>) -> Way {
        let session = &self.sessions[client];
        let mut due = Due::new(0, message);
        due.fit(&[subscription]);
        Way {
            client: Arc::clone(client),
            epoch: session.epoch,
            seen: session.online.is_some(),
            left: false,
            fleeting: !session.durable,
            large: due.len(session.version) > session.max_packet,
            due,
        }
    }

    /// A session is a member from now on, or wants something else: it may get what others leave.
    pub(super) fn join(&mut self, client: &Arc<str>, filter: &str, subscription: Subscription) {
        for index in 0..self.shares.len() {
            if self.shares[index].filter == filter {
                let message = Rc::clone(&self.shares[index].message);
                let way = self.way(client, subscription, &message);
                self.shares[index].ways.push(way);
            }
        }
    }

    /// A session is a member no more. What it has it may send, or drop.
    pub(super) fn leave(&mut self, client: &str, filter: &str) {
        for share in self.shares.iter_mut().filter(|share| share.filter == filter) {
            share.ways.iter_mut().filter(|w| *w.client == *client).for_each(|w| w.left = true);
        }
        self.check_members(filter);
    }

    /// What nobody may have any more is gone.
    pub(super) fn check_members(&mut self, filter: &str) {
        let mut sessions = self.sessions.values();
        if !sessions.any(|session| session.subscriptions.contains_key(filter)) {
            let shares = self.shares.iter_mut().filter(|share| share.filter == filter);
            shares.for_each(|share| share.may_be_missing = true);
        }
    }

    /// A client is there again, with the limits that it has now.
    pub(super) fn arrive(&mut self, client: &str) {
        let Some(session) = self.sessions.get(client) else { return };
        let ways = self.shares.iter_mut().flat_map(|share| &mut share.ways);
        for way in ways.filter(|w| *w.client == *client && w.epoch == session.epoch) {
            way.seen = true;
            way.fleeting &= !session.durable;
            way.large |= way.due.len(session.version) > session.max_packet;
        }
    }

    /// A session is over. What it was not sent, or at QoS 1 not confirmed, goes to others.
    pub(super) fn bequeath(&mut self, client: &str, epoch: u64) {
        for share in &mut self.shares {
            let mine = |way: &&Way| *way.client == *client && way.epoch == epoch;
            let ways: Vec<&Way> = share.ways.iter().filter(mine).collect();
            if ways.is_empty() {
                continue;
            }
            share.orphaned = true;
            // Bytes that it was not sent in the end count as sent.
            let exact = |way: &&Way| way.seen && way.due.qos == QoS::ExactlyOnce;
            share.may_be_missing |= ways.iter().any(|way| exact(way) || way.left);
            // It may have that of QoS 2, and no other may (MQTT-4.8.2-5).
            share.done |= share.holder.as_ref().is_some_and(|holder| {
                *holder.client == *client && holder.epoch == epoch && holder.qos == QoS::ExactlyOnce
            });
        }
    }

    /// A PUBLISH that a member gets again.
    pub(super) fn shared_again(
        &mut self,
        link: LinkId,
        publish: &Publish<'_>,
        topic: &str,
        at: Timestamp,
    ) -> bool {
        let (client, epoch) = self.who(link);
        let Some(id) = publish.packet_id else { return false };
        let found = self.shares.iter().position(|share| {
            share.is_held(&client, epoch, id)
                && share.message.topic == topic
                && share.message.payload == publish.payload
        });
        let Some(index) = found else { return false };
        let share = &mut self.shares[index];
        let holder = share.holder.as_mut().expect("it is held");
        assert!(!holder.released, "{client} got {publish:?} again after PUBREC: {share:?}");
        assert!(holder.link != Some(link), "{client} got {publish:?} twice: {share:?}");
        assert!(publish.dup, "{client} got {publish:?} again without DUP: {share:?}");
        holder.link = Some(link);
        self.check_way(link, publish, index, at);
        true
    }

    /// A PUBLISH that a member gets for the first time; false when it can be of no group.
    pub(super) fn shared_first(
        &mut self,
        link: LinkId,
        publish: &Publish<'_>,
        topic: &str,
        at: Timestamp,
    ) -> bool {
        let (client, epoch) = self.who(link);
        let index = self.free_share(link, publish, topic, at);
        let index = index.or_else(|| self.exchange(link, publish, topic));
        let Some(index) = index else { return false };
        let (packet_id, qos) = (publish.packet_id.unwrap_or(PacketId::MIN), publish.qos);
        let twin = self.shares.iter().find(|share| {
            let there = share.holder.as_ref().is_some_and(|holder| holder.link == Some(link));
            there && qos > QoS::AtMostOnce && share.is_held(&client, epoch, packet_id)
        });
        assert!(twin.is_none(), "{client} got {publish:?}; the identifier is that of {twin:?}");
        let (released, released_aloud) = (false, false);
        let link_of = Some(link);
        let holder =
            Holder { client, epoch, packet_id, qos, link: link_of, released, released_aloud };
        self.shares[index].holder = Some(holder);
        self.shares[index].done = qos == QoS::AtMostOnce;
        self.check_way(link, publish, index, at);
        true
    }

    /// A publisher may have sent a message twice, and a member may have got the one that was taken
    /// for the other.
    fn exchange(&mut self, link: LinkId, publish: &Publish<'_>, topic: &str) -> Option<usize> {
        let mine: Vec<usize> = self.shares_of(link, publish, topic).collect();
        let twins = mine.into_iter().find_map(|one| {
            let (share, holder) = (&self.shares[one], self.shares[one].holder.as_ref()?);
            let fits = |way: &Way| {
                (&way.client, way.due.qos) == (&holder.client, holder.qos)
                    && way.epoch == holder.epoch
            };
            let twin = |other: &Share| {
                other.is_like(share) && self.is_free(other) && other.ways.iter().any(fits)
            };
            Some((one, self.shares.iter().position(twin)?))
        });
        let (one, other) = twins?;
        let (done, holder) = (self.shares[other].done, self.shares[other].holder.take());
        self.shares[other].done = std::mem::replace(&mut self.shares[one].done, done);
        self.shares[other].holder = std::mem::replace(&mut self.shares[one].holder, holder);
        Some(one)
    }

    /// The message of a group that a member may get now: nobody has it.
    fn free_share(
        &self,
        link: LinkId,
        publish: &Publish<'_>,
        topic: &str,
        at: Timestamp,
    ) -> Option<usize> {
        let v5 = self.connections[&link].version.is_v5();
        let free = || {
            self.shares_of(link, publish, topic).filter(move |index| {
                let share = &self.shares[*index];
                // A publisher may have sent it twice.
                self.is_free(share) && (!v5 || self.is_expiry_of(publish, &share.message, at))
            })
        };
        let (left, there) = (
            |index: &usize| self.shares[*index].message.left(at) == publish.message_expiry,
            |index: &usize| !self.shares[*index].may_be_gone(at),
        );
        free()
            .find(|index| left(index) && there(index))
            .or_else(|| free().find(there))
            .or_else(|| free().next())
    }

    /// The messages of groups that this packet may be.
    fn shares_of(
        &self,
        link: LinkId,
        publish: &Publish<'_>,
        topic: &str,
    ) -> impl Iterator<Item = usize> {
        let (client, epoch) = self.who(link);
        (0..self.shares.len()).filter(move |index| {
            let share = &self.shares[*index];
            share.message.topic == topic
                && share.message.payload == publish.payload
                && share.ways.iter().any(|way| {
                    way.client == client
                        && way.epoch == epoch
                        && self.is_so(link, publish, &way.due)
                })
        })
    }

    fn is_free(&self, share: &Share) -> bool {
        !share.done && share.holder.as_ref().is_none_or(|holder| self.has_let_go(holder))
    }

    /// Whether a message may go to another member than the one that was sent it.
    fn has_let_go(&self, holder: &Holder) -> bool {
        let session = self.sessions.get(&holder.client).filter(|s| s.epoch == holder.epoch);
        let there = session.and_then(|session| session.online);
        holder.qos == QoS::AtLeastOnce && there.is_none_or(|link| holder.link != Some(link))
    }

    fn who(&self, link: LinkId) -> (Arc<str>, u64) {
        let connection = &self.connections[&link];
        (Arc::clone(&connection.client), connection.epoch)
    }

    fn is_so(&self, link: LinkId, publish: &Publish<'_>, due: &Due) -> bool {
        let mut ids: Vec<u32> = publish.subscription_ids.iter().collect();
        ids.sort_unstable();
        let v5 = self.connections[&link].version.is_v5();
        let mut properties = Vec::new();
        publish.properties.write_to(&mut properties);
        let same = due.ids == ids && due.message.properties == properties;
        due.qos == publish.qos && due.retain == publish.retain && (!v5 || same)
    }

    /// It comes as one of the member's subscriptions said.
    fn check_way(&self, link: LinkId, publish: &Publish<'_>, index: usize, at: Timestamp) {
        let (share, (client, _)) = (&self.shares[index], self.who(link));
        let mut ways = share.ways.iter().filter(|way| way.client == client);
        let way = ways.find(|way| self.is_so(link, publish, &way.due));
        let way = way.unwrap_or_else(|| panic!("{client} got {publish:?} of {share:?}"));
        self.compare(link, publish, &way.due, at);
    }

    fn held_on(&mut self, link: LinkId, id: PacketId, qos: QoS) -> Option<&mut Share> {
        let (client, epoch) = self.who(link);
        self.shares.iter_mut().find(|share| {
            let there = |holder: &Holder| holder.link == Some(link) && holder.qos == qos;
            share.is_held(&client, epoch, id) && share.holder.as_ref().is_some_and(there)
        })
    }

    /// PUBACK or PUBCOMP.
    pub(super) fn confirm_shared(&mut self, link: LinkId, ack: &Ack<'_>, qos: QoS) {
        let Some(share) = self.held_on(link, ack.packet_id, qos) else { return };
        let released = share.holder.as_ref().is_some_and(|holder| holder.released);
        share.done |= qos == QoS::AtLeastOnce || released;
    }

    /// PUBREC; false if it is about nothing that a group was sent.
    pub(super) fn pubrec_shared(&mut self, link: LinkId, ack: &Ack<'_>) -> bool {
        let Some(share) = self.held_on(link, ack.packet_id, QoS::ExactlyOnce) else { return false };
        share.done |= ack.code.is_error();
        share.holder.iter_mut().for_each(|holder| holder.released = true);
        true
    }

    /// PUBREL for what a group was sent: the disk of a session that lasts knows that it has it.
    pub(super) fn released_shared(
        &mut self,
        link: LinkId,
        ack: &Ack<'_>,
        disk: &Disk,
        at: Timestamp,
    ) -> bool {
        let (client, epoch) = self.who(link);
        let session = &self.sessions[&client];
        let (durable, version, max) = (session.durable, session.version, session.max_packet);
        let id = ack.packet_id;
        let mut shares = self.shares.iter_mut();
        let Some(share) = shares.find(|share| share.is_held(&client, epoch, id)) else {
            return false;
        };
        let too_large = share.ways.iter().any(|way| way.due.len(version) > max);
        let given_up = share.message.is_expired(at) || too_large;
        let holder = share.holder.as_mut().expect("it is held");
        assert!(holder.released || given_up, "{client} got {ack:?} for {share:?}");
        (holder.released, holder.released_aloud, holder.link) = (true, true, Some(link));
        let safe = !durable || disk.released(&client, id);
        assert!(safe, "{client} got {ack:?} before the disk knows that it has {share:?}");
        true
    }

    /// Messages that may wait for a session, and what they weigh.
    pub(super) fn shared_with(&self, client: &str, about: impl Fn(&str) -> bool) -> (usize, usize) {
        let with = |share: &&Share| {
            !share.done
                && share.message.qos > QoS::AtMostOnce
                && about(&share.message.topic)
                && share.ways.iter().any(|way| *way.client == *client)
        };
        let shares = self.shares.iter().filter(with);
        shares.fold((0, 0), |(count, weight), share| (count + 1, weight + share.message.weight()))
    }

    /// Bytes of all messages that may wait.
    pub(super) fn shared_weight(&self) -> usize {
        let waiting = self.shares.iter().filter(|s| !s.done && s.message.qos > QoS::AtMostOnce);
        waiting.map(|share| share.message.weight()).sum()
    }

    /// A session may have dropped what was published since `from` and waited for it.
    pub(super) fn doubt_shares(
        &mut self,
        client: &str,
        from: u64,
        about: impl Fn(&str) -> bool,
    ) -> bool {
        let mut any = false;
        let online = self.sessions.get(client).and_then(|session| session.online);
        for share in self.shares.iter_mut().filter(|share| share.serial >= from) {
            let may = about(&share.message.topic) && share.may_wait_for(client, online);
            share.may_be_missing |= may;
            any |= may;
        }
        any
    }

    /// Everything that a group waits for has come to one of its members.
    pub(super) fn check_shares(&self, at: Timestamp) {
        for share in self.shares.iter().filter(|s| s.message.qos > QoS::AtMostOnce) {
            let away = |way: &Way| {
                let session = self.sessions.get(&way.client).filter(|s| s.epoch == way.epoch);
                session.is_some_and(|session| session.online.is_none())
            };
            let excused = share.may_be_gone(at) || share.ways.iter().any(away);
            assert!(excused, "nobody of its group got {share:#?}");
        }
    }
}

/// Whether a filter is that of a group.
pub(super) fn is_shared(filter: &str) -> bool {
    TopicFilter::new(filter).expect("a filter").share_group().is_some()
}

use std::sync::Arc;

use broker::{Overflow, Settings, Timestamp, TopicRule};
use mqtt::TopicName;

use super::{Due, Reference};

/// What the broker says that it has dropped for want of room.
impl Reference {
    /// A message was dropped for a session: then there was no room.
    pub(super) fn overflowed(&mut self, client_id: &Arc<str>, at: Timestamp) {
        // A session that ends is counted until its will has been published.
        let step = self.step;
        let rows = || self.sessions.values().flat_map(|session| &session.row);
        let weight = Due::weight;
        let fresh: usize = rows().filter(|due| due.serial >= step).map(weight).sum();
        let total = rows().map(weight).sum::<usize>().max(self.weight + fresh);
        let total = total + self.shared_weight();
        let (shared, shared_weight) = self.shared_with(client_id, |_| true);
        let crowded = self.crowded(client_id);
        let limits = &self.settings.clone();
        // It went to nobody because another had no room either.
        if self.taken_back == step {
            return;
        }
        // One that is over by now was not given its own will.
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        if session.began >= step {
            return;
        }
        let full = session.row.len() + shared > limits.max_queued_messages
            || session.weight() + shared_weight > limits.max_queued_bytes
            || total > limits.max_queued_bytes_total;
        // Where only rules have no room, only what they are about is dropped.
        let about =
            |topic: &str| full || rule_of(limits, topic).is_some_and(|r| crowded.contains(&r));
        assert!(
            full || !crowded.is_empty(),
            "{client_id} was refused a message at {at:?} although there is room; {total} bytes wait, of them {} in {:#?}",
            session.weight(),
            session.row
        );
        if matches!(self.settings.overflow, Overflow::DropOldest | Overflow::LastValue) {
            // The oldest that was not sent, or what was to be queued.
            let unsent = session.row.iter_mut();
            let unsent = unsent.filter(|due| !due.sent && about(&due.message.topic));
            unsent.for_each(|due| due.may_be_missing = true);
            self.doubt_shares(client_id, 0, about);
            return;
        }
        let is_fresh = |due: &Due| due.serial >= step && about(&due.message.topic);
        let fresh = session.row.iter().filter(|due| is_fresh(due)).count();
        // What a session leaves may find no room as much as its will.
        let from = if self.publishing.is_some() { step } else { 0 };
        let shared = self.doubt_shares(client_id, from, about);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        if fresh == 1 && !shared {
            session.row.retain(|due| !is_fresh(due));
        } else {
            let fresh = session.row.iter_mut().filter(|due| is_fresh(due));
            fresh.for_each(|due| due.may_be_missing = true);
        }
        if self.settings.overflow == Overflow::Reject {
            self.refuse_publish();
        }
    }

    /// The rules of which more may wait for a session than they allow.
    fn crowded(&self, client: &str) -> Vec<usize> {
        let Some(session) = self.sessions.get(client) else { return Vec::new() };
        let is_over = |(at, rule): (usize, &TopicRule)| {
            let about = |topic: &str| rule_of(&self.settings, topic) == Some(at);
            let (mut count, mut weight) = self.shared_with(client, about);
            // What is sent does not wait, while the client is there.
            let in_flight = |due: &&Due| due.sent_on.is_some() && due.sent_on == session.online;
            let ours = session.row.iter().filter(|due| about(&due.message.topic));
            for due in ours.filter(|due| !in_flight(due)) {
                (count, weight) = (count + 1, weight + due.weight());
            }
            let over = rule.max_queued_messages.is_some_and(|max| count > max)
                || rule.max_queued_bytes.is_some_and(|max| weight > max);
            over.then_some(at)
        };
        self.settings.topic_rules.iter().enumerate().filter_map(is_over).collect()
    }

    /// A message took the place of one that waited on the same topic.
    pub(super) fn replaced(&mut self, client: &Arc<str>) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let last = |topic: &str, row: &[Due]| {
            row.iter().filter(|due| due.message.topic == topic).map(|due| due.serial).max()
        };
        let old: Vec<u64> = session
            .row
            .iter()
            .filter(|due| !due.sent && last(&due.message.topic, &session.row) > Some(due.serial))
            .map(|due| due.serial)
            .collect();
        let old = session.row.iter_mut().filter(|due| old.contains(&due.serial));
        old.for_each(|due| due.may_be_missing = true);
        self.doubt_shares(client, 0, |_| true);
    }
}

/// Which rule limits a topic: the first that matches, for all of them have limits.
pub(crate) fn rule_of(settings: &Settings, topic: &str) -> Option<usize> {
    let topic = TopicName::new(topic).expect("a topic");
    settings.topic_rules.iter().position(|rule| rule.filter.as_filter().matches(topic))
}

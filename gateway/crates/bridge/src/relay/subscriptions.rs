use std::sync::Arc;

use mqtt::{
    Packet, PacketId, RetainHandling, SubAck, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, UnsubAck, Unsubscribe, UnsubscribeFiltersBuf, UserProperties,
};
use session::Timestamp;

use super::{Phase, Relay};
use crate::{End, Event};

impl Relay {
    /// Asks for everything again each time, for upstream may have forgotten; and gives up what no rule is for any more.
    pub(super) fn subscribe(&mut self, now: Timestamp, session_present: bool) -> Result<(), End> {
        let settings = Arc::clone(&self.settings);
        let bounds = settings.bounds;
        for rules in settings.inward.chunks(bounds.filters_per_subscribe.max(1)) {
            let Some(packet_id) = self.question() else { break };
            let mut filters = SubscribeFiltersBuf::default();
            for rule in rules {
                let qos = rule.qos.min(self.upstream.max_qos).min(settings.local.maximum_qos);
                let plain = SubscribeOptions { qos, ..SubscribeOptions::default() };
                let options = match bounds.subscribe_options {
                    true => SubscribeOptions {
                        no_local: true,
                        retain_as_published: true,
                        retain_handling: RetainHandling::SendIfNew,
                        ..plain
                    },
                    false => plain,
                };
                // No filter is that of a shared subscription.
                let _ = filters.push(rule.filter(), options);
            }
            let names = rules.iter().map(|rule| rule.filter().as_str().to_owned());
            self.asked.insert(packet_id, names.collect());
            let user = UserProperties::default();
            let filters = filters.as_ref();
            let subscribe = Subscribe { packet_id, subscription_id: None, user, filters };
            self.tell(now, &Packet::Subscribe(subscribe))?;
        }
        if let Some(id) = self.question() {
            self.subscribe_to_probe(now, id)?;
        }
        if session_present {
            self.unsubscribe(now, &settings.former)
        } else {
            self.left.extend(settings.former.iter().cloned());
            Ok(())
        }
    }

    /// Gives up everything that was asked for, where messages pass: the bridge is not to come back.
    ///
    /// # Errors
    /// The end of both conversations.
    pub fn withdraw(&mut self, now: Timestamp) -> Result<(), End> {
        if self.phase != Phase::Running || self.withdraws {
            return Ok(());
        }
        self.withdraws = true;
        let inward = self.settings.inward.iter().map(|rule| rule.filter().as_str().to_owned());
        let probe = self.probe.as_ref().map(|probe| probe.topic().as_str().to_owned());
        let all: Vec<_> = inward.chain(probe).collect();
        self.unsubscribe(now, &all)
    }

    /// Whether upstream has answered all that [`withdraw`](Self::withdraw) said.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdraws && self.leaving.is_empty()
    }

    /// Filters for which upstream has no subscription any more, since the last time.
    pub fn take_left(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left)
    }

    fn unsubscribe(&mut self, now: Timestamp, names: &[String]) -> Result<(), End> {
        for names in names.chunks(self.settings.bounds.filters_per_subscribe.max(1)) {
            let Some(packet_id) = self.question() else { break };
            let mut filters = UnsubscribeFiltersBuf::default();
            for filter in names.iter().filter_map(|name| TopicFilter::new(name).ok()) {
                filters.push(filter);
            }
            self.leaving.insert(packet_id, names.to_vec());
            let user = UserProperties::default();
            let filters = filters.as_ref();
            self.tell(now, &Packet::Unsubscribe(Unsubscribe { packet_id, user, filters }))?;
        }
        Ok(())
    }

    /// An identifier that no other question has.
    fn question(&mut self) -> Option<PacketId> {
        self.questions = self.questions.checked_add(1)?;
        PacketId::new(self.questions)
    }

    /// SUBACK of upstream.
    pub(super) fn subscribed(&mut self, suback: &SubAck<'_>) {
        let filters = self.asked.remove(&suback.packet_id).unwrap_or_default();
        for (filter, code) in filters.into_iter().zip(suback.codes.iter()) {
            if code.is_error() {
                self.event(Event::NotSubscribed { filter, code: *code });
            }
        }
    }

    /// UNSUBACK of upstream. 3.1.1 has no codes in it.
    pub(super) fn unsubscribed(&mut self, unsuback: &UnsubAck<'_>) {
        let filters = self.leaving.remove(&unsuback.packet_id).unwrap_or_default();
        for (at, filter) in filters.into_iter().enumerate() {
            match unsuback.codes.get(at).filter(|code| code.is_error()) {
                Some(code) => self.event(Event::NotUnsubscribed { filter, code: *code }),
                None => self.left.push(filter),
            }
        }
    }
}

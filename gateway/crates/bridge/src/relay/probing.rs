use std::sync::Arc;

use mqtt::{
    Packet, PacketId, Publish, QoS, SubAck, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, UserProperties,
};
use session::Timestamp;

use super::Relay;
use crate::probe::{Health, Step};
use crate::{End, Event};

impl Relay {
    /// Upstream has let probes through before, on another connection.
    #[must_use]
    pub fn with_proven_probe(mut self, proven: bool) -> Self {
        if let Some(probe) = self.probe.as_mut().filter(|_| proven) {
            probe.prove();
        }
        self
    }

    /// What probes say of upstream.
    #[must_use]
    pub fn health(&self) -> Health {
        self.probe.as_ref().map_or(Health::Unwatched, |probe| probe.health())
    }

    /// Whether upstream is known to let probes through.
    #[must_use]
    pub fn has_proven_probe(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.is_proven())
    }

    /// Asks for what it is going to publish.
    pub(super) fn subscribe_to_probe(&mut self, now: Timestamp, id: PacketId) -> Result<(), End> {
        let Some(probe) = &mut self.probe else { return Ok(()) };
        let mut filters = SubscribeFiltersBuf::default();
        // Plain ones, which everybody knows.
        let options = SubscribeOptions::default();
        // A topic is a filter that is short enough.
        if let Ok(filter) = TopicFilter::new(probe.topic().as_str()) {
            let _ = filters.push(filter, options);
        }
        probe.asked = Some(id);
        let (user, filters) = (UserProperties::default(), filters.as_ref());
        let subscribe = Subscribe { packet_id: id, subscription_id: None, user, filters };
        self.tell(now, &Packet::Subscribe(subscribe))
    }

    /// SUBACK of upstream; false if it is not about the probe.
    pub(super) fn probe_is_granted(&mut self, now: Timestamp, suback: &SubAck<'_>) -> bool {
        let Some(probe) = &mut self.probe else { return false };
        if probe.asked != Some(suback.packet_id) {
            return false;
        }
        let refused = suback.codes.iter().find(|code| code.is_error()).copied();
        probe.subscribed(now, refused.is_none());
        if let Some(code) = refused {
            let filter = probe.topic().as_str().to_owned();
            self.event(Event::NotSubscribed { filter, code });
        }
        // The first goes out at once.
        let _ = self.probe_if_due(now);
        true
    }

    /// Sends a probe if one is due.
    pub(super) fn probe_if_due(&mut self, now: Timestamp) -> Result<(), End> {
        let is_blocked = !self.upstream.output.is_empty();
        let Some(probe) = &mut self.probe else { return Ok(()) };
        let before = probe.health();
        let Some(step) = probe.step(now, is_blocked) else { return Ok(()) };
        let (topic, interval) = (probe.topic().clone(), probe.interval());
        if let (Health::Degraded { missing }, true) = (probe.health(), before != probe.health()) {
            self.counts.probes_missing += 1;
            if missing == 1 {
                self.event(Event::Degraded);
            }
        }
        let token = match step {
            Step::Send(token) => token,
            Step::GiveUp(missing) => return Err(End::NotRouted { missing }),
        };
        self.counts.probes_sent += 1;
        let seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).max(1);
        let publish = Publish {
            message_expiry: self.upstream.version.is_v5().then_some(seconds),
            ..Publish::new(topic.as_topic(), token.as_bytes())
        };
        self.tell(now, &Packet::Publish(publish))
    }

    /// A message of upstream; whether it came by the topic of the probe, where nothing else has a place.
    pub(super) fn takes_as_probe(&mut self, now: Timestamp, publish: &Publish<'_>) -> bool {
        let Some(probe) = &mut self.probe else { return false };
        let is_its_topic = publish.topic.is_some_and(|it| it.as_str() == probe.topic().as_str());
        if !is_its_topic || publish.qos != QoS::AtMostOnce {
            return false;
        }
        let before = probe.health();
        if probe.returned(now, publish.payload) {
            let health = probe.health();
            self.counts.probes_returned += 1;
            if let (Health::Healthy { round_trip }, false) =
                (health, matches!(before, Health::Healthy { .. }))
            {
                self.event(Event::Healthy { round_trip });
            }
        }
        true
    }

    /// The probe of a new relay.
    pub(super) fn new_probe(
        settings: &Arc<crate::Settings>,
        now: Timestamp,
    ) -> Option<crate::probe::Probe> {
        let terms = settings.probe.clone()?;
        Some(crate::probe::Probe::new(terms, &settings.gateway, now))
    }
}

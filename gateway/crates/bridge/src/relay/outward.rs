use mqtt::{
    Ack, MessageProperties, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName,
    Version,
};
use session::Timestamp;

use super::reviewing::reread;
use super::{KEPT_BYTES_MAX, Relay};
use crate::lane::Reply;
use crate::letters::Letter;
use crate::rule::Rule;
use crate::trail::{self, TRAIL_PROPERTY, Trail};
use crate::{End, Event};

/// The user property of a dead letter that says why it is one.
const REASON_PROPERTY: &str = "bridge-reason";

impl Relay {
    /// A message of the local broker; `raw` is its packet.
    pub(super) fn send_out(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        let Some(topic) = publish.topic else {
            return Err(End::Local("it sent a topic alias".to_owned()));
        };
        if self.has_passed(publish, Some(&self.settings.gateway), self.peer.as_deref()) {
            self.counts.looped += 1;
            self.event(Event::Looped { topic: topic.as_str().to_owned() });
            self.settle_here(now, publish, ReasonCode::Success);
            return Ok(());
        }
        self.send_as(now, publish, publish, raw)
    }

    /// Sends `publish` in the place of what the local broker sent, whose packet is `raw`.
    pub(super) fn send_as(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        original: &Publish<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        match self.write_out(now, publish, Trail::of(original.properties)) {
            Err(why) => self.refuse(now, original, &why),
            Ok(passed) => {
                self.counts.sent += 1;
                let Some(id) = original.packet_id else { return Ok(()) };
                if passed != QoS::AtMostOnce {
                    self.in_flight.insert(id);
                }
                if let Some(reply) = self.outward.pass(id, original.qos, passed) {
                    self.reply_outward(now, id, reply);
                } else if self.upstream.version.is_v5()
                    && self.kept_bytes + raw.len() <= KEPT_BYTES_MAX
                {
                    self.kept_bytes += raw.len();
                    self.kept.insert(id, raw.into());
                }
                Ok(())
            }
        }
    }

    /// Puts it into the output, under its name there; answers its QoS there. An error says why it cannot go.
    pub(super) fn write_out(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        trail: Trail<'_>,
    ) -> Result<QoS, String> {
        let topic = publish.topic.ok_or("it has no topic")?;
        let settings = std::sync::Arc::clone(&self.settings);
        let rule = Rule::of(&settings.outward, topic).ok_or("no rule is for its topic any more")?;
        rule.admits(publish.payload.len())?;
        let mapped = rule.map(topic, &settings.gateway).ok_or("nothing is left of its topic")?;
        let mapped = TopicName::new(&mapped).map_err(|error| error.to_string())?;
        let properties = trail::passed_on(publish.properties, trail, &self.settings.gateway)
            .map_err(|error| error.to_string())?;
        let qos = publish.qos.min(self.upstream.max_qos).min(rule.qos);
        let confirmed = qos != QoS::AtMostOnce;
        let there = Publish {
            dup: publish.dup && confirmed,
            qos,
            retain: publish.retain && rule.retain && self.upstream.retains,
            topic: Some(mapped),
            packet_id: publish.packet_id.filter(|_| confirmed),
            message_expiry: rule.expires(publish.message_expiry),
            properties: properties.as_ref(),
            subscription_ids: mqtt::SubscriptionIds::default(),
            ..*publish
        };
        let version = self.upstream.version;
        let seen = if version.is_v5() { properties.as_ref() } else { MessageProperties::default() };
        if let Some(why) = self.settings.bounds.objection(mapped, publish.payload, seen) {
            return Err(why);
        }
        let bytes = there.encoded_len(version).map_err(|error| error.to_string())?;
        if bytes > self.upstream.max_packet {
            let most = self.upstream.max_packet;
            return Err(format!("it has {bytes} bytes there, and upstream accepts {most}"));
        }
        self.pack(now, there, &rule.packing).map_err(|error| error.to_string())?;
        Ok(qos)
    }

    /// Whether a message has come by one of these gateways, or by too many.
    pub(super) fn has_passed(
        &self,
        publish: &Publish<'_>,
        one: Option<&str>,
        other: Option<&str>,
    ) -> bool {
        let trail = Trail::of(publish.properties);
        [one, other].into_iter().flatten().any(|id| trail.has(id))
            || trail.len() >= self.settings.max_hops
    }

    /// PUBACK or PUBREC of upstream.
    pub(super) fn upstream_has(
        &mut self,
        now: Timestamp,
        kind: PacketKind,
        ack: &Ack<'_>,
    ) -> Result<(), End> {
        match self.batches.answered(ack.packet_id) {
            Some(ids) => {
                ids.into_iter().try_for_each(|id| self.upstream_has_one(now, kind, id, ack))
            }
            None => self.upstream_has_one(now, kind, ack.packet_id, ack),
        }
    }

    /// Upstream's answer to one message.
    fn upstream_has_one(
        &mut self,
        now: Timestamp,
        kind: PacketKind,
        id: PacketId,
        ack: &Ack<'_>,
    ) -> Result<(), End> {
        if kind == PacketKind::PubAck || ack.code.is_error() {
            self.in_flight.remove(&id);
        }
        let kept = self.kept.remove(&id);
        self.kept_bytes -= kept.as_ref().map_or(0, |kept| kept.len());
        if ack.code.is_error() {
            let words = ack.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let why = format!("upstream answered 0x{:02X} ({}){words}", ack.code.as_u8(), ack.code);
            if let Some(done) = self.upstream_has_part(now, kind, id, Some(&why)) {
                return done;
            }
            let kept = kept.ok_or(End::Again(
                "a message that upstream refused was not kept; it comes again",
            ))?;
            return match reread(&kept) {
                Some(publish) => self.refuse(now, &publish, &why),
                None => Err(End::Again("a message that was kept cannot be read; it comes again")),
            };
        }
        if let Some(done) = self.upstream_has_part(now, kind, id, None) {
            return done;
        }
        let reply = match kind {
            PacketKind::PubAck => {
                self.counts.confirmed += 1;
                if self.outward.is_cut_short(id) {
                    // From now on it gets no more than it can.
                    self.upstream.max_qos = QoS::AtLeastOnce;
                }
                self.outward.puback(id, ReasonCode::Success)
            }
            _ => self.outward.pubrec(id, ReasonCode::Success),
        };
        self.reply_outward(now, id, reply);
        Ok(())
    }

    /// Makes a dead letter of a message that cannot go upstream. It is acknowledged when the local broker has taken that over.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        why: &str,
    ) -> Result<(), End> {
        let topic = publish.topic.map(TopicName::as_str).unwrap_or_default();
        self.counts.refused += 1;
        self.event(Event::Refused { topic: topic.to_owned(), why: why.to_owned() });
        let letter = Letter { about: publish.packet_id, qos: publish.qos };
        if letter.about.is_none() && self.letters.is_full() {
            self.counts.letters_lost += 1;
            return Ok(());
        }
        let unpacking = self.unpacking.as_ref();
        let unanswered = &self.unanswered;
        let taken = |id: PacketId| {
            unanswered.contains(&id) || unpacking.is_some_and(|batch| batch.uses(id))
        };
        let Some(id) = self.letters.send(letter, self.last_id, taken) else {
            return Err(End::Again("there is no identifier for a dead letter"));
        };
        if !self.write_letter(now, id, publish, topic, why) {
            self.letter_taken_over(now, id, ReasonCode::PacketTooLarge);
        }
        Ok(())
    }

    /// Publishes a dead letter here; false if it cannot be written.
    fn write_letter(
        &mut self,
        now: Timestamp,
        id: PacketId,
        publish: &Publish<'_>,
        topic: &str,
        why: &str,
    ) -> bool {
        let Ok(properties) = trail::copied(publish.properties, |name| name == TRAIL_PROPERTY)
            .and_then(|copy| copy.user(REASON_PROPERTY, why))
        else {
            return false;
        };
        let limits = self.settings.local;
        let place = format!("{}/{topic}", self.settings.refused_topic);
        let Ok(place) = TopicName::new(&place) else { return false };
        let letter = Publish {
            dup: false,
            qos: QoS::AtLeastOnce.min(self.locals.normal.max_qos),
            retain: false,
            topic: Some(place),
            packet_id: Some(id).filter(|_| self.locals.normal.max_qos > QoS::AtMostOnce),
            properties: properties.as_ref(),
            subscription_ids: mqtt::SubscriptionIds::default(),
            ..*publish
        };
        let fits = letter
            .encoded_len(Version::V5)
            .is_ok_and(|bytes| bytes <= self.locals.normal.max_packet)
            && place.as_str().len() <= limits.max_topic_bytes
            && place.level_count() <= limits.max_topic_levels
            && properties.as_ref().user().count() <= limits.max_user_properties;
        if !fits || self.locals.normal.send(now, &Packet::Publish(letter)).is_err() {
            return false;
        }
        if letter.packet_id.is_none() {
            self.letter_taken_over(now, id, ReasonCode::Success);
        }
        true
    }

    /// The local broker has a dead letter, or will not have it: what it is about is done with.
    pub(super) fn letter_taken_over(&mut self, now: Timestamp, id: PacketId, code: ReasonCode) {
        let Some(letter) = self.letters.taken_over(id) else { return };
        if code.is_error() {
            self.counts.letters_lost += 1;
            self.event(Event::LetterLost { code });
        }
        let Some(about) = letter.about else { return };
        let (kind, code) = match letter.qos {
            // An error ends the exchange at once.
            QoS::ExactlyOnce => (PacketKind::PubRec, ReasonCode::UnspecifiedError),
            _ => (PacketKind::PubAck, ReasonCode::Success),
        };
        self.reply_outward(now, about, Reply::Source(kind, code));
    }

    /// Acknowledges a message of the local broker that goes nowhere.
    pub(super) fn settle_here(&mut self, now: Timestamp, publish: &Publish<'_>, code: ReasonCode) {
        let Some(id) = publish.packet_id else { return };
        if let Some(reply) = self.outward.take(id, publish.qos, code) {
            self.reply_outward(now, id, reply);
        }
    }
}

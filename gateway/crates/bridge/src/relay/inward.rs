use std::sync::Arc;

use mqtt::{Ack, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName, Version};
use session::Timestamp;

use super::{Relay, TO_LOCAL_QOS_0_MAX};
use crate::lane::Reply;
use crate::rule::Rule;
use crate::trail;
use crate::{End, Event};

impl Relay {
    /// A message of upstream.
    pub(super) fn bring(&mut self, now: Timestamp, publish: &Publish<'_>) -> Result<(), End> {
        let Some(topic) = publish.topic else {
            return Err(End::Unexpected("a topic alias, of which there are none".to_owned()));
        };
        if self.takes_as_probe(now, publish) {
            return Ok(());
        }
        if let Some(id) = publish.packet_id {
            self.last_id = id.get();
            if self.letters.has(id) {
                return Err(End::Again(
                    "a dead letter has the identifier of a message of upstream",
                ));
            }
        }
        if self.has_passed(publish, Some(&self.settings.gateway), None) {
            self.counts.looped += 1;
            self.event(Event::Looped { topic: topic.as_str().to_owned() });
            return self.settle_there(now, publish, ReasonCode::Success);
        }
        let settings = Arc::clone(&self.settings);
        let Some(rule) = Rule::of(&settings.inward, topic) else {
            self.counts.unmatched += 1;
            self.event(Event::Unmatched { topic: topic.as_str().to_owned() });
            return self.settle_there(now, publish, ReasonCode::Success);
        };
        if publish.qos == QoS::AtMostOnce && self.locals.normal.output.len() >= TO_LOCAL_QOS_0_MAX {
            self.counts.dropped += 1;
            return Ok(());
        }
        if self.opens(now, publish, rule)? {
            return Ok(());
        }
        self.bring_by(now, publish, rule)
    }

    /// Publishes a message of upstream as a rule says.
    pub(super) fn bring_by(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        rule: &Rule,
    ) -> Result<(), End> {
        match self.write_in(now, publish, rule) {
            Ok(passed) => {
                self.counts.received += 1;
                let Some(id) = publish.packet_id else { return Ok(()) };
                match self.inward.pass(id, publish.qos, passed) {
                    Some(reply) => self.reply_inward(now, id, reply),
                    None => {
                        self.unanswered.insert(id);
                    }
                }
                Ok(())
            }
            Err((code, why)) => {
                self.refused_here(why);
                self.settle_there(now, publish, code)
            }
        }
    }

    /// Puts it into the output, under its name here; answers its QoS here. An error says why the local broker would not take it.
    pub(super) fn write_in(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        rule: &Rule,
    ) -> Result<QoS, (ReasonCode, String)> {
        let limits = self.settings.local;
        let nameless = |why: &str| (ReasonCode::TopicNameInvalid, why.to_owned());
        let other = |why: String| (ReasonCode::ImplementationSpecificError, why);
        rule.admits(publish.payload.len()).map_err(other)?;
        let mapped = publish.topic.and_then(|topic| rule.map(topic, &self.settings.gateway));
        let mapped = mapped.ok_or_else(|| nameless("nothing is left of its topic"))?;
        let mapped = TopicName::new(&mapped).map_err(|error| nameless(&error.to_string()))?;
        if mapped.as_str().len() > limits.max_topic_bytes
            || mapped.level_count() > limits.max_topic_levels
        {
            return Err(nameless(
                "its topic is longer than sessions.max-topic-bytes or -levels here",
            ));
        }
        let marked = match &self.peer {
            Some(peer) => trail::passed_by(publish.properties, peer),
            None => trail::copied(publish.properties, |_| false),
        };
        let marked = marked.map_err(|error| other(error.to_string()))?;
        if marked.as_ref().user().count() > limits.max_user_properties {
            return Err(other(
                "it has more user properties than sessions.max-user-properties".to_owned(),
            ));
        }
        let qos = publish.qos.min(self.locals.normal.max_qos).min(rule.qos);
        let confirmed = qos != QoS::AtMostOnce;
        let here = Publish {
            dup: publish.dup && confirmed,
            qos,
            retain: publish.retain && rule.retain && self.locals.normal.retains,
            topic: Some(mapped),
            packet_id: publish.packet_id.filter(|_| confirmed),
            message_expiry: rule.expires(publish.message_expiry),
            properties: marked.as_ref(),
            subscription_ids: mqtt::SubscriptionIds::default(),
            ..*publish
        };
        let bytes = here.encoded_len(Version::V5).map_err(|error| other(error.to_string()))?;
        if bytes > self.locals.normal.max_packet {
            let most = self.locals.normal.max_packet;
            return Err(other(format!("it has {bytes} bytes, and {most} are accepted here")));
        }
        self.free(now, &here);
        self.locals
            .normal
            .send(now, &Packet::Publish(here))
            .map_err(|error| other(error.to_string()))?;
        Ok(qos)
    }

    /// What comes for the first time has an identifier that upstream has no exchange for. The local broker may have one: upstream
    /// forgot its session, and left it open. It would take the new message for the old one.
    fn free(&mut self, now: Timestamp, publish: &Publish<'_>) {
        let Some(id) =
            publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce && !publish.dup)
        else {
            return;
        };
        self.freed.insert(id);
        self.locals.normal.acknowledge(now, id, PacketKind::PubRel, ReasonCode::Success);
    }

    /// PUBACK or PUBREC of the local broker.
    pub(super) fn local_has(
        &mut self,
        now: Timestamp,
        kind: PacketKind,
        ack: &Ack<'_>,
    ) -> Result<(), End> {
        let id = ack.packet_id;
        if kind == PacketKind::PubAck && self.letters.has(id) {
            self.letter_taken_over(now, id, ack.code);
            return Ok(());
        }
        if kind == PacketKind::PubAck && self.local_has_unpacked(id, ack.code) {
            return Ok(());
        }
        if ack.code.is_error() {
            let why = format!("the broker answered 0x{:02X} ({})", ack.code.as_u8(), ack.code);
            self.refused_here(why);
        }
        let code = if ack.code.is_error() { ack.code } else { ReasonCode::Success };
        let reply = match kind {
            PacketKind::PubAck => self.inward.puback(id, code),
            _ => self.inward.pubrec(id, code),
        };
        let ends = kind == PacketKind::PubAck || code.is_error();
        if ends {
            self.unanswered.remove(&id);
        }
        self.answer_upstream(now, id, reply);
        Ok(())
    }

    /// PUBCOMP of the local broker.
    pub(super) fn local_is_done(&mut self, now: Timestamp, id: PacketId) {
        // It answers in the order in which it was asked.
        if self.freed.remove(&id) {
            return;
        }
        self.unanswered.remove(&id);
        self.upstream.acknowledge(now, id, PacketKind::PubComp, ReasonCode::Success);
    }

    pub(super) fn refused_here(&mut self, why: String) {
        self.counts.refused_here += 1;
        self.event(Event::RefusedHere { why });
    }

    /// Acknowledges a message of upstream that goes nowhere.
    pub(super) fn settle_there(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        code: ReasonCode,
    ) -> Result<(), End> {
        let Some(id) = publish.packet_id else { return Ok(()) };
        let code = self.audible(code);
        if let Some(reply) = self.inward.take(id, publish.qos, code) {
            self.reply_inward(now, id, reply);
        }
        Ok(())
    }

    /// Tells upstream what became of a message. 3.1.1 goes on after an error as if there were none, so its PUBREL is answered here.
    fn answer_upstream(&mut self, now: Timestamp, id: PacketId, reply: Reply) {
        let reply = match reply {
            Reply::Source(PacketKind::PubRec, code)
                if code.is_error() && self.audible(code) != code =>
            {
                self.inward.take(id, QoS::ExactlyOnce, ReasonCode::Success).unwrap_or(reply)
            }
            reply => reply,
        };
        self.reply_inward(now, id, reply);
    }

    /// The code as upstream can hear it. Success says no more than it would without a code.
    pub(super) fn audible(&self, code: ReasonCode) -> ReasonCode {
        let hears = self.upstream.version.is_v5() && self.settings.bounds.hears_refusals;
        if hears { code } else { ReasonCode::Success }
    }
}

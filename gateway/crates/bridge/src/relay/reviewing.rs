use std::sync::Arc;

use mqtt::{
    Decoded, Decoder, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicFilterBuf,
    Version,
};
use session::Timestamp;

use super::Relay;
use crate::End;
use crate::passing::{Passing, Ruling};
use crate::review::Split;
use crate::trail::Trail;

/// What the local broker sends is shown to somebody, who may change it, before it goes upstream.
impl Relay {
    /// From now on messages of these topics are shown, by their names here.
    pub fn show(&mut self, filters: Arc<[TopicFilterBuf]>) {
        self.review.filters = filters;
    }

    /// The next message to be decided about, by [`handle_ruling`](Self::handle_ruling). Until then no other is sent upstream.
    pub fn poll_question(&mut self) -> Option<Passing> {
        self.review.take_question()
    }

    /// What is to become of the message that was shown last.
    ///
    /// # Errors
    /// The end of both conversations.
    pub fn handle_ruling(&mut self, now: Timestamp, ruling: Ruling) -> Result<(), End> {
        // What is decided too late is decided again over the next connection.
        if self.winds_up || !self.review.answered() {
            return Ok(());
        }
        if let Some(raw) = self.review.next()
            && let Some(publish) = reread(&raw)
        {
            self.rule(now, &publish, ruling, &raw)?;
        }
        self.go_on(now)?;
        self.take_turns(now)
    }

    /// A message of the local broker, which may have to wait for others.
    pub(super) fn take_in_turn(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        raw: &[u8],
    ) -> Result<(), End> {
        if self.review.holds() || self.asks_about(publish) {
            self.counts.dropped += u64::from(!self.review.hold(publish.qos, raw));
            return Ok(());
        }
        self.send_out(now, publish, raw)
    }

    /// Sends what has waited, as far as nobody has to be asked.
    fn go_on(&mut self, now: Timestamp) -> Result<(), End> {
        while !self.winds_up
            && !self.review.is_busy()
            && let Some(raw) = self.review.next()
        {
            let Some(publish) = reread(&raw) else { continue };
            if self.asks_about(&publish) {
                self.review.put_back(raw);
                return Ok(());
            }
            self.send_out(now, &publish, &raw)?;
        }
        Ok(())
    }

    /// Whether somebody wants to see this message, who then is asked. What goes nowhere is shown to nobody.
    fn asks_about(&mut self, publish: &Publish<'_>) -> bool {
        let wants = publish.topic.is_some_and(|topic| self.review.wants(topic));
        if !wants || self.has_passed(publish, Some(&self.settings.gateway), self.peer.as_deref()) {
            return false;
        }
        let question = Passing::of(publish);
        question.map(|question| self.review.ask(question)).is_some()
    }

    fn rule(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        ruling: Ruling,
        raw: &[u8],
    ) -> Result<(), End> {
        match ruling {
            Ruling::Pass => self.send_as(now, publish, publish, raw),
            Ruling::Refuse(why) => self.refuse(now, publish, &why),
            Ruling::Replace(parts) if !parts.is_empty() => self.replace(now, publish, parts, raw),
            Ruling::Discard | Ruling::Replace(_) => {
                self.counts.discarded += 1;
                self.settle_here(now, publish, ReasonCode::Success);
                Ok(())
            }
        }
    }

    fn replace(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        parts: Vec<Passing>,
        raw: &[u8],
    ) -> Result<(), End> {
        match (publish.packet_id, parts.as_slice()) {
            (_, [one]) => {
                self.send_as(now, &one.instead_of(publish, QoS::ExactlyOnce), publish, raw)
            }
            (None, parts) => parts.iter().try_for_each(|part| {
                self.send_as(now, &part.instead_of(publish, QoS::AtMostOnce), publish, raw)
            }),
            (Some(id), _) => {
                self.review.split = Some(Split { id, raw: raw.into(), rest: parts.into() });
                self.send_next_part(now)
            }
        }
    }

    /// Sends the next part of a message that is in several, when upstream has the one before.
    fn send_next_part(&mut self, now: Timestamp) -> Result<(), End> {
        while let Some(mut split) = self.review.split.take() {
            let Some(publish) = reread(&split.raw) else { return Ok(()) };
            let Some(part) = split.rest.pop_front() else {
                self.counts.confirmed += 1;
                self.settle_here(now, &publish, ReasonCode::Success);
                return Ok(());
            };
            let original = Publish { dup: false, ..publish };
            let part = part.instead_of(&original, QoS::AtLeastOnce);
            let trail = Trail::of(publish.properties);
            self.review.sends_part = true;
            let written = self.write_out(now, &part, trail);
            self.review.sends_part = false;
            match written {
                Err(why) => return self.refuse(now, &publish, &why),
                Ok(passed) => {
                    self.counts.sent += 1;
                    self.review.split = Some(split);
                    if passed > QoS::AtMostOnce {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// PUBACK or PUBREC of upstream; `None` if it is not about a part of a message.
    pub(super) fn upstream_has_part(
        &mut self,
        now: Timestamp,
        kind: PacketKind,
        id: PacketId,
        refused: Option<&str>,
    ) -> Option<Result<(), End>> {
        let split = self.review.split.take_if(|split| split.id == id)?;
        Some(match (refused, reread(&split.raw)) {
            (Some(why), Some(publish)) => {
                self.refuse(now, &publish, why).and_then(|()| self.go_on(now))
            }
            _ if kind == PacketKind::PubAck => {
                self.review.split = Some(split);
                self.send_next_part(now).and_then(|()| self.go_on(now))
            }
            _ => Err(End::Unexpected("a PUBREC for a message of QoS 1".to_owned())),
        })
    }
}

/// A message of the local broker that was kept as it came.
pub(super) fn reread(raw: &[u8]) -> Option<Publish<'_>> {
    let mut decoder = Decoder::new(mqtt::limits::VARINT_MAX);
    decoder.set_version(Version::V5);
    match decoder.decode(raw) {
        Ok(Decoded::Packet { packet: Packet::Publish(publish), .. }) => Some(publish),
        _ => None,
    }
}

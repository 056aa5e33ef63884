use std::collections::BTreeSet;

use mqtt::{MessagePropertiesBuf, PacketId, Publish, QoS, ReasonCode};
use session::Timestamp;

use super::{FROM_UPSTREAM_MAX, Relay, TO_LOCAL_QOS_0_MAX};
use crate::envelope::{
    self, BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, ENCODING_PROPERTY, EnvelopeFault,
};
use crate::rule::Rule;
use crate::trail::{self, Trail};
use crate::{End, Event};

/// A batch of upstream whose messages go to the local broker one by one. Nothing else of upstream is read meanwhile.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// The exchange in which it came.
    outer: Option<(PacketId, QoS)>,
    bytes: Vec<u8>,
    /// The trail of what has none of its own.
    trail: Option<String>,
    /// What of them has been sent on.
    at: usize,
    /// What the local broker has not acknowledged.
    waiting: BTreeSet<PacketId>,
    /// The first error of it.
    code: ReasonCode,
}

impl Relay {
    /// A message of upstream that is a batch, or whose payload was made smaller; false if it is neither.
    pub(super) fn opens(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        rule: &Rule,
    ) -> Result<bool, End> {
        let is_batch =
            rule.packing.unbatch && publish.properties.content_type() == Some(BATCH_CONTENT_TYPE);
        let squeezed = envelope::marked(publish.properties);
        if !self.upstream.version.is_v5() || !is_batch && squeezed.is_none() {
            return Ok(false);
        }
        let most = match is_batch {
            true => BATCH_BYTES_MAX,
            false => self.locals.normal.max_packet.min(FROM_UPSTREAM_MAX as usize),
        };
        let payload = match squeezed {
            Some(_) => envelope::expand(publish.payload, most),
            None if publish.payload.len() > most => Err(EnvelopeFault::TooLarge(most)),
            None => Ok(publish.payload.to_vec()),
        };
        let opened = payload.and_then(|payload| match is_batch {
            true => envelope::unpack(&payload).map(|_| ()).map(|()| payload),
            false => Ok(payload),
        });
        match opened {
            Ok(bytes) if is_batch => self.unpack(now, publish, bytes)?,
            Ok(payload) => {
                self.bring_expanded(now, publish, &payload, squeezed == Some(true), rule)?
            }
            Err(fault) => {
                self.refused_here(fault.to_string());
                self.settle_there(now, publish, ReasonCode::PayloadFormatInvalid)?;
            }
        }
        Ok(true)
    }

    /// Publishes what a message was before it was made smaller.
    fn bring_expanded(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        payload: &[u8],
        is_text: bool,
        rule: &Rule,
    ) -> Result<(), End> {
        let properties = trail::copied(publish.properties, |name| name == ENCODING_PROPERTY)
            .map_err(|error| End::Unexpected(error.to_string()))?;
        let properties = if is_text { properties.payload_format_utf8(true) } else { properties };
        let expanded = Publish { payload, properties: properties.as_ref(), ..*publish };
        self.bring_by(now, &expanded, rule)
    }

    fn unpack(&mut self, now: Timestamp, publish: &Publish<'_>, bytes: Vec<u8>) -> Result<(), End> {
        self.counts.unpacked += 1;
        self.unpacking = Some(Unpacking {
            outer: publish.packet_id.map(|id| (id, publish.qos)),
            bytes,
            trail: Trail::of(publish.properties).text().map(str::to_owned),
            at: 0,
            waiting: BTreeSet::new(),
            code: ReasonCode::Success,
        });
        self.unpack_on(now)
    }

    /// Sends on as much of a batch as the local broker has room for, and acknowledges the batch when that has it all.
    pub(super) fn unpack_on(&mut self, now: Timestamp) -> Result<(), End> {
        let settings = std::sync::Arc::clone(&self.settings);
        while let Some(mut batch) = self.unpacking.take() {
            let rest = batch.bytes.get(batch.at..).unwrap_or_default();
            if rest.is_empty() || batch.waiting.len() >= self.room_for_unpacked() {
                let is_done = rest.is_empty() && batch.waiting.is_empty();
                if is_done {
                    self.acknowledge_batch(now, &batch);
                } else {
                    self.unpacking = Some(batch);
                }
                return Ok(());
            }
            // It was whole when it came.
            let Ok((message, len)) = envelope::first(rest) else { continue };
            let number = match message.qos {
                QoS::AtMostOnce => None,
                _ => Some(
                    self.free_id(&batch.waiting)
                        .ok_or(End::Again("there is no identifier for a message of a batch"))?,
                ),
            };
            let own = Trail::of(message.properties).text();
            let lent = batch.trail.as_deref().filter(|_| own.is_none());
            let lent = lent.and_then(|trail| trail::borrowed(message.properties, trail).ok());
            let properties = lent.as_ref().map_or(message.properties, MessagePropertiesBuf::as_ref);
            let message = Publish { dup: false, packet_id: number, properties, ..message };
            match self.bring_one(now, &message, &settings.inward) {
                Some(Ok(passed)) if passed > QoS::AtMostOnce => batch.waiting.extend(number),
                Some(Err(code)) => batch.blame(self.audible(code)),
                Some(Ok(_)) | None => {}
            }
            batch.at += len;
            self.unpacking = Some(batch);
        }
        Ok(())
    }

    /// Publishes one message of a batch here, as if it had come by itself; answers with which QoS, or why it could not be. `None`
    /// if it goes nowhere.
    fn bring_one(
        &mut self,
        now: Timestamp,
        message: &Publish<'_>,
        rules: &[Rule],
    ) -> Option<Result<QoS, ReasonCode>> {
        let topic = message.topic?;
        if self.has_passed(message, Some(&self.settings.gateway), None) {
            self.counts.looped += 1;
            self.event(Event::Looped { topic: topic.as_str().to_owned() });
            return None;
        }
        let Some(rule) =
            rules.iter().find(|rule| !rule.packing.unbatch && rule.filter().matches(topic))
        else {
            self.counts.unmatched += 1;
            self.event(Event::Unmatched { topic: topic.as_str().to_owned() });
            return None;
        };
        if message.qos == QoS::AtMostOnce && self.locals.normal.output.len() >= TO_LOCAL_QOS_0_MAX {
            self.counts.dropped += 1;
            return None;
        }
        match self.write_in(now, message, rule) {
            Ok(passed) => {
                self.counts.received += 1;
                Some(Ok(passed))
            }
            Err((code, why)) => {
                self.refused_here(why);
                Some(Err(code))
            }
        }
    }

    /// PUBACK of the local broker; false if it is not about a message of a batch.
    pub(super) fn local_has_unpacked(&mut self, id: PacketId, code: ReasonCode) -> bool {
        let heard = self.audible(code);
        let Some(batch) = &mut self.unpacking else { return false };
        if !batch.waiting.remove(&id) {
            return false;
        }
        if code.is_error() {
            batch.blame(heard);
            self.refused_here(format!("the broker answered 0x{:02X} ({code})", code.as_u8()));
        }
        true
    }

    fn acknowledge_batch(&mut self, now: Timestamp, batch: &Unpacking) {
        let Some((id, qos)) = batch.outer else { return };
        if let Some(reply) = self.inward.take(id, qos, batch.code) {
            self.reply_inward(now, id, reply);
        }
    }

    /// Messages of a batch that may be unacknowledged, beside all else that is.
    fn room_for_unpacked(&self) -> usize {
        let most = usize::from(self.settings.local.receive_maximum);
        most.saturating_sub(self.unanswered.len() + self.letters.len())
    }

    /// An identifier that nobody uses, far from those that upstream uses.
    fn free_id(&self, waiting: &BTreeSet<PacketId>) -> Option<PacketId> {
        const FAR: u16 = 1 << 15;
        let ids = (0..u16::MAX).map(|step| self.last_id.wrapping_add(FAR).wrapping_add(step));
        ids.filter_map(PacketId::new).find(|id| {
            !waiting.contains(id) && !self.unanswered.contains(id) && !self.letters.has(*id)
        })
    }
}

impl Unpacking {
    /// Whether this identifier is that of one of its messages.
    pub(super) fn uses(&self, id: PacketId) -> bool {
        self.waiting.contains(&id)
    }

    /// What upstream hears is the first error.
    fn blame(&mut self, code: ReasonCode) {
        if !self.code.is_error() {
            self.code = code;
        }
    }
}

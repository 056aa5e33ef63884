use mqtt::{
    EncodeError, MessageProperties, MessagePropertiesBuf, Publish, QoS, TopicNameBuf, Version,
};
use session::Timestamp;

use super::Relay;
use crate::End;
use crate::envelope::{self, BATCH_CONTENT_TYPE, ENCODING_PROPERTY};
use crate::packing::Packing;
use crate::trail::{self, TRAIL_PROPERTY, Trail};

/// Bytes of a batch's packet besides its topic and its messages.
const AROUND_BATCH: usize = 256;

/// What goes upstream is made smaller, and several messages one.
impl Relay {
    /// Sends a message as its rule says: at once, or with others.
    pub(super) fn pack(
        &mut self,
        now: Timestamp,
        there: Publish<'_>,
        packing: &Packing,
    ) -> Result<(), EncodeError> {
        if !self.upstream.version.is_v5() {
            return self.put(now, there);
        }
        if let Some(batch) = &packing.batch {
            let bare = without_own_trail(there.properties, &self.settings.gateway)?;
            let properties = bare.as_ref().map_or(there.properties, MessagePropertiesBuf::as_ref);
            let entry = Publish { properties, ..there };
            let bytes = entry.encoded_len(Version::V5)?;
            let around = AROUND_BATCH + batch.topic.as_str().len();
            let most = self.upstream.max_packet.saturating_sub(around);
            let most = batch.max_bytes.min(most).min(self.settings.bounds.payload);
            let goes_along =
                there.qos < QoS::ExactlyOnce && bytes <= most && !self.review.sends_part;
            if !goes_along || self.batches.bytes(&batch.topic) + bytes > most {
                // What is behind it must not overtake it.
                self.send_batch(now, &batch.topic)?;
            }
            if goes_along {
                let due = now.after(batch.max_delay);
                let window = usize::from(self.batches.window);
                let open = self.batches.open(&batch.topic, due, packing.compress_from);
                envelope::append(&entry, &mut open.bytes)?;
                open.messages += 1;
                open.ids.extend(there.packet_id);
                let is_full = open.messages >= batch.max_messages || due <= now;
                // The local broker may be waiting for what waits here.
                let waits = open.ids.len() * 2 >= window;
                return match is_full || waits {
                    true => self.send_batch(now, &batch.topic),
                    false => Ok(()),
                };
            }
        }
        self.send_squeezed(now, there, packing.compress_from)
    }

    /// Sends the batches that have waited for long enough.
    pub(super) fn send_due_batches(&mut self, now: Timestamp) -> Result<(), End> {
        while let Some(topic) = self.batches.due_at(now) {
            self.send_batch(now, &topic).map_err(|error| End::Again(words(error)))?;
        }
        Ok(())
    }

    /// Sends all batches as they are.
    pub(super) fn send_all_batches(&mut self, now: Timestamp) -> Result<(), End> {
        while let Some(topic) = self.batches.first() {
            self.send_batch(now, &topic).map_err(|error| End::Again(words(error)))?;
        }
        Ok(())
    }

    /// Sends what waits for this topic, under the identifier of the first message in it.
    fn send_batch(&mut self, now: Timestamp, topic: &TopicNameBuf) -> Result<(), EncodeError> {
        let Some(open) = self.batches.close(topic) else { return Ok(()) };
        let id = open.ids.first().copied();
        let gateway = &self.settings.gateway;
        let properties = trail::passed_by(MessageProperties::default(), gateway)?
            .content_type(BATCH_CONTENT_TYPE)?;
        let publish = Publish {
            qos: if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
            packet_id: id,
            properties: properties.as_ref(),
            ..Publish::new(topic.as_topic(), &open.bytes)
        };
        self.send_squeezed(now, publish, open.compress_from)?;
        self.counts.batches += 1;
        if let Some(id) = id {
            self.batches.sent(id, open.ids);
        }
        Ok(())
    }

    /// Sends a message with its payload made smaller, if it becomes that.
    fn send_squeezed(
        &mut self,
        now: Timestamp,
        publish: Publish<'_>,
        from: Option<usize>,
    ) -> Result<(), EncodeError> {
        let wanted = from.is_some_and(|from| publish.payload.len() >= from)
            && envelope::marked(publish.properties).is_none();
        let Some(squeezed) = wanted.then(|| envelope::squeeze(publish.payload)).flatten() else {
            let publish = self.aliases.apply(publish);
            return self.put(now, publish);
        };
        self.counts.bytes_saved += (publish.payload.len() - squeezed.len()) as u64;
        let is_text = publish.properties.payload_format_utf8();
        let properties = without_text_mark(publish.properties)?
            .user(ENCODING_PROPERTY, envelope::mark(is_text))?;
        let smaller = Publish { payload: &squeezed, properties: properties.as_ref(), ..publish };
        let smaller = self.aliases.apply(smaller);
        self.put(now, smaller)
    }
}

/// The properties of a message without a trail that is that of its batch too; `None` where it has another.
fn without_own_trail(
    properties: MessageProperties<'_>,
    gateway: &str,
) -> Result<Option<MessagePropertiesBuf>, EncodeError> {
    let is_own = Trail::of(properties).is_only(gateway);
    let bare = is_own.then(|| trail::copied(properties, |name| name == TRAIL_PROPERTY));
    bare.transpose()
}

/// The properties of what is no text any more.
fn without_text_mark(
    properties: MessageProperties<'_>,
) -> Result<MessagePropertiesBuf, EncodeError> {
    trail::copied(properties, |_| false).map(|copy| copy.payload_format_utf8(false))
}

/// What was small enough alone and is too large together comes again; that cannot be where limits are as they are checked.
fn words(_: EncodeError) -> &'static str {
    "a batch could not be written; its messages come again"
}

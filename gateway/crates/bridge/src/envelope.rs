//! What makes several messages one, and messages smaller. `gateway/BRIDGE.md` says what others read.

use mqtt::{
    DecodeError, Decoded, Decoder, EncodeError, MessageProperties, Packet, PacketId, Publish, QoS,
    Version,
};

/// The content type of a batch: PUBLISH packets of MQTT 5.0, one behind the other, at QoS 0, or at QoS 1 with a packet
/// identifier that means nothing.
pub const BATCH_CONTENT_TYPE: &str = "application/vnd.portcullis.batch";

/// The user property that says how a payload was made smaller.
pub const ENCODING_PROPERTY: &str = "portcullis-encoding";

/// Its values: the zlib format (RFC 1950), as `deflate` is in HTTP; and the same of what was marked as UTF-8 text.
const DEFLATE: &str = "deflate";
const DEFLATE_TEXT: &str = "deflate; utf-8";

/// Messages in a batch, at most.
pub const BATCH_MESSAGES_MAX: usize = 1000;

/// Bytes of a batch before it is compressed, at most.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Why an envelope is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvelopeFault {
    /// Its payload is not compressed as it says.
    Encoding,
    /// Its payload becomes larger than this, in bytes.
    TooLarge(usize),
    /// A batch holds something that is no packet.
    Packet(DecodeError),
    /// A batch holds something else than a PUBLISH of QoS 0 or 1 with a topic and without an alias.
    NotAMessage,
    /// A batch is not whole.
    Torn,
    /// A batch holds more messages than [`BATCH_MESSAGES_MAX`], or none.
    Number,
}

/// Appends a message to a batch.
pub(crate) fn append(publish: &Publish<'_>, batch: &mut Vec<u8>) -> Result<(), EncodeError> {
    let packet_id = (publish.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    Publish { dup: false, packet_id, ..*publish }.encode(Version::V5, batch)
}

/// The messages of a batch, each in its packet.
///
/// # Errors
/// If it is not one as a whole.
pub fn unpack(batch: &[u8]) -> Result<Vec<&[u8]>, EnvelopeFault> {
    let mut rest = batch;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (_, len) = first(rest)?;
        let (message, behind) = rest.split_at_checked(len).ok_or(EnvelopeFault::Torn)?;
        if messages.len() == BATCH_MESSAGES_MAX {
            return Err(EnvelopeFault::Number);
        }
        messages.push(message);
        rest = behind;
    }
    if messages.is_empty() { Err(EnvelopeFault::Number) } else { Ok(messages) }
}

/// The message that a batch begins with, and the bytes of its packet.
pub(crate) fn first(batch: &[u8]) -> Result<(Publish<'_>, usize), EnvelopeFault> {
    let mut decoder = Decoder::new(mqtt::limits::VARINT_MAX);
    decoder.set_version(Version::V5);
    match decoder.decode(batch).map_err(EnvelopeFault::Packet)? {
        Decoded::Packet { packet: Packet::Publish(publish), len }
            if publish.qos < QoS::ExactlyOnce
                && publish.topic.is_some()
                && publish.topic_alias.is_none() =>
        {
            Ok((publish, len))
        }
        Decoded::Packet { .. } => Err(EnvelopeFault::NotAMessage),
        Decoded::Incomplete { .. } => Err(EnvelopeFault::Torn),
    }
}

/// A payload made smaller; `None` if it does not become smaller by more than saying so costs.
pub(crate) fn squeeze(payload: &[u8]) -> Option<Vec<u8>> {
    const LEVEL: u8 = 6;
    let squeezed = miniz_oxide::deflate::compress_to_vec_zlib(payload, LEVEL);
    let mark = ENCODING_PROPERTY.len() + DEFLATE_TEXT.len() + 5;
    (squeezed.len() + mark < payload.len()).then_some(squeezed)
}

/// What the property says of a payload that was squeezed.
pub(crate) fn mark(is_text: bool) -> &'static str {
    if is_text { DEFLATE_TEXT } else { DEFLATE }
}

/// Whether a message says that its payload was made smaller, and if so, whether that was text.
pub(crate) fn marked(properties: MessageProperties<'_>) -> Option<bool> {
    let user = properties.user();
    let (_, value) = user.iter().find(|(name, _)| *name == ENCODING_PROPERTY)?;
    match value {
        DEFLATE => Some(false),
        DEFLATE_TEXT => Some(true),
        _ => None,
    }
}

/// What a payload was before it was made smaller, if that had no more than so many bytes.
///
/// # Errors
/// If it is nothing that was, or was larger.
pub fn expand(payload: &[u8], most: usize) -> Result<Vec<u8>, EnvelopeFault> {
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
    decompress_to_vec_zlib_with_limit(payload, most).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => EnvelopeFault::TooLarge(most),
        _ => EnvelopeFault::Encoding,
    })
}

impl std::fmt::Display for EnvelopeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoding => f.write_str("its payload is not compressed as it says"),
            Self::TooLarge(most) => write!(f, "its payload becomes larger than {most} bytes"),
            Self::Packet(error) => write!(f, "its batch is broken: {error}"),
            Self::NotAMessage => {
                f.write_str("its batch holds something else than messages of QoS 0 and 1")
            }
            Self::Torn => f.write_str("its batch is not whole"),
            Self::Number => {
                write!(f, "its batch does not hold from 1 to {BATCH_MESSAGES_MAX} messages")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::TopicName;

    use super::*;

    fn publish<'p>(topic: &'p str, payload: &'p [u8], qos: QoS) -> Publish<'p> {
        let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
        Publish { qos, packet_id, ..Publish::new(TopicName::new(topic).unwrap(), payload) }
    }

    #[test]
    fn what_is_packed_is_unpacked_in_its_order() {
        let mut batch = Vec::new();
        for (topic, payload, qos) in [
            ("a", &b"1"[..], QoS::AtMostOnce),
            ("b/c", b"", QoS::AtLeastOnce),
            ("a", b"2", QoS::AtMostOnce),
        ] {
            append(&publish(topic, payload, qos), &mut batch).unwrap();
        }
        let messages = unpack(&batch).unwrap();
        let read: Vec<_> = messages
            .iter()
            .map(|raw| first(raw).unwrap().0)
            .map(|it| (it.topic.unwrap().as_str(), it.payload, it.qos))
            .collect();
        assert_eq!(
            read,
            [
                ("a", &b"1"[..], QoS::AtMostOnce),
                ("b/c", b"", QoS::AtLeastOnce),
                ("a", b"2", QoS::AtMostOnce)
            ]
        );
        assert_eq!(unpack(&batch[..batch.len() - 1]), Err(EnvelopeFault::Torn));
        assert_eq!(unpack(&[]), Err(EnvelopeFault::Number));
        assert_eq!(unpack(&[0xC0, 0]), Err(EnvelopeFault::NotAMessage));
        assert!(matches!(unpack(&[0x00, 0]), Err(EnvelopeFault::Packet(_))));
        let mut many = Vec::new();
        for _ in 0..=BATCH_MESSAGES_MAX {
            append(&publish("a", b"", QoS::AtMostOnce), &mut many).unwrap();
        }
        assert_eq!(unpack(&many), Err(EnvelopeFault::Number));
    }

    #[test]
    fn what_does_not_become_smaller_stays_and_what_becomes_too_large_is_refused() {
        assert_eq!(squeeze(b"short"), None);
        let text = b"{\"temperature\":21.5,\"unit\":\"C\"}".repeat(20);
        let squeezed = squeeze(&text).unwrap();
        assert!(squeezed.len() * 5 < text.len(), "{}", squeezed.len());
        assert_eq!(expand(&squeezed, text.len()), Ok(text.clone()));
        assert_eq!(expand(&squeezed, text.len() - 1), Err(EnvelopeFault::TooLarge(text.len() - 1)));
        assert_eq!(expand(b"not at all", 100), Err(EnvelopeFault::Encoding));
        assert_eq!(expand(&squeezed[..squeezed.len() - 1], 1000), Err(EnvelopeFault::Encoding));
        let bomb = squeeze(&vec![0; 4 << 20]).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(expand(&bomb, 1 << 20), Err(EnvelopeFault::TooLarge(1 << 20)));
    }
}

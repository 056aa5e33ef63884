//! What each kind of record says. Numbers are big-endian; a length precedes every
//! text but the last of a body.

use std::num::NonZeroU32;
use std::sync::Arc;

use broker::durable::{SessionRecord, Subscription, WillRecord};
use broker::{Message, Timestamp};
use mqtt::{
    QoS, RetainHandling, SubscribeOptions, TopicFilter, TopicFilterBuf, TopicName, Version,
};

use super::Damage;

pub(crate) fn encode_number(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

pub(crate) fn decode_number(body: &[u8]) -> Result<u64, Damage> {
    let mut body = Body(body);
    let value = body.u64()?;
    body.end()?;
    Ok(value)
}

pub(crate) fn encode_session(record: &SessionRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + record.client_id.len() + record.principal.len());
    out.push(record.version.level());
    out.push(u8::from(record.ended) | u8::from(record.will.is_some()) << 1);
    out.extend_from_slice(&record.expiry_seconds.to_be_bytes());
    push_moment(&mut out, record.disconnected_at);
    out.extend_from_slice(&record.sent_below.to_be_bytes());
    push_sized(&mut out, record.client_id.as_bytes());
    push_sized(&mut out, record.principal.as_bytes());
    if let Some(will) = &record.will {
        out.extend_from_slice(&will.delay_seconds.to_be_bytes());
        out.push(u8::from(will.expiry_seconds.is_some()));
        out.extend_from_slice(&will.expiry_seconds.unwrap_or(0).to_be_bytes());
        encode_message_into(&will.message, &mut out);
    }
    out
}

pub(crate) fn decode_session(body: &[u8]) -> Result<SessionRecord, Damage> {
    let mut body = Body(body);
    let version = Version::from_level(body.u8()?).ok_or(Damage::Invalid("protocol version"))?;
    let flags = body.u8()?;
    if flags >> 2 != 0 {
        return Err(Damage::Invalid("session flags"));
    }
    let expiry_seconds = body.u32()?;
    let disconnected_at = body.moment()?;
    let sent_below = body.u64()?;
    let client_id = Arc::from(text(body.sized()?)?);
    let principal = Arc::from(text(body.sized()?)?);
    let ended = flags & 1 != 0;
    let will = if flags & 2 == 0 {
        body.end()?;
        None
    } else {
        Some(Box::new(decode_will(body)?))
    };
    Ok(SessionRecord {
        client_id,
        principal,
        version,
        expiry_seconds,
        disconnected_at,
        sent_below,
        ended,
        will,
    })
}

fn decode_will(mut body: Body<'_>) -> Result<WillRecord, Damage> {
    let delay_seconds = body.u32()?;
    let expiry_seconds = match (body.u8()?, body.u32()?) {
        (0, 0) => None,
        (1, seconds) => Some(seconds),
        _ => return Err(Damage::Invalid("will expiry")),
    };
    Ok(WillRecord { message: decode_message(body.rest())?, delay_seconds, expiry_seconds })
}

pub(crate) fn encode_subscription(filter: &str, subscription: Subscription) -> Vec<u8> {
    let Subscription { options, id } = subscription;
    let handling = match options.retain_handling {
        RetainHandling::SendAtSubscribe => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    let flags = options.qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | handling << 4
        | u8::from(id.is_some()) << 6;
    let mut out = Vec::with_capacity(5 + filter.len());
    out.push(flags);
    if let Some(id) = id {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    out.extend_from_slice(filter.as_bytes());
    out
}

pub(crate) fn decode_subscription(body: &[u8]) -> Result<(TopicFilterBuf, Subscription), Damage> {
    let mut body = Body(body);
    let flags = body.u8()?;
    if flags >> 7 != 0 {
        return Err(Damage::Invalid("subscription flags"));
    }
    let options = SubscribeOptions {
        qos: qos(flags & 3)?,
        no_local: flags & 4 != 0,
        retain_as_published: flags & 8 != 0,
        retain_handling: match flags >> 4 & 3 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Damage::Invalid("retain handling")),
        },
    };
    let id = match flags & 64 {
        0 => None,
        _ => Some(NonZeroU32::new(body.u32()?).ok_or(Damage::Invalid("subscription identifier"))?),
    };
    let filter = TopicFilter::new(text(body.rest())?)
        .map_err(|_| Damage::Invalid("topic filter"))?
        .to_owned();
    Ok((filter, Subscription { options, id }))
}

pub(crate) fn encode_message(message: &Message) -> Vec<u8> {
    let len = 24 + message.topic.as_str().len() + message.properties.len() + message.payload.len();
    let mut out = Vec::with_capacity(len);
    encode_message_into(message, &mut out);
    out
}

/// Appends the message to what is there.
pub(crate) fn encode_message_into(message: &Message, out: &mut Vec<u8>) {
    out.push(message.qos as u8 | u8::from(message.retain) << 2);
    push_moment(out, message.expires);
    push_sized(out, message.topic.as_str().as_bytes());
    push_sized(out, &message.properties);
    out.extend_from_slice(&message.payload);
}

pub(crate) fn decode_message(body: &[u8]) -> Result<Message, Damage> {
    let mut body = Body(body);
    let flags = body.u8()?;
    if flags >> 3 != 0 {
        return Err(Damage::Invalid("message flags"));
    }
    let expires = body.moment()?;
    let topic =
        TopicName::new(text(body.sized()?)?).map_err(|_| Damage::Invalid("topic name"))?.to_owned();
    let properties = Box::from(body.sized()?);
    let payload = Box::from(body.rest());
    let (qos, retain) = (qos(flags & 3)?, flags & 4 != 0);
    Ok(Message { topic, payload, qos, retain, properties, expires })
}

/// Bodies as format 1 had them, where they differ.
pub(crate) mod old {
    use super::{Arc, Body, Damage, QoS, Version, qos, text};

    /// A session.
    pub(crate) struct Session {
        pub(crate) client_id: Arc<str>,
        pub(crate) principal: Arc<str>,
        pub(crate) version: Version,
        pub(crate) expiry_seconds: u32,
        pub(crate) disconnected_at: Option<broker::Timestamp>,
    }

    pub(crate) fn decode_session(body: &[u8]) -> Result<Session, Damage> {
        let mut body = Body(body);
        let version = Version::from_level(body.u8()?).ok_or(Damage::Invalid("protocol version"))?;
        let expiry_seconds = body.u32()?;
        let disconnected_at = body.moment()?;
        let client_id = Arc::from(text(body.sized()?)?);
        let principal = Arc::from(text(body.rest())?);
        Ok(Session { client_id, principal, version, expiry_seconds, disconnected_at })
    }

    /// A queue entry; it names its message by number.
    pub(crate) struct Delivery {
        pub(crate) message: u64,
        pub(crate) qos: QoS,
        pub(crate) retain: bool,
        pub(crate) released: bool,
        pub(crate) shared: bool,
        pub(crate) ids: Vec<u32>,
    }

    pub(crate) fn decode_delivery(body: &[u8]) -> Result<Delivery, Damage> {
        let mut body = Body(body);
        let flags = body.u8()?;
        if flags >> 5 != 0 {
            return Err(Damage::Invalid("delivery flags"));
        }
        let message = body.u64()?;
        let mut ids = Vec::new();
        while !body.0.is_empty() {
            ids.push(body.u32()?);
        }
        let qos = qos(flags & 3)?;
        if qos == QoS::AtMostOnce {
            return Err(Damage::Invalid("quality of service of a delivery"));
        }
        let (retain, released, shared) = (flags & 4 != 0, flags & 8 != 0, flags & 16 != 0);
        Ok(Delivery { message, qos, retain, released, shared, ids })
    }
}

fn qos(bits: u8) -> Result<QoS, Damage> {
    QoS::from_u8(bits).ok_or(Damage::Invalid("quality of service"))
}

fn text(bytes: &[u8]) -> Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|_| Damage::Invalid("UTF-8"))
}

fn push_moment(out: &mut Vec<u8>, moment: Option<Timestamp>) {
    match moment {
        None => out.push(0),
        Some(at) => {
            out.push(1);
            out.extend_from_slice(&at.as_unix_ms().to_be_bytes());
        }
    }
}

/// Lengths fit: MQTT bounds a packet at 256 MiB.
fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// What is left to read of a body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (&head, rest) = self.0.split_first_chunk::<N>().ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, Damage> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_be_bytes)
    }

    fn moment(&mut self) -> Result<Option<Timestamp>, Damage> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(Timestamp::from_unix_ms(self.u64()?))),
            _ => Err(Damage::Invalid("moment")),
        }
    }

    fn sized(&mut self) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(self.u32()?).map_err(|_| Damage::Truncated)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Invalid("length")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_subscription_option_comes_back() {
        for bits in 0..0x80_u8 {
            let id: &[u8] = if bits & 0x40 == 0 { &[] } else { &[0, 0, 1, 2] };
            let body = [&[bits][..], id, b"a/+/#"].concat();
            let Ok((filter, subscription)) = decode_subscription(&body) else {
                assert!(bits & 3 == 3 || bits >> 4 & 3 == 3, "{bits:#x} is a valid combination");
                continue;
            };
            assert_eq!(subscription.id.map(NonZeroU32::get), (bits & 0x40 != 0).then_some(0x102));
            assert_eq!(encode_subscription(filter.as_str(), subscription), body);
        }
    }

    #[test]
    fn an_old_queue_entry_of_qos_0_is_damage() {
        assert!(old::decode_delivery(&[0, 0, 0, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(old::decode_delivery(&[1, 0, 0, 0, 0, 0, 0, 0, 1]).is_ok());
        assert!(old::decode_delivery(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0]).is_err());
    }

    proptest! {
        /// Whatever decodes is exactly what its encoding says.
        #[test]
        fn arbitrary_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = decode_number(&body) {
                prop_assert_eq!(encode_number(value), body.clone());
            }
            if let Ok(value) = decode_session(&body) {
                prop_assert_eq!(encode_session(&value), body.clone());
            }
            if let Ok((filter, subscription)) = decode_subscription(&body) {
                prop_assert_eq!(encode_subscription(filter.as_str(), subscription), body.clone());
            }
            if let Ok(value) = decode_message(&body) {
                prop_assert_eq!(encode_message(&value), body.clone());
            }
            let _ = old::decode_session(&body);
            let _ = old::decode_delivery(&body);
        }

        #[test]
        fn messages_come_back(
            topic in "[a-z/]{1,40}", payload: Vec<u8>, properties: Vec<u8>, retain: bool,
            qos in 0..3_u8, expires: Option<u64>,
        ) {
            let message = Message {
                topic: TopicName::new(&topic).unwrap().to_owned(),
                payload: payload.into(),
                qos: QoS::from_u8(qos).unwrap(),
                retain,
                properties: properties.into(),
                expires: expires.map(Timestamp::from_unix_ms),
            };
            prop_assert_eq!(decode_message(&encode_message(&message)).unwrap(), message);
        }

        #[test]
        fn sessions_come_back(
            client_id: String, principal: String, level in 3..=5_u8, expiry_seconds: u32, at: Option<u64>,
            sent_below: u64, ended: bool, will: Option<(Vec<u8>, u32, Option<u32>)>,
        ) {
            let will = will.map(|(payload, delay_seconds, expiry_seconds)| {
                let message = Message {
                    topic: TopicName::new("will").unwrap().to_owned(),
                    payload: payload.into(),
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    properties: Box::default(),
                    expires: None,
                };
                Box::new(WillRecord { message, delay_seconds, expiry_seconds })
            });
            let record = SessionRecord {
                client_id: client_id.into(),
                principal: principal.into(),
                version: Version::from_level(level).unwrap(),
                expiry_seconds,
                disconnected_at: at.map(Timestamp::from_unix_ms),
                sent_below,
                ended,
                will,
            };
            prop_assert_eq!(decode_session(&encode_session(&record)).unwrap(), record);
        }
    }
}

//! Interceptors of every kind. What they make of a message depends on the message alone: one that is sent again is changed again.

use mqtt::{ReasonCode, TopicFilter, TopicName};
use portcullis_broker::{Delivery, Draft, Interception, Interests, Reviewed};

pub(crate) fn interests() -> Interests {
    let filters = |names: &[&str]| {
        names.iter().map(|name| TopicFilter::new(name).expect("a filter").to_owned()).collect()
    };
    Interests { publish: filters(&["t/#", "u"]), delivery: filters(&["+/a", "other/+", "u"]) }
}

pub(crate) fn made_of(draft: &Draft) -> Interception {
    match kind(&draft.payload) % 8 {
        0 => Interception::Discard,
        1 => Interception::Refuse {
            code: ReasonCode::PayloadFormatInvalid,
            why: "the guest said so".to_owned(),
        },
        2 => Interception::Replace(vec![moved(draft, "u"), draft.clone()]),
        3 => Interception::Replace(vec![moved(draft, "$SYS/x")]),
        4 => {
            let retain = !draft.retain;
            Interception::Replace(vec![Draft { retain, ..moved(draft, "t/b") }])
        }
        _ => Interception::Pass,
    }
}

pub(crate) fn made_of_delivery(delivery: &Delivery) -> Reviewed {
    let message = &delivery.message;
    match kind(&message.payload) % 6 {
        0 => Reviewed::Discard,
        1 => Reviewed::Failed,
        2 => Reviewed::Replace(Draft {
            topic: TopicName::new("elsewhere").expect("a topic").to_owned(),
            payload: [&message.payload[..], b"!"].concat().into(),
            qos: delivery.qos,
            retain: delivery.retain,
            properties: message.properties.clone(),
            expiry_seconds: delivery.expiry_seconds,
        }),
        _ => Reviewed::Pass,
    }
}

fn moved(draft: &Draft, topic: &str) -> Draft {
    let topic = TopicName::new(topic).expect("a topic").to_owned();
    Draft { topic, ..draft.clone() }
}

/// A number that the payload stands for.
fn kind(payload: &[u8]) -> usize {
    payload.iter().fold(payload.len(), |sum, byte| sum.wrapping_mul(31) + usize::from(*byte))
}

//! What must hold for whatever an upstream sends as an envelope. The fuzz target and the replay of the committed corpus call the
//! same function; an input for which it returns has found nothing.

use portcullis_bridge::{BATCH_MESSAGES_MAX, EnvelopeFault, expand, unpack};

/// Every name that [`envelope`] can answer with.
pub(crate) const OF_ENVELOPES: &[&str] = &[
    "messages",
    "messages, expanded",
    "encoding",
    "too large",
    "packet",
    "not a message",
    "torn",
    "number",
];

/// Bytes that a payload may become.
const MOST: usize = 64 << 10;

/// The first byte says whether the rest is compressed.
pub(crate) fn envelope(input: &[u8]) -> &'static str {
    let Some((form, bytes)) = input.split_first() else { return "number" };
    let is_squeezed = form % 2 == 1;
    let payload = match is_squeezed {
        true => match expand(bytes, MOST) {
            Ok(payload) => payload,
            Err(fault) => return name(&fault),
        },
        false => bytes.to_vec(),
    };
    assert!(payload.len() <= MOST.max(bytes.len()), "it is larger than was allowed");
    match unpack(&payload) {
        Ok(messages) => {
            assert!((1..=BATCH_MESSAGES_MAX).contains(&messages.len()));
            assert_eq!(messages.concat(), payload, "nothing is between messages");
            for message in messages {
                assert_eq!(unpack(message), Ok(vec![message]), "each stands for itself");
            }
            if is_squeezed { "messages, expanded" } else { "messages" }
        }
        Err(fault) => name(&fault),
    }
}

fn name(fault: &EnvelopeFault) -> &'static str {
    assert!(fault.to_string().len() < 300);
    match fault {
        EnvelopeFault::Encoding => "encoding",
        EnvelopeFault::TooLarge(_) => "too large",
        EnvelopeFault::Packet(_) => "packet",
        EnvelopeFault::NotAMessage => "not a message",
        EnvelopeFault::Torn => "torn",
        EnvelopeFault::Number => "number",
    }
}

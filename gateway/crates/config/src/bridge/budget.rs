use crate::section::Section;
use crate::sessions::{QUEUED_BYTES, QUEUED_MESSAGES};
use crate::topics::{OVERFLOWS, Overflow};

/// What may wait for upstream, where that is stated: of a rule, or in each session of a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Messages.
    pub max_messages: Option<u32>,
    /// Their bytes.
    pub max_bytes: Option<u64>,
    /// What happens to a message for which there is no room.
    pub overflow: Option<Overflow>,
}

/// What a fault about such a limit shows; there is no default.
const EXAMPLE_MESSAGES: u32 = 100_000;
const EXAMPLE_BYTES: u64 = 64 << 20;

pub(super) fn read(section: &Section<'_>) -> Budget {
    let [messages, bytes, overflow] = ["max-messages", "max-bytes", "overflow"];
    let max_messages = section.number(messages, EXAMPLE_MESSAGES, QUEUED_MESSAGES);
    let max_bytes = section.size(bytes, EXAMPLE_BYTES, QUEUED_BYTES);
    let word = section.text(overflow);
    Budget {
        max_messages: section.has(messages).then_some(max_messages),
        max_bytes: section.has(bytes).then_some(max_bytes),
        overflow: word.and_then(|word| section.chosen(overflow, &word, &OVERFLOWS)),
    }
}

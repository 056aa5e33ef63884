use std::num::NonZeroU32;

use bridge::Pace;

use crate::section::Section;

/// `limits` of a bridge: how fast messages go upstream.
pub(super) fn read(bridge: &Section<'_>) -> Pace {
    let section = bridge.part("limits");
    let messages = |key| {
        let rate = section.number(key, 1000, 1..=10_000_000);
        NonZeroU32::new(rate).filter(|_| section.has(key))
    };
    let bytes = |key| {
        let rate = u32::try_from(section.size(key, 1 << 20, 16..=1 << 30)).unwrap_or(u32::MAX);
        NonZeroU32::new(rate).filter(|_| section.has(key))
    };
    let pace = Pace {
        messages: messages("messages-per-second"),
        bytes: bytes("bytes-per-second"),
        drain: messages("drain-rate"),
    };
    section.finish();
    pace
}

use std::num::NonZeroU32;

use bridge::Pace;

use super::profile::Profile;
use crate::section::Section;

/// `limits` of a bridge: how fast messages go upstream.
pub(super) fn read(bridge: &Section<'_>, profile: &Profile) -> Pace {
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
        messages: messages("messages-per-second").or(profile.messages_per_second),
        bytes: bytes("bytes-per-second").or(profile.bytes_per_second),
        drain: messages("drain-rate"),
    };
    for (key, has, most) in [
        ("messages-per-second", pace.messages, profile.messages_per_second),
        ("bytes-per-second", pace.bytes, profile.bytes_per_second),
    ] {
        if let (Some(has), Some(most), Some(line)) = (has, most, section.line_of(key))
            && has > most
        {
            let (service, source) = (profile.service, profile.source());
            let message = format!(
                "is {has}, and {service} takes {most} in a second; lower it, or leave it out {source}"
            );
            section.fault(line, key, &message);
        }
    }
    section.finish();
    pace
}

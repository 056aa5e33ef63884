//! `[listeners.NAME.rates]`: how much each client of a listener may send in a time.

use std::ops::RangeInclusive;

use crate::section::Section;

/// Rates of each client, besides those that extensions set for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes.
    pub bytes: Option<Rate>,
    /// What happens to a client that sends more than it may, whoever says how much that is.
    pub on_excess: OnExcess,
}

/// How much may come in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, in the mean.
    pub per_second: u32,
    /// At once, if less came before.
    pub burst: u32,
}

/// What happens to a client that sends more than it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExcess {
    /// Its socket is not read for a while.
    #[default]
    Delay,
    /// It is disconnected.
    Disconnect,
}

const ON_EXCESS: [(&str, OnExcess); 2] =
    [("delay", OnExcess::Delay), ("disconnect", OnExcess::Disconnect)];

/// A message a minute would need a fraction; whoever is that quiet needs no limit.
const MESSAGES: RangeInclusive<u32> = 1..=10_000_000;

/// Below this a CONNECT takes longer than what follows it.
const BYTES: RangeInclusive<u64> = 16..=1 << 30;

/// Reads the table of a listener.
pub(crate) fn read(listener: &Section<'_>) -> Rates {
    let section = listener.part("rates");
    let rates = Rates {
        messages: rate(&section, ["messages", "messages-burst"], |key, usual| {
            section.number(key, usual, MESSAGES)
        }),
        bytes: rate(&section, ["bytes", "bytes-burst"], |key, usual| {
            let bytes = section.size(key, usual.into(), BYTES);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        }),
        on_excess: section.choice("on-excess", OnExcess::Delay, &ON_EXCESS),
    };
    section.finish();
    rates
}

/// A rate, whose burst is what comes in a second unless told.
fn rate(
    section: &Section<'_>,
    [mean, burst]: [&'static str; 2],
    number: impl Fn(&'static str, u32) -> u32,
) -> Option<Rate> {
    if !section.has(mean) {
        section.meaningless(&[burst], &format!("without `{mean}`; add that, or remove it"));
        return None;
    }
    let per_second = number(mean, 1000);
    Some(Rate { per_second, burst: number(burst, per_second) })
}

//! What a line `limit` says.
//!
//! ```text
//! limit user:pump   messages=100/s messages-burst=500  bytes=64KiB/s
//! limit *           messages=10/s  subscriptions=20    inflight=50
//! ```

use std::fmt;

use crate::line::{Malformed, Who};

/// How much somebody may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Number of its line, from 1.
    pub(crate) line: usize,
    pub(crate) who: Who,
    pub(crate) messages: Option<Rate>,
    pub(crate) bytes: Option<Rate>,
    pub(crate) inflight: Option<u16>,
    pub(crate) subscriptions: Option<u32>,
}

/// In a second, and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// Why a word limits nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadLimit {
    Unknown,
    Repeated,
    Number,
    Size,
    NotPerSecond,
    Zero,
    NoRate,
}

const UNITS: [(&str, u32); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Limit {
    /// Reads the words behind whom the line is about.
    pub(crate) fn parse(line: usize, who: Who, words: &[&str]) -> Result<Self, Malformed> {
        if words.is_empty() {
            return Err(Malformed::NoLimit);
        }
        let (mut messages, mut messages_burst, mut bytes, mut bytes_burst) =
            (None, None, None, None);
        let (mut inflight, mut subscriptions) = (None, None);
        for word in words {
            let bad = |fault| Malformed::Limit((*word).to_owned(), fault);
            let (key, value) = word.split_once('=').ok_or_else(|| bad(BadLimit::Unknown))?;
            let fresh = match key {
                "messages" => set(&mut messages, per_second(value, number)),
                "messages-burst" => set(&mut messages_burst, number(value)),
                "bytes" => set(&mut bytes, per_second(value, size)),
                "bytes-burst" => set(&mut bytes_burst, size(value)),
                "inflight" => set(&mut inflight, number(value)),
                "subscriptions" => set(&mut subscriptions, number(value)),
                _ => Err(BadLimit::Unknown),
            };
            fresh.map_err(bad)?;
        }
        let rate = |name: &str, mean: Option<u32>, burst: Option<u32>| match (mean, burst) {
            (None, Some(_)) => Err(Malformed::Limit(name.to_owned(), BadLimit::NoRate)),
            (mean, burst) => {
                Ok(mean.map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) }))
            }
        };
        Ok(Self {
            line,
            who,
            messages: rate("messages-burst", messages, messages_burst)?,
            bytes: rate("bytes-burst", bytes, bytes_burst)?,
            inflight: inflight.map(|most: u32| u16::try_from(most).unwrap_or(u16::MAX)),
            subscriptions,
        })
    }
}

fn set(slot: &mut Option<u32>, value: Result<u32, BadLimit>) -> Result<(), BadLimit> {
    match (slot.replace(value?), *slot) {
        (Some(_), _) => Err(BadLimit::Repeated),
        (None, Some(0)) => Err(BadLimit::Zero),
        (None, _) => Ok(()),
    }
}

fn number(text: &str) -> Result<u32, BadLimit> {
    text.parse().map_err(|_| BadLimit::Number)
}

fn size(text: &str) -> Result<u32, BadLimit> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or(BadLimit::Size)?.1;
    count.parse().ok().and_then(|count: u32| count.checked_mul(unit)).ok_or(BadLimit::Size)
}

fn per_second(text: &str, what: fn(&str) -> Result<u32, BadLimit>) -> Result<u32, BadLimit> {
    what(text.strip_suffix("/s").ok_or(BadLimit::NotPerSecond)?)
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "is no limit; there are `messages=N/s`, `messages-burst=N`, `bytes=SIZE/s`, `bytes-burst=SIZE`, \
                 `inflight=N` and `subscriptions=N`"
            }
            Self::Repeated => "stands twice on the line; remove one of the two",
            Self::Number => "has no number that fits behind the `=`",
            Self::Size => "has no size below 4 GiB behind the `=`; write a number and B, KiB, MiB or GiB, as `64KiB`",
            Self::NotPerSecond => "is no rate; write `/s` behind it",
            Self::Zero => "is nothing at all; to forbid everything, allow nothing",
            Self::NoRate => "means nothing without its rate; add that, or remove it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Limit, Malformed> {
        let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
        Limit::parse(3, Who::Everyone, &words)
    }

    #[test]
    fn each_limit_is_read_and_a_burst_is_a_seconds_worth_unless_told() {
        let limit = read("messages=100/s bytes=64KiB/s bytes-burst=1MiB subscriptions=20").unwrap();
        assert_eq!(limit.messages, Some(Rate { per_second: 100, burst: 100 }));
        assert_eq!(limit.bytes, Some(Rate { per_second: 64 << 10, burst: 1 << 20 }));
        assert_eq!((limit.line, limit.subscriptions, limit.inflight), (3, Some(20), None));
        assert_eq!(read("inflight=70000").unwrap().inflight, Some(u16::MAX));
    }

    #[test]
    fn words_that_limit_nothing_say_why() {
        for (text, expected) in [
            ("messages=1", BadLimit::NotPerSecond),
            ("messages=x/s", BadLimit::Number),
            ("messages=0/s", BadLimit::Zero),
            ("bytes=64/s", BadLimit::Size),
            ("bytes=64kb/s", BadLimit::Size),
            ("bytes=4GiB/s", BadLimit::Size),
            ("bytes=-1B/s", BadLimit::Size),
            ("rate=1/s", BadLimit::Unknown),
            ("messages", BadLimit::Unknown),
            ("subscriptions=-1", BadLimit::Number),
        ] {
            assert_eq!(read(text), Err(Malformed::Limit(text.to_owned(), expected)), "{text}");
        }
        let twice = read("inflight=1 inflight=2");
        assert_eq!(twice, Err(Malformed::Limit("inflight=2".to_owned(), BadLimit::Repeated)));
        let alone = read("messages-burst=1");
        assert_eq!(alone, Err(Malformed::Limit("messages-burst".to_owned(), BadLimit::NoRate)));
        assert_eq!(read(""), Err(Malformed::NoLimit));
    }
}

//! How much a client may do.

use std::fmt;

/// Limits of one client, besides the gateway's own. `None` sets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages a second: each PUBLISH, SUBSCRIBE and UNSUBSCRIBE is one.
    pub messages: Option<Rate>,
    /// Bytes a second, of the same packets.
    pub bytes: Option<Rate>,
    /// What happens to a client that sends more.
    pub excess: Excess,
    /// QoS 1 and 2 messages on the way to the client and not yet acknowledged.
    pub max_inflight: Option<u16>,
    /// Subscriptions that the client may hold at once.
    pub max_subscriptions: Option<u32>,
}

/// How much may come in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, in the mean.
    pub per_second: u32,
    /// At once, if less came before.
    pub burst: u32,
}

/// What happens to a client that sends more than its rates allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excess {
    /// Its socket is not read until they allow it.
    #[default]
    Delay,
    /// It is disconnected (0x96, Message rate too high).
    Disconnect,
}

impl Limits {
    /// Whether anything is limited.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self { excess: self.excess, ..Self::default() }
    }

    /// What holds where both do: of each limit the stricter.
    #[must_use]
    pub fn narrowed(self, by: Self) -> Self {
        Self {
            messages: stricter(self.messages, by.messages, Rate::narrowed),
            bytes: stricter(self.bytes, by.bytes, Rate::narrowed),
            excess: self.excess.max(by.excess),
            max_inflight: stricter(self.max_inflight, by.max_inflight, u16::min),
            max_subscriptions: stricter(self.max_subscriptions, by.max_subscriptions, u32::min),
        }
    }
}

/// The limits in the words of a rules file (`limit WHO ...`): `messages=10/s messages-burst=20`, or `none`.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |name: &str, rate: Option<Rate>| {
            rate.map(|rate| format!("{name}={}/s {name}-burst={}", rate.per_second, rate.burst))
        };
        let parts = [
            rate("messages", self.messages),
            rate("bytes", self.bytes),
            self.max_inflight.map(|most| format!("inflight={most}")),
            self.max_subscriptions.map(|most| format!("subscriptions={most}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

impl Rate {
    fn narrowed(self, by: Self) -> Self {
        let (per_second, burst) = (self.per_second.min(by.per_second), self.burst.min(by.burst));
        Self { per_second, burst }
    }
}

fn stricter<T>(one: Option<T>, other: Option<T>, of_both: fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(of_both(one, other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_stricter_holds() {
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        let one = Limits { messages: rate(10, 50), max_inflight: Some(3), ..Limits::default() };
        let other = Limits {
            messages: rate(20, 20),
            bytes: rate(1, 1),
            excess: Excess::Disconnect,
            ..Limits::default()
        };
        let both = Limits { messages: rate(10, 20), max_inflight: Some(3), ..other };
        assert_eq!((one.narrowed(other), other.narrowed(one)), (both, both));
        assert_eq!(one.narrowed(Limits::default()), one);
        assert!(Limits::default().are_none() && !one.are_none());
        assert_eq!(Limits::default().to_string(), "none");
        assert_eq!(
            both.to_string(),
            "messages=10/s messages-burst=20 bytes=1/s bytes-burst=1 inflight=3"
        );
    }
}

use auth::{Excess, Limits, Rate};
use serde_json::{Value, json};

/// What was set for a client; null if nothing was.
pub(super) fn limits(limits: &Limits) -> Value {
    if limits.are_none() {
        return Value::Null;
    }
    let rate = |rate: Rate| json!({ "per_second": rate.per_second, "burst": rate.burst });
    let has_rates = limits.messages.is_some() || limits.bytes.is_some();
    json!({
        "messages": limits.messages.map(rate),
        "bytes": limits.bytes.map(rate),
        "on_excess": has_rates.then_some(match limits.excess {
            Excess::Delay => "delay",
            Excess::Disconnect => "disconnect",
        }),
        "max_inflight": limits.max_inflight,
        "max_subscriptions": limits.max_subscriptions,
    })
}

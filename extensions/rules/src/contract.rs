//! Rules as the gateway takes them.

use portcullis_extension::{Actions, Effect, Limits, Qos, Rate, Rule};

use crate::{limit, line};

impl From<&line::Rule> for Rule {
    fn from(rule: &line::Rule) -> Self {
        let actions = if rule.publish { Actions::PUBLISH } else { Actions::empty() }
            | if rule.subscribe { Actions::SUBSCRIBE } else { Actions::empty() };
        Self {
            effect: if rule.allow { Effect::Allow } else { Effect::Deny },
            actions,
            filter: rule.filter.clone(),
            max_qos: match rule.max_qos {
                0 => Qos::AtMostOnce,
                1 => Qos::AtLeastOnce,
                _ => Qos::ExactlyOnce,
            },
            retain: rule.retain,
            label: Some(rule.label.clone()),
        }
    }
}

impl From<&limit::Limit> for Limits {
    fn from(limit: &limit::Limit) -> Self {
        let rate = |it: limit::Rate| Rate { per_second: it.per_second, burst: it.burst };
        Self {
            messages: limit.messages.map(rate),
            bytes: limit.bytes.map(rate),
            max_inflight: limit.inflight,
            max_subscriptions: limit.subscriptions,
        }
    }
}

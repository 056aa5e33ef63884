//! Permission sets in the words of a script.

use auth::{Actions, Effect, Fallback, PermissionSet, Permissions, Rule};
use mqtt::QoS;

use crate::words::Words;

/// `permissions NAME rule; rule; else fallback`.
pub(crate) fn set(line: &str) -> PermissionSet {
    let rest = line.splitn(3, ' ').nth(2).expect("rules");
    let mut fallback = Fallback::Deny;
    let mut rules = Vec::new();
    for clause in rest.split(';') {
        let words = Words::of(clause);
        let effect = match words.plain(0) {
            "allow" => Effect::Allow,
            "deny" => Effect::Deny,
            _ => {
                fallback = match words.plain(1) {
                    "allow" => Fallback::Allow,
                    "ask" => Fallback::Ask,
                    _ => Fallback::Deny,
                };
                continue;
            }
        };
        let actions = match words.plain(1) {
            "publish" => Actions::PUBLISH,
            "subscribe" => Actions::SUBSCRIBE,
            _ => Actions::BOTH,
        };
        let max_qos = words.number("qos").and_then(|qos| QoS::from_u8(u8::try_from(qos).ok()?));
        rules.push(Rule {
            effect,
            actions,
            filter: words.plain(2).to_owned(),
            max_qos: max_qos.unwrap_or(QoS::ExactlyOnce),
            retain: !words.has("no-retain"),
            label: None,
        });
    }
    let stated = Permissions { rules, fallback, source: "script".into() };
    PermissionSet::compile(&stated).expect("permissions that compile")
}

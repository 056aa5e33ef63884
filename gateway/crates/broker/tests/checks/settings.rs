use std::sync::Arc;
use std::time::Duration;

use auth::{Actions, Effect, Fallback, PermissionSet, Permissions, Rule};
use mqtt::{QoS, TopicFilter};
use portcullis_broker::{Overflow, Settings, TopicRule};

use super::Source;

/// Limits that are easily met.
pub(crate) fn settings(source: &mut Source<'_>) -> Settings {
    let mut pick = |from: &[u32]| from[source.below(from.len())];
    let settings = Settings {
        receive_maximum: pick(&[1, 2, 5, 1000]) as u16,
        max_inflight: pick(&[1, 2, 5, 1000]) as u16,
        max_packet_size: pick(&[1 << 20, 200, 10_000]),
        max_session_expiry: pick(&[u32::MAX, 30, 0]),
        max_keep_alive: pick(&[0, 5]) as u16,
        max_queued_messages: pick(&[100, 1, 4]) as usize,
        max_queued_bytes: pick(&[1 << 20, 300, 3000]) as usize,
        max_queued_bytes_total: pick(&[1 << 20, 400, 4000]) as usize,
        max_outbox_bytes: pick(&[1 << 20, 1, 200]) as usize,
        max_subscriptions: pick(&[100, 1, 3]) as usize,
        max_topic_levels: pick(&[32, 1, 2]) as usize,
        max_retained_messages: pick(&[100, 0, 2]) as usize,
        max_retained_bytes: pick(&[1 << 20, 300]) as usize,
        topic_alias_maximum: pick(&[2, 0]) as u16,
        max_topic_aliases: pick(&[300, 1, 0]) as u16,
        maximum_qos: [QoS::ExactlyOnce, QoS::AtLeastOnce][pick(&[0, 0, 0, 1]) as usize],
        retain_available: pick(&[1, 1, 1, 0]) > 0,
        wildcards_available: pick(&[1, 1, 1, 0]) > 0,
        subscription_ids_available: pick(&[1, 1, 1, 0]) > 0,
        shared_available: pick(&[1, 1, 1, 0]) > 0,
        max_journal_bytes: pick(&[1 << 20, 0, 300]) as usize,
        persist_delay: Duration::from_millis(pick(&[20, 0]).into()),
        ..Settings::default()
    };
    // No byte of the input decides it, so that older ones mean what they did.
    let rules =
        (settings.max_queued_messages > 1).then(|| rule(settings.max_queued_bytes < 1 << 20));
    Settings { topic_rules: rules.into_iter().collect(), ..settings }
}

/// A rule that leaves some topics only a part of each queue.
fn rule(drops_oldest: bool) -> TopicRule {
    TopicRule {
        name: "some".to_owned(),
        filter: TopicFilter::new("t/#").expect("a filter").to_owned(),
        durability: None,
        overflow: drops_oldest.then_some(Overflow::DropOldest),
        max_queued_messages: Some(2),
        max_queued_bytes: Some(250),
    }
}

/// A few permission sets: everything, with exceptions, with questions, nothing.
pub(crate) fn permissions() -> Vec<Arc<PermissionSet>> {
    let rule = |effect, actions, filter: &str, max_qos| Rule {
        effect,
        actions,
        filter: filter.to_owned(),
        max_qos,
        retain: max_qos == QoS::ExactlyOnce,
        label: None,
    };
    let some = vec![
        rule(Effect::Deny, Actions::SUBSCRIBE, "t/b", QoS::AtMostOnce),
        rule(Effect::Allow, Actions::BOTH, "t/#", QoS::AtLeastOnce),
        rule(Effect::Allow, Actions::PUBLISH, "${client-id}", QoS::ExactlyOnce),
        rule(Effect::Allow, Actions::SUBSCRIBE, "#", QoS::ExactlyOnce),
    ];
    [
        (Vec::new(), Fallback::Allow),
        (some.clone(), Fallback::Ask),
        (some, Fallback::Deny),
        (Vec::new(), Fallback::Ask),
        (Vec::new(), Fallback::Deny),
    ]
    .into_iter()
    .map(|(rules, fallback)| Permissions { rules, fallback, source: "fuzz".into() })
    .map(|stated| Arc::new(PermissionSet::compile(&stated).expect("valid rules")))
    .collect()
}

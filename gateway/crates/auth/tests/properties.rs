//! The compiled set against the plainest reading of its rules: one after the other, and "covers"
//! as "matches every topic that the filter matches", tried on every topic of a small world.

use mqtt::{QoS, TopicFilter};
use portcullis_auth::{
    Actions, Decision, DenyCause, Effect, Fallback, Identity, PermissionSet, Permissions, Rule,
};
use proptest::prelude::*;

/// Every topic of up to four levels: one more than any filter below has, so that `#` differs from
/// each filter without it; `z` is in no filter, so that `+` differs from each literal.
fn world() -> Vec<String> {
    const LEVELS: [&str; 5] = ["a", "b", "xa", "z", "$s"];
    let mut topics: Vec<String> = Vec::new();
    let mut last: Vec<String> = LEVELS.iter().map(ToString::to_string).collect();
    for _ in 0..3 {
        let next = last
            .iter()
            .flat_map(|topic| LEVELS.iter().map(move |level| format!("{topic}/{level}")))
            .collect();
        topics.append(&mut last);
        last = next;
    }
    topics.append(&mut last);
    topics
}

/// MQTT 5.0, 4.7, read aloud.
fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) | (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([f, filter @ ..], [t, topic @ ..]) => f == t && levels(filter, topic),
            _ => false,
        }
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

fn rendered(filter: &str, who: &Identity) -> Option<String> {
    let attribute = |name: &str| who.attribute(name).unwrap_or_default().to_owned();
    let values = [
        ("${client-id}", who.client_id.to_string()),
        ("${principal}", who.principal.to_string()),
        ("${attr.k}", attribute("k")),
        ("${attr.l}", attribute("l")),
    ];
    let mut rendered = filter.to_owned();
    for (placeholder, value) in values {
        let unusable = value.is_empty()
            || value.contains(['+', '#', '/'])
            || (value.starts_with('$') && filter.starts_with(placeholder));
        if filter.contains(placeholder) && unusable {
            return None;
        }
        rendered = rendered.replace(placeholder, &value);
    }
    Some(rendered)
}

/// The first rule for which `fits` holds, with its number.
fn first<'a>(
    stated: &'a Permissions,
    who: &Identity,
    action: impl Fn(Actions) -> bool,
    fits: impl Fn(&str) -> bool,
) -> Option<(usize, &'a Rule)> {
    stated.rules.iter().enumerate().find(|(_, rule)| {
        action(rule.actions) && rendered(&rule.filter, who).is_some_and(|filter| fits(&filter))
    })
}

#[derive(Debug, PartialEq)]
enum Expected {
    Allow(QoS),
    Deny(Option<usize>, DenyCause),
    Ask,
}

fn expected(stated: &Permissions, found: Option<(usize, &Rule)>) -> Expected {
    match found {
        Some((_, rule)) if rule.effect == Effect::Allow => Expected::Allow(rule.max_qos),
        Some((number, _)) => Expected::Deny(Some(number), DenyCause::Rule),
        None => match stated.fallback {
            Fallback::Allow => Expected::Allow(QoS::ExactlyOnce),
            Fallback::Deny => Expected::Deny(None, DenyCause::NoRule),
            Fallback::Ask => Expected::Ask,
        },
    }
}

fn seen(decision: Decision) -> Expected {
    match decision {
        Decision::Allow { max_qos } => Expected::Allow(max_qos),
        Decision::Deny(reason) => Expected::Deny(reason.rule.map(usize::from), reason.cause),
        Decision::Ask => Expected::Ask,
    }
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// Filters of up to three levels out of `levels`, `#` at the end of some.
fn filters(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
    let level = proptest::sample::select(levels);
    (proptest::collection::vec(level, 0..=3), any::<bool>()).prop_map(|(mut levels, rest)| {
        if rest || levels.is_empty() {
            levels.truncate(2);
            levels.push("#");
        }
        levels.join("/")
    })
}

fn rules() -> impl Strategy<Value = Rule> {
    let filter = filters(&[
        "a",
        "b",
        "+",
        "+",
        "$s",
        "${client-id}",
        "x${client-id}",
        "${principal}",
        "${attr.k}",
        "${attr.l}",
        "${attr.k}${attr.l}",
    ]);
    let actions = proptest::sample::select(vec![
        Actions::BOTH,
        Actions::PUBLISH,
        Actions::SUBSCRIBE,
        Actions { publish: false, subscribe: false },
    ]);
    (prop_oneof![Just(Effect::Allow), Just(Effect::Deny)], actions, filter, qos(), any::<bool>())
        .prop_map(|(effect, actions, filter, max_qos, retain)| Rule {
            effect,
            actions,
            filter,
            max_qos,
            retain,
            label: None,
        })
}

fn permissions() -> impl Strategy<Value = Permissions> {
    let fallback = prop_oneof![Just(Fallback::Deny), Just(Fallback::Allow), Just(Fallback::Ask)];
    (proptest::collection::vec(rules(), 0..12), fallback)
        .prop_map(|(rules, fallback)| Permissions { rules, fallback, source: "p@0".into() })
}

fn identities() -> impl Strategy<Value = Identity> {
    let value = || proptest::sample::select(vec!["a", "b", "$s", "+", "#", "a/b", "", "s", "xa"]);
    let name = proptest::sample::select(vec!["k", "l", "m"]);
    let attributes = proptest::collection::vec((name, value()), 0..4);
    (value(), value(), attributes).prop_map(|(client_id, principal, attributes)| Identity {
        client_id: client_id.into(),
        principal: principal.into(),
        attributes: attributes.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 800,
        // A failure is printed with its input; nothing is written into the source tree.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn publishes_and_deliveries_meet_the_first_rule_that_matches(
        stated in permissions(), who in identities(), qos in qos(), retain in any::<bool>(),
    ) {
        let set = PermissionSet::compile(&stated).unwrap();
        for topic in world() {
            let found = first(&stated, &who, |a| a.publish, |filter| matches(filter, &topic));
            let publish = match (expected(&stated, found), found) {
                (Expected::Allow(max), Some((number, _))) if qos > max => {
                    Expected::Deny(Some(number), DenyCause::Qos)
                }
                (Expected::Allow(_), Some((number, rule))) if retain && !rule.retain => {
                    Expected::Deny(Some(number), DenyCause::Retain)
                }
                (decision, _) => decision,
            };
            prop_assert_eq!(seen(set.check_publish(&who, &topic, qos, retain)), publish, "{}", topic);

            let found = first(&stated, &who, |a| a.subscribe, |filter| matches(filter, &topic));
            let delivery = match expected(&stated, found) {
                Expected::Ask => Expected::Allow(QoS::ExactlyOnce),
                decision => decision,
            };
            prop_assert_eq!(seen(set.check_delivery(&who, &topic)), delivery, "{}", topic);
        }
    }

    #[test]
    fn subscriptions_meet_the_first_rule_that_matches_all_their_topics(
        stated in permissions(), who in identities(), qos in qos(),
        filter in filters(&["a", "b", "+", "$s", "xa"]), shared in any::<bool>(),
    ) {
        let set = PermissionSet::compile(&stated).unwrap();
        let topics: Vec<_> = world_of(&filter);
        let found = first(&stated, &who, |a| a.subscribe, |rule| {
            topics.iter().all(|topic| matches(rule, topic))
        });
        let expected = match expected(&stated, found) {
            Expected::Allow(max) => Expected::Allow(max.min(qos)),
            decision => decision,
        };
        let asked = if shared { format!("$share/group/{filter}") } else { filter };
        let decision = set.check_subscribe(&who, TopicFilter::new(&asked).unwrap(), qos);
        prop_assert_eq!(seen(decision), expected);
    }

    /// What was subscribed is delivered, except where a deny rule or a narrower rule that comes
    /// first says otherwise.
    #[test]
    fn an_allowed_subscription_is_delivered_unless_a_deny_rule_hits(
        stated in permissions(), who in identities(),
        filter in filters(&["a", "b", "+", "$s"]),
    ) {
        let set = PermissionSet::compile(&stated).unwrap();
        let asked = TopicFilter::new(&filter).unwrap();
        if !set.check_subscribe(&who, asked, QoS::ExactlyOnce).is_allowed() {
            return Ok(());
        }
        for topic in world_of(&filter) {
            let denied = stated.rules.iter().any(|rule| {
                rule.effect == Effect::Deny
                    && rule.actions.subscribe
                    && rendered(&rule.filter, &who).is_some_and(|rule| matches(&rule, &topic))
            });
            prop_assert!(denied || set.check_delivery(&who, &topic).is_allowed(), "{}", topic);
        }
    }

    #[test]
    fn a_set_that_grants_everything_never_says_no(stated in permissions(), who in identities()) {
        let set = PermissionSet::compile(&stated).unwrap();
        if !set.grants_everything() {
            return Ok(());
        }
        let yes = Decision::Allow { max_qos: QoS::ExactlyOnce };
        for topic in world() {
            prop_assert_eq!(set.check_publish(&who, &topic, QoS::ExactlyOnce, true), yes);
            prop_assert_eq!(set.check_delivery(&who, &topic), yes);
        }
    }
}

fn world_of(filter: &str) -> Vec<String> {
    let mut topics = world();
    topics.retain(|topic| matches(filter, topic));
    assert!(!topics.is_empty(), "{filter} matches nothing, so that anything covers it");
    topics
}

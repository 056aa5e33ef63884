//! Permissions compiled for matching.

use std::sync::Arc;

use mqtt::{QoS, TopicFilter};

use crate::index::{MAX_RULES, RuleIndex};
use crate::template::{Level, Template};
use crate::{
    Actions, Decision, DenyCause, DenyReason, Effect, Fallback, Identity, Permissions, Rule,
    RuleError, RuleFault,
};

/// Permissions compiled for matching; the same for every client that has them. What differs
/// between clients, the values of placeholders, comes with each check.
#[derive(Debug)]
pub struct PermissionSet {
    stated: Permissions,
    pub(crate) publish: RuleIndex,
    pub(crate) subscribe: RuleIndex,
    grants_everything: bool,
}

impl PermissionSet {
    /// Compiles what an extension stated.
    ///
    /// # Errors
    /// The first rule whose filter is not one, or that is one rule too many.
    pub fn compile(permissions: &Permissions) -> Result<Self, RuleError> {
        let mut publish = RuleIndex::default();
        let mut subscribe = RuleIndex::default();
        let mut templates = Vec::with_capacity(permissions.rules.len().min(MAX_RULES));
        for (at, rule) in permissions.rules.iter().enumerate() {
            let error = |fault| RuleError {
                source: permissions.source.to_string(),
                rule: at,
                text: text(rule),
                fault,
            };
            let number = u16::try_from(at)
                .ok()
                .filter(|number| usize::from(*number) < MAX_RULES)
                .ok_or_else(|| error(RuleFault::TooMany))?;
            let template =
                Template::parse(&rule.filter).map_err(|fault| error(RuleFault::Filter(fault)))?;
            if rule.actions.publish {
                publish.insert(&template, number);
            }
            if rule.actions.subscribe {
                subscribe.insert(&template, number);
            }
            templates.push(template);
        }
        let grants_everything = grants_everything(permissions, &templates);
        Ok(Self { stated: permissions.clone(), publish, subscribe, grants_everything })
    }

    /// The set that denies everything, in the name of `source`.
    pub fn deny_all(source: impl Into<Arc<str>>) -> Self {
        Self {
            stated: Permissions {
                rules: Vec::new(),
                fallback: Fallback::Deny,
                source: source.into(),
            },
            publish: RuleIndex::default(),
            subscribe: RuleIndex::default(),
            grants_everything: false,
        }
    }

    /// May the client publish this message?
    ///
    /// The first rule for publishing that matches the topic decides. An allow rule denies what is
    /// above its QoS, and retained messages unless it allows them.
    pub fn check_publish(&self, who: &Identity, topic: &str, qos: QoS, retain: bool) -> Decision {
        let look = Look { index: &self.publish, text: topic, who };
        let rule = look.first();
        match self.decide(rule, look) {
            Decision::Allow { max_qos } if qos > max_qos => look.deny(rule, DenyCause::Qos),
            Decision::Allow { .. } if retain && !self.allows_retain(rule) => {
                look.deny(rule, DenyCause::Retain)
            }
            decision => decision,
        }
    }

    /// May the client give the gateway an order by publishing this? As
    /// [`check_publish`](Self::check_publish), but that everything is allowed which no rule names
    /// does not count.
    pub fn check_control(&self, who: &Identity, topic: &str, qos: QoS, retain: bool) -> Decision {
        let look = Look { index: &self.publish, text: topic, who };
        if self.stated.fallback == Fallback::Allow && look.first().is_none() {
            return look.deny(None, DenyCause::NoRule);
        }
        self.check_publish(who, topic, qos, retain)
    }

    /// May the client subscribe to this filter? Of a shared subscription the inner filter counts.
    ///
    /// The first rule for subscribing that matches every topic of the filter decides. A deny rule
    /// for some of those topics does not refuse the subscription; it holds back its messages
    /// ([`check_delivery`](Self::check_delivery)). `qos` does not lead to a denial: the
    /// subscription is to be granted at the lower of it and the `max_qos` of the answer.
    pub fn check_subscribe(&self, who: &Identity, filter: TopicFilter<'_>, qos: QoS) -> Decision {
        let look = Look { index: &self.subscribe, text: filter.matcher(), who };
        match self.decide(look.first(), look) {
            Decision::Allow { max_qos } => Decision::Allow { max_qos: max_qos.min(qos) },
            decision => decision,
        }
    }

    /// May the client be sent a message on this topic for a subscription that it holds?
    ///
    /// Where the set says to ask, the answer is yes: the subscription itself was asked for.
    pub fn check_delivery(&self, who: &Identity, topic: &str) -> Decision {
        let look = Look { index: &self.subscribe, text: topic, who };
        match self.decide(look.first(), look) {
            Decision::Ask => Decision::Allow { max_qos: QoS::ExactlyOnce },
            decision => decision,
        }
    }

    /// Whether no check can give anything but a yes with the highest QoS, for any client, so that
    /// checks can be left out. A rule that allows `#` is not enough: it does not match topics that
    /// begin with `$`.
    pub fn grants_everything(&self) -> bool {
        self.grants_everything
    }

    /// The extension that stated the permissions.
    pub fn source(&self) -> &str {
        &self.stated.source
    }

    /// The permissions as stated.
    pub fn permissions(&self) -> &Permissions {
        &self.stated
    }

    /// Says why, for the log and for the operator: `acl@1a2b3c4d: line 7: deny * secret/#`.
    pub fn explain(&self, reason: DenyReason) -> String {
        let mut why = match reason.rule.and_then(|rule| self.named(rule)) {
            Some(rule) => format!("{}: {rule}", self.source()),
            None => format!("{}: no rule matched", self.source()),
        };
        match reason.cause {
            DenyCause::NoRule | DenyCause::Rule => {}
            DenyCause::Qos => why.push_str(" (the message has a higher QoS than the rule allows)"),
            DenyCause::Retain => why.push_str(" (the rule does not allow retained messages)"),
        }
        if let Some(passed_over) = reason.passed_over.and_then(|rule| self.named(rule)) {
            why.push_str("; not applied was ");
            why.push_str(&passed_over);
            why.push_str(
                ", because the client's value for a placeholder is missing, empty or contains one \
                 of + # / $ or U+0000",
            );
        }
        why
    }

    fn decide(&self, first: Option<u16>, look: Look<'_>) -> Decision {
        match self.rule(first) {
            Some(rule) => match rule.effect {
                Effect::Allow => Decision::Allow { max_qos: rule.max_qos },
                Effect::Deny => look.deny(first, DenyCause::Rule),
            },
            None => match self.stated.fallback {
                Fallback::Deny => look.deny(None, DenyCause::NoRule),
                Fallback::Allow => Decision::Allow { max_qos: QoS::ExactlyOnce },
                Fallback::Ask => Decision::Ask,
            },
        }
    }

    fn allows_retain(&self, first: Option<u16>) -> bool {
        self.rule(first).is_none_or(|rule| rule.retain)
    }

    fn rule(&self, number: Option<u16>) -> Option<&Rule> {
        number.and_then(|number| self.stated.rules.get(usize::from(number)))
    }

    pub(crate) fn named(&self, number: u16) -> Option<String> {
        let rule = self.rule(Some(number))?;
        Some(match &rule.label {
            Some(label) => label.to_string(),
            None => format!("rule {}: {rule}", number + 1),
        })
    }
}

/// A topic or filter of a client before the rules of one action.
#[derive(Clone, Copy)]
struct Look<'a> {
    index: &'a RuleIndex,
    text: &'a str,
    who: &'a Identity,
}

impl Look<'_> {
    fn first(self) -> Option<u16> {
        self.index.first(self.text, self.who)
    }

    fn deny(self, rule: Option<u16>, cause: DenyCause) -> Decision {
        let passed_over = self.index.passed_over(self.text, self.who, rule);
        Decision::Deny(DenyReason { rule, cause, passed_over })
    }
}

fn text(rule: &Rule) -> String {
    rule.label.as_ref().map_or_else(|| rule.to_string(), ToString::to_string)
}

/// Everything is allowed where nothing denies or limits: neither the fallback nor a rule that can
/// be reached. After `#` for everything only rules for `$` topics can.
fn grants_everything(permissions: &Permissions, templates: &[Template]) -> bool {
    if permissions.fallback != Fallback::Allow {
        return false;
    }
    let unlimited = |rule: &Rule| {
        rule.effect == Effect::Allow && rule.max_qos == QoS::ExactlyOnce && rule.retain
    };
    let mut rules = permissions.rules.iter().zip(templates);
    let open = permissions
        .rules
        .first()
        .is_some_and(|rule| unlimited(rule) && rule.actions == Actions::BOTH && rule.filter == "#");
    rules.all(|(rule, template)| {
        unlimited(rule)
            || (open
                && match template.levels().first() {
                    Some(Level::Literal(text)) => !text.starts_with('$'),
                    Some(Level::Any | Level::Rest) => true,
                    Some(Level::Pattern(_)) | None => false,
                })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(client_id: &str) -> Identity {
        Identity {
            client_id: client_id.into(),
            principal: "demo".into(),
            attributes: vec![("site".into(), "north".into())],
        }
    }

    fn rule(effect: Effect, actions: Actions, filter: &str) -> Rule {
        Rule {
            effect,
            actions,
            filter: filter.to_owned(),
            max_qos: QoS::ExactlyOnce,
            retain: true,
            label: None,
        }
    }

    fn set(rules: Vec<Rule>, fallback: Fallback) -> PermissionSet {
        PermissionSet::compile(&Permissions { rules, fallback, source: "acl@1a2b".into() }).unwrap()
    }

    fn why(set: &PermissionSet, decision: Decision) -> String {
        match decision {
            Decision::Deny(reason) => set.explain(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_denial_names_extension_rule_and_cause() {
        let labelled = Rule {
            label: Some("line 7: deny * secret/#".into()),
            ..rule(Effect::Deny, Actions::BOTH, "secret/#")
        };
        let narrow = Rule {
            max_qos: QoS::AtMostOnce,
            retain: false,
            ..rule(Effect::Allow, Actions::PUBLISH, "in/${client-id}")
        };
        let set = set(vec![labelled, narrow], Fallback::Deny);
        let publish = |topic, qos, retain| set.check_publish(&who("c1"), topic, qos, retain);
        assert_eq!(
            why(&set, publish("secret", QoS::AtMostOnce, false)),
            "acl@1a2b: line 7: deny * secret/#"
        );
        assert_eq!(why(&set, publish("x", QoS::AtMostOnce, false)), "acl@1a2b: no rule matched");
        assert_eq!(
            why(&set, publish("in/c1", QoS::AtLeastOnce, false)),
            "acl@1a2b: rule 2: allow publish in/${client-id} (the message has a higher QoS than \
             the rule allows)"
        );
        assert_eq!(
            why(&set, publish("in/c1", QoS::AtMostOnce, true)),
            "acl@1a2b: rule 2: allow publish in/${client-id} (the rule does not allow retained \
             messages)"
        );
        assert_eq!(
            why(&set, set.check_publish(&who("c/1"), "in/c/1", QoS::AtMostOnce, false)),
            "acl@1a2b: no rule matched; not applied was rule 2: allow publish in/${client-id}, \
             because the client's value for a placeholder is missing, empty or contains one of + \
             # / $ or U+0000"
        );
    }

    #[test]
    fn a_faulty_rule_is_named() {
        let rules = vec![
            rule(Effect::Allow, Actions::BOTH, "a"),
            rule(Effect::Allow, Actions::SUBSCRIBE, "a/${site}"),
        ];
        let stated = Permissions { rules, fallback: Fallback::Deny, source: "acl@1a2b".into() };
        assert_eq!(
            PermissionSet::compile(&stated).unwrap_err().to_string(),
            "acl@1a2b: rule 2 \"allow subscribe a/${site}\": placeholder \"${site}\" is unknown; \
             there are ${client-id}, ${principal} and ${attr.NAME}"
        );
    }

    #[test]
    fn a_set_has_a_bounded_number_of_rules() {
        let mut rules = vec![rule(Effect::Allow, Actions::BOTH, "a"); MAX_RULES];
        rules[MAX_RULES - 1].filter = "b".to_owned();
        let mut stated = Permissions { rules, fallback: Fallback::Deny, source: "x".into() };
        let full = PermissionSet::compile(&stated).unwrap();
        assert!(full.check_delivery(&who("c"), "b").is_allowed());
        stated.rules.push(rule(Effect::Allow, Actions::BOTH, "c"));
        assert_eq!(PermissionSet::compile(&stated).unwrap_err().fault, RuleFault::TooMany);
    }

    #[test]
    fn a_subscription_needs_one_rule_for_all_its_topics() {
        let set = set(
            vec![
                rule(Effect::Deny, Actions::BOTH, "a/secret"),
                rule(Effect::Allow, Actions::SUBSCRIBE, "a/#"),
                rule(Effect::Allow, Actions::SUBSCRIBE, "b/+"),
            ],
            Fallback::Deny,
        );
        let subscribe = |filter| {
            set.check_subscribe(&who("c"), TopicFilter::new(filter).unwrap(), QoS::AtLeastOnce)
        };
        let granted = Decision::Allow { max_qos: QoS::AtLeastOnce };
        for filter in ["a/#", "a", "a/+/x", "$share/g/a/#", "b/+", "b/x"] {
            assert_eq!(subscribe(filter), granted, "{filter}");
        }
        for filter in ["#", "+", "+/x", "b/#", "b", "a/secret", "$share/g/#"] {
            assert!(matches!(subscribe(filter), Decision::Deny(_)), "{filter}");
        }
        assert!(set.check_delivery(&who("c"), "a/x").is_allowed());
        assert!(!set.check_delivery(&who("c"), "a/secret").is_allowed());
    }

    #[test]
    fn the_gateways_own_topics_need_a_literal_rule() {
        let all = set(vec![rule(Effect::Allow, Actions::BOTH, "#")], Fallback::Deny);
        assert!(!all.check_delivery(&who("c"), "$SYS/uptime").is_allowed());
        assert!(!all.grants_everything());
        let filter = TopicFilter::new("$SYS/#").unwrap();
        assert!(!all.check_subscribe(&who("c"), filter, QoS::AtMostOnce).is_allowed());
        let own = set(vec![rule(Effect::Allow, Actions::BOTH, "$SYS/+")], Fallback::Deny);
        assert!(own.check_delivery(&who("c"), "$SYS/uptime").is_allowed());
        assert!(!own.check_publish(&who("c"), "x", QoS::AtMostOnce, false).is_allowed());
    }

    #[test]
    fn only_a_set_without_any_no_grants_everything() {
        let all = rule(Effect::Allow, Actions::BOTH, "#");
        let some = |filter| rule(Effect::Deny, Actions::PUBLISH, filter);
        let grants = |rules, fallback| set(rules, fallback).grants_everything();
        assert!(grants(vec![], Fallback::Allow));
        assert!(grants(vec![all.clone(), some("a")], Fallback::Allow));
        assert!(!grants(vec![all.clone()], Fallback::Ask));
        assert!(!grants(vec![all.clone(), some("$SYS/#")], Fallback::Allow));
        assert!(!grants(vec![all.clone(), some("$${client-id}")], Fallback::Allow));
        assert!(!grants(vec![some("a"), all.clone()], Fallback::Allow));
        assert!(!grants(vec![Rule { retain: false, ..all }], Fallback::Allow));
        assert!(!PermissionSet::deny_all("x").grants_everything());
    }

    #[test]
    fn asking_is_for_what_no_rule_mentions() {
        let set = set(vec![rule(Effect::Deny, Actions::BOTH, "a")], Fallback::Ask);
        let publish = |topic| set.check_publish(&who("c"), topic, QoS::AtMostOnce, false);
        assert_eq!(publish("b"), Decision::Ask);
        assert!(matches!(publish("a"), Decision::Deny(_)));
        assert!(set.check_delivery(&who("c"), "b").is_allowed());
        assert!(!set.check_delivery(&who("c"), "a").is_allowed());
    }
}

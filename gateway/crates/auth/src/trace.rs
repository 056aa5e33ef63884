//! Which rule decides, for whoever asks why.

use mqtt::{QoS, TopicFilter};

use crate::{Decision, Identity, PermissionSet};

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// Publish a message.
    Publish {
        /// Topic name.
        topic: &'a str,
        /// QoS of the message.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Give the gateway an order by a publish; that everything else is allowed does not count.
    Control {
        /// Topic name.
        topic: &'a str,
        /// QoS of the message.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe.
    Subscribe {
        /// Topic filter, `$share/…/` included.
        filter: TopicFilter<'a>,
        /// QoS asked for.
        qos: QoS,
    },
    /// Be sent a message for a subscription that it has.
    Receive {
        /// Topic name.
        topic: &'a str,
    },
}

/// What a set says, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it says: the same as the check of the act.
    pub decision: Decision,
    /// The first rule that matches, counted from 0; `None` where the fallback decides.
    pub rule: Option<u16>,
    /// The first rule before it that could not be applied because the client's value for a placeholder is missing or
    /// unsafe.
    pub passed_over: Option<u16>,
}

impl PermissionSet {
    /// Checks an act, and says which rule it was. Looks twice, so it is for people and not for packets.
    pub fn trace(&self, who: &Identity, act: Act<'_>) -> Trace {
        let (index, text, decision) = match act {
            Act::Publish { topic, qos, retain } => {
                (&self.publish, topic, self.check_publish(who, topic, qos, retain))
            }
            Act::Control { topic, qos, retain } => {
                (&self.publish, topic, self.check_control(who, topic, qos, retain))
            }
            Act::Subscribe { filter, qos } => {
                (&self.subscribe, filter.matcher(), self.check_subscribe(who, filter, qos))
            }
            Act::Receive { topic } => (&self.subscribe, topic, self.check_delivery(who, topic)),
        };
        let rule = index.first(text, who);
        Trace { decision, rule, passed_over: index.passed_over(text, who, rule) }
    }

    /// A rule as decisions name it: by its label, or by its number and itself.
    pub fn rule_name(&self, rule: u16) -> Option<String> {
        self.named(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actions, Effect, Fallback, Permissions, Rule};

    fn set(fallback: Fallback) -> PermissionSet {
        let rule = |effect, actions, filter: &str, label: Option<&str>| Rule {
            effect,
            actions,
            filter: filter.to_owned(),
            max_qos: QoS::AtLeastOnce,
            retain: false,
            label: label.map(Into::into),
        };
        let rules = vec![
            rule(Effect::Allow, Actions::PUBLISH, "${attr.site}/x", None),
            rule(Effect::Deny, Actions::BOTH, "a/secret", Some("line 2: deny * a/secret")),
            rule(Effect::Allow, Actions::BOTH, "a/#", None),
        ];
        PermissionSet::compile(&Permissions { rules, fallback, source: "acl@1a2b".into() }).unwrap()
    }

    #[test]
    fn a_trace_says_what_the_check_says_and_by_which_rule() {
        let who = Identity { client_id: "c".into(), principal: "p".into(), attributes: Vec::new() };
        let (qos, retain) = (QoS::AtLeastOnce, false);
        for fallback in [Fallback::Deny, Fallback::Allow, Fallback::Ask] {
            let set = set(fallback);
            for topic in ["a", "a/secret", "b", "a/x"] {
                let trace = set.trace(&who, Act::Publish { topic, qos, retain });
                assert_eq!(trace.decision, set.check_publish(&who, topic, qos, retain), "{topic}");
                let control = set.trace(&who, Act::Control { topic, qos, retain });
                assert_eq!(control.decision, set.check_control(&who, topic, qos, retain));
                let filter = TopicFilter::new(topic).unwrap();
                let subscribe = set.trace(&who, Act::Subscribe { filter, qos });
                assert_eq!(subscribe.decision, set.check_subscribe(&who, filter, qos), "{topic}");
                let receive = set.trace(&who, Act::Receive { topic });
                assert_eq!(receive.decision, set.check_delivery(&who, topic), "{topic}");
                let rule = match topic {
                    "a/secret" => Some(1),
                    "b" => None,
                    _ => Some(2),
                };
                assert_eq!([trace, control, subscribe, receive].map(|t| t.rule), [rule; 4]);
            }
            // The site of the client is not known.
            let trace = set.trace(&who, Act::Publish { topic: "y/x", qos, retain });
            assert_eq!((trace.rule, trace.passed_over), (None, Some(0)));
        }
        let set = set(Fallback::Deny);
        assert_eq!(set.rule_name(1).as_deref(), Some("line 2: deny * a/secret"));
        assert_eq!(set.rule_name(2).as_deref(), Some("rule 3: allow publish and subscribe a/#"));
        assert_eq!(set.rule_name(3), None);
    }
}

use std::sync::Arc;

use broker::Event;
use extension_host::Observed;

use crate::report::{action_name, cause_name};

/// An event in the words of the contract: `wit/README.md` lists kinds and details.
#[derive(Debug)]
pub(super) struct Told {
    at_ms: u64,
    client_id: Arc<str>,
    principal: Arc<str>,
    kind: &'static str,
    details: Vec<(&'static str, String)>,
}

impl Told {
    pub(super) fn of(event: &Event) -> Self {
        let flag = |is: bool| if is { "true" } else { "false" }.to_owned();
        let (client_id, principal, kind, details) = match event {
            Event::Connected { client_id, principal, session_present, durable } => (
                client_id,
                principal,
                "connected",
                vec![("session-present", flag(*session_present)), ("durable", flag(*durable))],
            ),
            Event::Disconnected { client_id, principal, closing } => (
                client_id,
                principal,
                "disconnected",
                vec![("code", closing.code.as_u8().to_string()), ("reason", closing.why.clone())],
            ),
            Event::SessionExpired { client_id, principal, messages } => {
                (client_id, principal, "session-ended", vec![("messages", messages.to_string())])
            }
            Event::Subscribed { client_id, principal, filter, qos } => (
                client_id,
                principal,
                "subscribed",
                vec![("filter", filter.as_str().to_owned()), ("qos", qos.as_u8().to_string())],
            ),
            Event::Unsubscribed { client_id, principal, filter } => {
                (client_id, principal, "unsubscribed", vec![("filter", filter.as_str().to_owned())])
            }
            Event::Denied { client_id, principal, action, topic, decision, .. } => (
                client_id,
                principal,
                "denied",
                vec![
                    ("action", action_name(*action).to_owned()),
                    ("topic", (**topic).to_owned()),
                    ("reason", decision.why.clone()),
                ],
            ),
            Event::Dropped { client_id, principal, cause } => {
                (client_id, principal, "dropped", vec![("cause", cause_name(*cause).to_owned())])
            }
            Event::Reauthenticated { client_id, principal } => {
                (client_id, principal, "authenticated-again", Vec::new())
            }
            Event::PermissionsReplaced { client_id, principal } => {
                (client_id, principal, "permissions-replaced", Vec::new())
            }
        };
        let (client_id, principal) = (Arc::clone(client_id), Arc::clone(principal));
        Self { at_ms: now_ms(), client_id, principal, kind, details }
    }

    pub(super) fn observed(&self) -> Observed<'_> {
        let details = self.details.iter().map(|(name, value)| (*name, value.as_str()));
        Observed {
            at_ms: self.at_ms,
            client_id: &self.client_id,
            // Of a session that was found on disk it is known, of one without it is empty.
            principal: Some(&*self.principal).filter(|principal| !principal.is_empty()),
            kind: self.kind,
            details: details.collect(),
        }
    }

    /// About how much of a guest's memory it takes.
    pub(super) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 128;
        let details =
            self.details.iter().map(|(name, value)| OVERHEAD / 8 + name.len() + value.len());
        OVERHEAD + self.client_id.len() + self.principal.len() + details.sum::<usize>()
    }
}

fn now_ms() -> u64 {
    crate::clock::wall_ms()
}

#[cfg(test)]
mod tests {
    use broker::{Action, Closing, DropCause};
    use mqtt::{QoS, ReasonCode, TopicFilterBuf};

    use super::*;

    fn line(event: &Event) -> String {
        let told = Told::of(event);
        let Observed { client_id, principal, kind, details, at_ms } = told.observed();
        assert!(at_ms > 1_700_000_000_000, "{at_ms}");
        assert!(told.bytes() > kind.len());
        let details: Vec<_> =
            details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{client_id} {} {kind} {}", principal.unwrap_or("-"), details.join(" "))
    }

    #[test]
    fn each_event_has_its_kind_and_details() {
        let client_id: Arc<str> = "c1".into();
        let principal: Arc<str> = "p1".into();
        let filter = TopicFilterBuf::new("$share/g/a/#").unwrap();
        macro_rules! event {
            ($kind:ident $({ $($field:ident: $value:expr),* })?) => {
                line(&Event::$kind {
                    client_id: client_id.clone(), principal: principal.clone(), $($($field: $value),*)?
                })
            };
        }
        let closing = Closing::new(ReasonCode::ServerBusy, "too much");
        let (topic, decision) = ("a/b".into(), "acl@1: line 7".into());
        assert_eq!(
            [
                event!(Connected { session_present: true, durable: false }),
                event!(Disconnected { closing: closing }),
                event!(SessionExpired { messages: 3 }),
                event!(Subscribed { filter: filter.clone(), qos: QoS::AtLeastOnce }),
                event!(Unsubscribed { filter: filter }),
                event!(Denied {
                    action: Action::Publish,
                    topic: topic,
                    code: None,
                    decision: decision
                }),
                event!(Dropped { cause: DropCause::Expired }),
                event!(Reauthenticated),
                event!(PermissionsReplaced),
            ],
            [
                "c1 p1 connected session-present=true durable=false",
                "c1 p1 disconnected code=137 reason=too much",
                "c1 p1 session-ended messages=3",
                "c1 p1 subscribed filter=$share/g/a/# qos=1",
                "c1 p1 unsubscribed filter=$share/g/a/#",
                "c1 p1 denied action=publish topic=a/b reason=acl@1: line 7",
                "c1 p1 dropped cause=expired",
                "c1 p1 authenticated-again ",
                "c1 p1 permissions-replaced ",
            ]
        );
    }
}

use std::sync::Arc;

use auth::Decision;
use mqtt::{Publish, ReasonCode, TopicName};
use session::Timestamp;

use crate::{Action, Answer, Broker, Closing, Flow, Question, Verdict};

/// The first level of the topics by which a client gives the gateway orders.
const ROOT: &str = "$CONTROL/";

/// Disconnects the client that the payload names.
const DISCONNECT: &str = "$CONTROL/broker/disconnect";

/// Orders: publishes that the gateway carries out and that nobody receives.
///
/// Only a rule that names the topic gives the right to them, or an extension that was asked about
/// it; that everything else is allowed does not.
impl Broker {
    /// Carries out an order.
    pub(crate) fn control(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let Some(client) = self.clients.get(session as usize) else { return Flow::Closed };
        let by = Arc::clone(&client.identity.principal);
        let decision = client.permissions.as_ref().map(|set| {
            (set.check_control(&client.identity, &topic, publish.qos, publish.retain), set)
        });
        let denial = match (decision, answer) {
            (Some((Decision::Allow { .. }, _)), _) => None,
            (
                Some((Decision::Ask, _)),
                None | Some(Answer::Subscribe(_) | Answer::Authenticate(_) | Answer::Intercept(_)),
            ) => {
                return Flow::Ask(Question::Publish {
                    topic: topic.as_str().into(),
                    qos: publish.qos,
                    retain: publish.retain,
                    payload_len: publish.payload.len(),
                });
            }
            (Some((Decision::Ask, _)), Some(Answer::Publish(ruling))) => match ruling.verdict {
                Verdict::Allow => None,
                Verdict::Deny { code, why } => Some((code, why)),
            },
            (Some((Decision::Deny(reason), set)), _) => {
                Some((ReasonCode::NotAuthorized, set.explain(reason).into()))
            }
            (None, _) => Some((ReasonCode::NotAuthorized, "no permissions are known".into())),
        };
        if let Some((code, why)) = denial {
            self.denied(session, Action::Publish, &topic, Some(code), why);
            self.answer(session, publish, code);
            return Flow::Continue;
        }
        if topic.as_str() != DISCONNECT {
            self.answer(session, publish, ReasonCode::TopicNameInvalid);
            return Flow::Continue;
        }
        let named = std::str::from_utf8(publish.payload).ok();
        let named = named.and_then(|client_id| self.by_client_id.get(client_id)).copied();
        let online = |session: &u32| {
            self.clients.get(*session as usize).is_some_and(|client| client.online.is_some())
        };
        let named = named.filter(online);
        let code = named.map_or(ReasonCode::NoMatchingSubscribers, |_| ReasonCode::Success);
        self.answer(session, publish, code);
        if let Some(named) = named {
            let why = format!("{by:?} had the client disconnected ({DISCONNECT})");
            self.close(now, named, Closing::new(ReasonCode::AdministrativeAction, why));
        }
        Flow::Continue
    }
}

/// Whether a publish to `topic` is an order.
pub(crate) fn is_order(topic: TopicName<'_>) -> bool {
    topic.starts_with(ROOT)
}

use auth::{Decision, Identity};
use mqtt::{PacketKind, Publish, ReasonCode};
use session::{Message, Timestamp};

use crate::client::Will;
use crate::{Action, Admission, Admitted, Broker, Closing, Draft, Interception, Question, Verdict};

/// Wills (MQTT 5, 3.1.2.5), when they are left.
impl Broker {
    pub(crate) fn check_will(
        &self,
        admission: &Admission<'_>,
        identity: &Identity,
    ) -> Result<(), Admitted> {
        let Some(will) = &admission.connect.will else { return Ok(()) };
        let topic = will.topic.as_str();
        if crate::system::is_reserved(topic) {
            return Err(will_refused(ReasonCode::NotAuthorized, topic, crate::system::RESERVED));
        }
        let (code, why) =
            match admission.permissions.check_publish(identity, topic, will.qos, will.retain) {
                Decision::Allow { .. } => return Ok(()),
                Decision::Deny(reason) => {
                    (ReasonCode::NotAuthorized, admission.permissions.explain(reason))
                }
                Decision::Ask => match &admission.will_verdict {
                    Some(Verdict::Allow) => return Ok(()),
                    Some(Verdict::Deny { code, why }) => (*code, why.why.clone()),
                    None => {
                        return Err(Admitted::Ask(Question::Publish {
                            topic: topic.into(),
                            qos: will.qos,
                            retain: will.retain,
                            payload_len: will.payload.len(),
                        }));
                    }
                },
            };
        Err(will_refused(code, topic, &why))
    }

    /// The will that the client leaves, once interceptors have seen it: it is what they would see when it is published, and
    /// whoever it is refused to hears of it now.
    pub(crate) fn intercept_will(
        &self,
        now: Timestamp,
        admission: &Admission<'_>,
        made: Option<Interception>,
    ) -> Result<Option<Will>, Admitted> {
        let Some(stated) = &admission.connect.will else { return Ok(None) };
        if made.is_none() && !self.wants_publish(admission.listener, stated.topic) {
            return Ok(Some(will(stated)));
        }
        let topic = stated.topic.as_str();
        let failed =
            |why: String| Err(will_refused(ReasonCode::ImplementationSpecificError, topic, &why));
        match made {
            None => Err(Admitted::Ask(Question::Intercept(Box::new(draft(stated))))),
            Some(Interception::Pass) => Ok(Some(will(stated))),
            Some(Interception::Discard) => Ok(None),
            Some(Interception::Refuse { code, why }) => Err(will_refused(code, topic, &why)),
            Some(Interception::Replace(drafts)) => {
                let count = drafts.len();
                let Ok([draft]) = <[Draft; 1]>::try_from(drafts) else {
                    return failed(format!("an interceptor made {count} messages of a will"));
                };
                if let Err(why) = self.check_draft(&draft) {
                    return failed(format!("what an interceptor made of it cannot be left: {why}"));
                }
                let expiry = draft.expiry_seconds;
                let message = Message { expires: None, ..draft.into_message(now) };
                Ok(Some(Will { message, delay: stated.delay, expiry }))
            }
        }
    }

    /// Whether a client is to be told of a will that its extension should be asked about.
    pub(crate) fn will_denied(&mut self, session: u32, topic: &str, decision: String) {
        self.denied(session, Action::Will, topic, None, decision);
    }
}

/// `code` is one for the answer to a PUBLISH, which CONNACK may not know.
fn will_refused(code: ReasonCode, topic: &str, why: &str) -> Admitted {
    let why = format!("the will may not be published to {topic:?}: {why}");
    let code = Some(code).filter(|code| PacketKind::ConnAck.allows(*code));
    Admitted::Refused(Closing::new(code.unwrap_or(ReasonCode::NotAuthorized), why))
}

/// A will as interceptors are shown it.
fn draft(will: &mqtt::Will<'_>) -> Draft {
    let publish = Publish {
        qos: will.qos,
        retain: will.retain,
        message_expiry: will.message_expiry,
        properties: will.properties,
        ..Publish::new(will.topic, will.payload)
    };
    Draft::of(&publish, will.topic)
}

/// What a client leaves behind for the case that it vanishes.
fn will(will: &mqtt::Will<'_>) -> Will {
    let mut properties = Vec::with_capacity(will.properties.wire_len());
    will.properties.write_to(&mut properties);
    Will {
        message: Message {
            topic: will.topic.to_owned(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            properties: properties.into_boxed_slice(),
            expires: None,
        },
        delay: will.delay,
        expiry: will.message_expiry,
    }
}

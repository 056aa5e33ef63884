use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, Identity, PermissionSet};
use broker::{Action, Answer, Question, Requested};
use extension_host::{Connecting, Extension, Publication, SubscriptionRequest, Validity};
use mqtt::TopicFilter;

use crate::chain::Standing;
use crate::decisions::Asked;
use crate::judge::Shape;
use crate::verdict::{failed, publish_verdict, verdict};

/// Whom the questions are about, and who answers them.
pub(crate) struct Case {
    pub(crate) authority: Extension,
    pub(crate) permissions: Arc<PermissionSet>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) connecting: Arc<Connecting>,
}

impl Case {
    pub(crate) fn of(standing: &Standing, connecting: &Arc<Connecting>) -> Option<Arc<Self>> {
        let asks = standing.permissions.permissions().fallback == Fallback::Ask;
        let authority = standing.authority.as_ref().filter(|_| asks)?;
        Some(Arc::new(Self {
            authority: authority.clone(),
            permissions: Arc::clone(&standing.permissions),
            identity: Arc::clone(&standing.identity),
            connecting: Arc::clone(connecting),
        }))
    }

    pub(crate) fn answer(&self, question: &Question) -> Answered {
        match question {
            Question::Publish { topic, qos, retain, payload_len } => {
                let publication = Publication {
                    topic,
                    qos: *qos,
                    retain: *retain,
                    payload_len: u32::try_from(*payload_len).unwrap_or(u32::MAX),
                };
                let answer = self.authority.authorize_publish(
                    &self.identity,
                    &self.connecting,
                    &publication,
                );
                self.log(&answer.by, "publish", topic, answer.took);
                let (by, took) = (answer.by, answer.took);
                let (verdict, validity) = publish_verdict(&by, took, answer.result);
                Answered { answer: Answer::Publish(verdict.into()), validity, by, took }
            }
            Question::Subscribe(requested) => self.subscribe(requested),
            Question::Authenticate { .. } | Question::Intercept(_) => Answered {
                answer: Shape::of(question).denied("it is no such question"),
                validity: None,
                by: self.authority.name().into(),
                took: Duration::ZERO,
            },
        }
    }

    fn subscribe(&self, requested: &[Requested]) -> Answered {
        let entries: Result<Vec<_>, _> = requested
            .iter()
            .map(|entry| {
                TopicFilter::new(&entry.filter).map(|filter| SubscriptionRequest {
                    filter: filter.matcher(),
                    share_group: filter.share_group(),
                    qos: entry.qos,
                })
            })
            .collect();
        let all = |by: &Arc<str>, took, why: &str| {
            requested.iter().map(|_| failed(by, took, why)).collect()
        };
        let answered = |verdicts, by: Arc<str>, took| Answered {
            answer: Answer::Subscribe(verdicts),
            validity: None,
            by,
            took,
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let (by, took) = (self.authority.name().into(), Duration::ZERO);
                return answered(all(&by, took, &error.to_string()), by, took);
            }
        };
        let answer = self.authority.authorize_subscribe(&self.identity, &self.connecting, &entries);
        for entry in requested {
            self.log(&answer.by, "subscribe", &entry.filter, answer.took);
        }
        let (by, took) = (answer.by, answer.took);
        let verdicts = match answer.result {
            Ok(verdicts) => verdicts.into_iter().map(|given| verdict(&by, took, given).0).collect(),
            Err(failure) => all(&by, took, &failure.to_string()),
        };
        answered(verdicts, by, took)
    }

    /// What is written of a question that was answered with yes.
    pub(crate) fn asked<'a>(
        &'a self,
        action: Action,
        topic: &'a str,
        version: &'a str,
        took: Duration,
    ) -> Asked<'a> {
        Asked {
            client_id: &self.identity.client_id,
            principal: &self.identity.principal,
            listener: &self.connecting.listener,
            action,
            topic,
            version,
            took,
        }
    }

    /// A denial is reported by the broker; this says what the question cost.
    fn log(&self, by: &str, action: &str, topic: &str, took: Duration) {
        tracing::debug!(
            client = &*self.identity.client_id,
            principal = &*self.identity.principal,
            extension = by,
            action,
            topic,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "extension asked"
        );
    }
}

/// An answer, and for what else it holds.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) validity: Option<Validity>,
    /// The version that answered.
    pub(crate) by: Arc<str>,
    pub(crate) took: Duration,
}

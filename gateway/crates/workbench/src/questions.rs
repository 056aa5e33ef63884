//! What a client that is in wants to do, and the answer that it gets.

use std::sync::Arc;

use auth::{Decision, PermissionSet};
use config::fixture::{Ask, By, Opinion, Step, What};
use extension_host::{Failure, Publication, SubscriptionRequest, Verdict};
use mqtt::{QoS, TopicFilter};

use crate::arrival::Arrival;
use crate::visit::{Exchanged, Standing, Visit};

/// Reason code of a denial that no extension chose.
const NOT_AUTHORIZED: u8 = 0x87;
/// Reason code where the extension gave no answer.
const IMPLEMENTATION_SPECIFIC_ERROR: u8 = 0x83;

/// An answer, as a fixture speaks of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) opinion: Opinion,
    /// Of a denial or refusal.
    pub(crate) code: u8,
    pub(crate) reason: String,
    pub(crate) by: By,
    /// Of a subscription that is allowed.
    pub(crate) granted_qos: Option<QoS>,
    /// What takes the place of a message, each as a line of what is different in it.
    pub(crate) becomes: Vec<String>,
}

impl Answer {
    fn plain(opinion: Opinion, by: By) -> Self {
        let (reason, becomes) = (String::new(), Vec::new());
        Self { opinion, code: 0, reason, by, granted_qos: None, becomes }
    }

    fn allow(by: By, granted_qos: Option<QoS>) -> Self {
        Self { granted_qos, ..Self::plain(Opinion::Allow, by) }
    }

    fn deny(by: By, code: u8, reason: String) -> Self {
        Self { code, reason, ..Self::plain(Opinion::Deny, by) }
    }

    /// No answer.
    pub(crate) fn fail(failure: &Failure) -> Self {
        Self::broken(failure.to_string())
    }

    /// An answer that does not count.
    pub(crate) fn broken(reason: String) -> Self {
        let code = IMPLEMENTATION_SPECIFIC_ERROR;
        Self { code, reason, ..Self::plain(Opinion::Fail, By::Hook) }
    }

    /// What becomes of a message, or that events were heard.
    pub(crate) fn treated(opinion: Opinion) -> Self {
        Self::plain(opinion, By::Hook)
    }

    /// A message that the operator does not show the extension.
    pub(crate) fn not_shown() -> Self {
        Self::plain(Opinion::Pass, By::Rules)
    }

    pub(crate) fn refused(code: u8, reason: String) -> Self {
        Self { code, reason, ..Self::plain(Opinion::Refuse, By::Hook) }
    }

    pub(crate) fn replaced(becomes: Vec<String>) -> Self {
        Self { becomes, ..Self::plain(Opinion::Replace, By::Hook) }
    }

    /// What an extension said of what its set leaves open.
    fn of(verdict: Verdict, granted_qos: Option<QoS>) -> Self {
        match verdict {
            Verdict::Allow { .. } => Self::allow(By::Hook, granted_qos),
            Verdict::Deny { code, reason, .. } => {
                Self::deny(By::Hook, code.as_u8(), reason.unwrap_or_default())
            }
            Verdict::Abstain => {
                Self::deny(By::Hook, NOT_AUTHORIZED, "the extension abstained".to_owned())
            }
        }
    }

    /// What a permission set says; none where it has the extension asked.
    fn by_rules(set: &PermissionSet, decision: Decision, subscribes: bool) -> Option<Self> {
        match decision {
            Decision::Allow { max_qos } => {
                Some(Self::allow(By::Rules, subscribes.then_some(max_qos)))
            }
            Decision::Deny(reason) => {
                Some(Self::deny(By::Rules, NOT_AUTHORIZED, set.explain(reason)))
            }
            Decision::Ask => None,
        }
    }
}

impl Visit<'_> {
    /// Answers, for each filter of a SUBSCRIBE in its order. Nothing where the client is not in.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Vec<Answer> {
        if let What::Authenticate { data, steps } = &ask.what {
            return self.authenticate(data.as_deref(), steps).into_iter().collect();
        }
        let Some(standing) = &self.standing else { return Vec::new() };
        let Standing { identity, permissions } = standing;
        match &ask.what {
            What::Publish { topic, qos, retain, payload_bytes } => {
                let decision = permissions.check_publish(identity, topic, *qos, *retain);
                let native = Answer::by_rules(permissions, decision, false);
                let (qos, retain, payload_len) = (*qos, *retain, *payload_bytes);
                let what = Publication { topic, qos, retain, payload_len };
                vec![native.unwrap_or_else(|| self.publish(standing, &what))]
            }
            What::Subscribe { filters, qos } => self.subscribe(standing, filters, *qos),
            What::Deliver { topic } => {
                let decision = permissions.check_delivery(identity, topic);
                Answer::by_rules(permissions, decision, false).into_iter().collect()
            }
            What::InterceptPublish(message) => vec![self.intercept_publish(standing, message)],
            What::InterceptDelivery(message) => vec![self.intercept_delivery(standing, message)],
            What::Authenticate { .. } | What::Observe { .. } | What::Reconfigure(_) => Vec::new(),
        }
    }

    fn publish(&self, standing: &Standing, what: &Publication<'_>) -> Answer {
        let result =
            self.extension.authorize_publish(&standing.identity, &self.connecting, what).result;
        match result {
            Ok(verdict) => Answer::of(verdict, None),
            Err(failure) => Answer::fail(&failure),
        }
    }

    /// The filters that the set leaves open go to the extension together, as those of one packet do.
    fn subscribe(&self, standing: &Standing, filters: &[String], qos: QoS) -> Vec<Answer> {
        let Standing { identity, permissions } = standing;
        let filters: Vec<_> =
            filters.iter().filter_map(|filter| TopicFilter::new(filter).ok()).collect();
        let native: Vec<_> = filters
            .iter()
            .map(|filter| {
                let decision = permissions.check_subscribe(identity, *filter, qos);
                Answer::by_rules(permissions, decision, true)
            })
            .collect();
        let open = filters.iter().zip(&native).filter(|(_, answer)| answer.is_none());
        let open: Vec<_> = open
            .map(|(filter, _)| SubscriptionRequest {
                filter: filter.matcher(),
                share_group: filter.share_group(),
                qos,
            })
            .collect();
        let mut asked = if open.is_empty() {
            Vec::new()
        } else {
            match self.extension.authorize_subscribe(identity, &self.connecting, &open).result {
                Ok(verdicts) => verdicts.into_iter().map(|v| Answer::of(v, Some(qos))).collect(),
                Err(failure) => open.iter().map(|_| Answer::fail(&failure)).collect(),
            }
        }
        .into_iter();
        native.into_iter().filter_map(|answer| answer.or_else(|| asked.next())).collect()
    }

    /// Has a client that is in prove again who it is; what it may do is then what comes of that.
    fn authenticate(&mut self, data: Option<&[u8]>, steps: &[Step]) -> Option<Answer> {
        let who = Arc::clone(&self.standing.as_ref()?.identity);
        let denied = |code, reason| Some(Answer::deny(By::Hook, code, reason));
        let arrival = match self.exchange(data, steps, Some(&who)) {
            Exchanged::Accepted { grant, .. } if grant.principal != who.principal => {
                let why = format!("the client is \"{}\" now", grant.principal);
                return denied(NOT_AUTHORIZED, why);
            }
            Exchanged::Accepted { grant, data } => self.conclude(grant, data),
            Exchanged::Otherwise(arrival) => arrival,
        };
        match arrival {
            Arrival::Accepted { .. } => Some(Answer::allow(By::Hook, None)),
            Arrival::Rejected { code, reason } => denied(code, reason.unwrap_or_default()),
            Arrival::Failed(why) => {
                let answer = Answer::deny(By::Hook, NOT_AUTHORIZED, why);
                Some(Answer { opinion: Opinion::Fail, ..answer })
            }
            other => denied(NOT_AUTHORIZED, other.to_string()),
        }
    }
}

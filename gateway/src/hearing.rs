use std::time::{Duration, Instant};

use auth::Decision;
use broker::{Action, Ruling, Verdict};
use extension_host::{Publication, Sitting};
use mqtt::Publish;

use crate::case::Case;
use crate::decisions::Decisions;
use crate::memory::Memory;
use crate::verdict::publish_verdict;

/// What can be said of a publish before the broker has seen it.
pub(crate) enum Foreseen {
    Ruling(Ruling),
    /// The permission set decides.
    NoQuestion,
    /// The broker is to ask, if it has to.
    Unknown,
}

/// The publishes of one batch before the extension, with one instance for all of them.
pub(crate) struct Hearing<'a> {
    case: &'a Case,
    memory: &'a Memory,
    now: Instant,
    /// Asked for when the first question comes; `Some(None)` if there is none to be had.
    sitting: Option<Option<Sitting>>,
    questions: usize,
    /// Where decisions are written, if that is wanted; otherwise nobody wants to know the time of one either.
    decisions: Option<&'a Decisions>,
}

impl<'a> Hearing<'a> {
    pub(crate) fn new(
        case: &'a Case,
        memory: &'a Memory,
        decisions: Option<&'a Decisions>,
    ) -> Self {
        Self { case, memory, now: Instant::now(), sitting: None, questions: 0, decisions }
    }

    /// The verdict about a publish that the set leaves open, if it takes no waiting. A repeat is left to the broker,
    /// which may know it, and so is an alias, whose topic the broker knows.
    pub(crate) fn ruling(&mut self, publish: &Publish<'_>) -> Foreseen {
        let Some(topic) = publish.topic.filter(|_| !publish.dup) else { return Foreseen::Unknown };
        let Case { permissions, identity, .. } = self.case;
        let (topic, qos, retain) = (topic.as_str(), publish.qos, publish.retain);
        if permissions.check_publish(identity, topic, qos, retain) != Decision::Ask {
            return Foreseen::NoQuestion;
        }
        self.asked(publish, topic).map_or(Foreseen::Unknown, Foreseen::Ruling)
    }

    fn asked(&mut self, publish: &Publish<'_>, topic: &str) -> Option<Ruling> {
        let Case { authority, identity, connecting, .. } = self.case;
        let (qos, retain) = (publish.qos, publish.retain);
        if let Some(ruling) = self.memory.recall(topic, qos, retain, self.now) {
            return Some(ruling);
        }
        let sitting = self.sitting.get_or_insert_with(|| authority.sit(identity, connecting));
        let sitting = sitting.as_mut().filter(|sitting| self.questions < sitting.questions())?;
        self.questions += 1;
        let payload_len = u32::try_from(publish.payload.len()).unwrap_or(u32::MAX);
        let began = self.decisions.map(|_| Instant::now());
        let result = sitting.authorize_publish(&Publication { topic, qos, retain, payload_len })?;
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        let (verdict, validity) = publish_verdict(sitting.by(), took, result);
        if let (Some(decisions), Verdict::Allow) = (self.decisions, &verdict) {
            decisions.asked(&self.case.asked(Action::Publish, topic, sitting.by(), took));
        }
        Some(match validity {
            Some(validity) => self.memory.remember(topic, qos, retain, verdict, validity, self.now),
            None => verdict.into(),
        })
    }
}

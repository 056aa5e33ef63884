use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::Decision;
use broker::{Action, Ruling, Verdict};
use extension_host::{Failure, Publication, Sitting, Verdicts};
use mqtt::Publish;

use crate::case::Case;
use crate::decisions::Decisions;
use crate::foresight::Foresight;
use crate::memory::Memory;
use crate::verdict::publish_verdict;

/// Questions that are put in one call at most (`wit/gateway.wit`).
const TOGETHER_MAX: usize = 64;

/// The publishes of one batch before the extension, with one instance for all of them.
pub(crate) struct Hearing<'a, 'p> {
    case: &'a Case,
    memory: &'a Memory,
    foresight: &'a mut Foresight,
    now: Instant,
    /// Asked for when the first question comes; `Some(None)` if there is none to be had.
    sitting: Option<Option<Sitting<'a>>>,
    questions: usize,
    /// Whether anything is remembered of the client that could answer.
    remembers: bool,
    /// Publishes that are to be asked about in one call.
    gathered: Vec<Publication<'p>>,
    /// Where their packets begin.
    places: Vec<usize>,
    /// What is known of publishes behind the first of those.
    behind: Vec<(usize, Ruling)>,
    /// Where decisions are written, if that is wanted; otherwise nobody wants to know the time of one either.
    decisions: Option<&'a Decisions>,
}

impl<'a, 'p> Hearing<'a, 'p> {
    /// What is said goes to `foresight`.
    pub(crate) fn new(
        case: &'a Case,
        memory: &'a Memory,
        foresight: &'a mut Foresight,
        decisions: Option<&'a Decisions>,
    ) -> Self {
        Self {
            case,
            memory,
            foresight,
            now: Instant::now(),
            sitting: None,
            questions: 0,
            remembers: !memory.is_empty(),
            gathered: Vec::new(),
            places: Vec::new(),
            behind: Vec::new(),
            decisions,
        }
    }

    /// Whether the question about the first packet has been answered.
    pub(crate) fn is_begun(&self) -> bool {
        self.foresight.is_answered()
    }

    /// Hears a publish whose packet begins at `at`, behind those before. False if the broker is to ask about it, if it has to: it may
    /// take waiting. A repeat is left to the broker, which may know it, and so is an alias, whose topic the broker knows.
    pub(crate) fn hear(&mut self, at: usize, publish: &Publish<'p>) -> bool {
        let Some(topic) = publish.topic.filter(|_| !publish.dup) else { return false };
        let Case { permissions, identity, authority, connecting } = self.case;
        let (topic, qos, retain) = (topic.as_str(), publish.qos, publish.retain);
        if permissions.check_publish(identity, topic, qos, retain) != Decision::Ask {
            return true;
        }
        if self.remembers
            && let Some(ruling) = self.memory.recall(topic, qos, retain, self.now)
        {
            self.rule(at, ruling);
            return true;
        }
        let sitting = self.sitting.get_or_insert_with(|| authority.sit(identity, connecting));
        let Some(sitting) = sitting else { return false };
        if self.questions >= sitting.questions() {
            return false;
        }
        self.questions += 1;
        let payload_len = u32::try_from(publish.payload.len()).unwrap_or(u32::MAX);
        let what = Publication { topic, qos, retain, payload_len };
        if sitting.takes_batches() {
            self.gathered.push(what);
            self.places.push(at);
            return self.gathered.len() < TOGETHER_MAX || self.put();
        }
        let began = self.decisions.map(|_| Instant::now());
        let Some(result) = sitting.authorize_publish(&what) else { return false };
        let by = Arc::clone(sitting.by());
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        let ruling = self.judged(&what, result, &by, took);
        self.foresight.note(at, ruling);
        true
    }

    /// Puts what was gathered and not asked yet.
    pub(crate) fn conclude(mut self) {
        self.put();
    }

    fn rule(&mut self, at: usize, ruling: Ruling) {
        match self.gathered.is_empty() {
            true => self.foresight.note(at, ruling),
            false => self.behind.push((at, ruling)),
        }
    }

    /// Asks about what was gathered, in one call. False if the answer takes waiting: nothing behind the first question is foreseen
    /// then.
    fn put(&mut self) -> bool {
        let behind = std::mem::take(&mut self.behind);
        if self.gathered.is_empty() {
            return true;
        }
        let Some(Some(sitting)) = &mut self.sitting else { return false };
        let began = self.decisions.map(|_| Instant::now());
        let Some(answers) = sitting.authorize_publishes(&self.gathered) else {
            self.gathered.clear();
            return false;
        };
        if let (Ok(Verdicts::AllAllowed), None, true) =
            (&answers, self.decisions, behind.is_empty())
        {
            self.places.drain(..).for_each(|at| self.foresight.note(at, Verdict::Allow.into()));
            self.gathered.clear();
            return true;
        }
        let questions = u32::try_from(self.gathered.len()).unwrap_or(u32::MAX);
        let took =
            began.and_then(|began| began.elapsed().checked_div(questions)).unwrap_or_default();
        let by = Arc::clone(sitting.by());
        let mut answers = Said::of(answers);
        let mut behind = behind.into_iter().peekable();
        let gathered = std::mem::take(&mut self.gathered);
        for (what, at) in gathered.iter().zip(std::mem::take(&mut self.places)) {
            while let Some((at, ruling)) = behind.next_if(|(other, _)| *other < at) {
                self.foresight.note(at, ruling);
            }
            let Some(answer) = answers.next() else { break };
            let ruling = self.judged(what, answer, &by, took);
            self.foresight.note(at, ruling);
        }
        behind.for_each(|(at, ruling)| self.foresight.note(at, ruling));
        true
    }

    /// What an answer is for the broker, and for what comes later.
    fn judged(
        &mut self,
        what: &Publication<'_>,
        result: Result<extension_host::Verdict, Failure>,
        by: &Arc<str>,
        took: Duration,
    ) -> Ruling {
        let (verdict, validity) = publish_verdict(by, took, result);
        if let (Some(decisions), Verdict::Allow) = (self.decisions, &verdict) {
            decisions.asked(&self.case.asked(Action::Publish, what.topic, by, took));
        }
        let Publication { topic, qos, retain, .. } = *what;
        match validity {
            Some(validity) => {
                self.remembers = true;
                self.memory.remember(topic, qos, retain, verdict, validity, self.now)
            }
            None => verdict.into(),
        }
    }
}

/// What was said about each of several publishes.
enum Said {
    /// The same of each: also a failure of the call is one of each question.
    Alike(Result<extension_host::Verdict, Failure>),
    Each(std::vec::IntoIter<extension_host::Verdict>),
}

impl Said {
    fn of(answers: Result<Verdicts, Failure>) -> Self {
        match answers {
            Ok(Verdicts::Each(verdicts)) => Self::Each(verdicts.into_iter()),
            Ok(Verdicts::AllAllowed) => {
                Self::Alike(Ok(extension_host::Verdict::Allow { reason: None, validity: None }))
            }
            Err(failure) => Self::Alike(Err(failure)),
        }
    }

    fn next(&mut self) -> Option<Result<extension_host::Verdict, Failure>> {
        match self {
            Self::Alike(said) => Some(said.clone()),
            Self::Each(verdicts) => verdicts.next().map(Ok),
        }
    }
}

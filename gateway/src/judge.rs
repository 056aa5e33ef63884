use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::{Decision, Fallback, Identity, PermissionSet};
use broker::{Action, Answer, Authentication, Question, Requested, Ruling, Verdict};
use extension_host::{
    Connecting, Extension, Failure, Publication, Sitting, SubscriptionRequest, Validity,
};
use mqtt::{Decoded, Decoder, Packet, Publish, ReasonCode, TopicFilter};
use tokio::sync::Semaphore;

use crate::chain::Standing;
use crate::decisions::{Asked, Decisions};
use crate::foresight::Foresight;
use crate::hub::Next;
use crate::memory::Memory;
use crate::reauthentication::Reauthentication;

/// Questions of connected clients that extensions may be answering together. They have their own
/// places: clients that are in do not wait for strangers that want to be.
pub(crate) const QUESTIONS_MAX: usize = 32;

/// After a question the broker is expected to have some about so many batches, and they are answered before it asks.
/// Then it is seen whether it still asks: it may remember what it was told.
const EXPECTED_BATCHES: u8 = 16;

/// Answers what a client's permission set leaves to the extension that gave it.
pub(crate) struct Judge {
    bench: Arc<Semaphore>,
    /// `None` where the permission set decides everything by itself.
    case: Option<Arc<Case>>,
    /// `None` for a client that cannot authenticate again.
    again: Option<Box<Reauthentication>>,
    /// Verdicts that need not be asked for again.
    memory: Memory,
    /// For how many batches more the broker is expected to have questions.
    expects: u8,
    /// The broker remembers what does not hold any more.
    outdated: bool,
    /// Where it is written what an extension allowed, if that is wanted.
    decisions: Option<Arc<Decisions>>,
}

/// Whom the questions are about, and who answers them.
struct Case {
    authority: Extension,
    permissions: Arc<PermissionSet>,
    identity: Arc<Identity>,
    connecting: Arc<Connecting>,
}

/// The places for questions, shared by all connections.
pub(crate) fn bench() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(QUESTIONS_MAX))
}

impl Judge {
    pub(crate) fn new(
        bench: Arc<Semaphore>,
        standing: &Standing,
        connecting: &Arc<Connecting>,
        again: Option<Box<Reauthentication>>,
    ) -> Self {
        let case = Case::of(standing, connecting);
        Self {
            bench,
            case,
            again,
            memory: Memory::default(),
            expects: 0,
            outdated: false,
            decisions: None,
        }
    }

    /// The same, which writes down what extensions allow, if anybody wants to read it.
    pub(crate) fn telling(mut self, decisions: Option<&Arc<Decisions>>) -> Self {
        self.decisions = decisions.filter(|decisions| decisions.wants_allowed()).map(Arc::clone);
        self
    }

    /// Writes down what an extension allowed.
    fn tell(&self, question: &Question, answered: &Answered) {
        let (Some(decisions), Some(case)) = (&self.decisions, &self.case) else { return };
        let (action, topics, verdicts): (_, Vec<&str>, &[Verdict]) =
            match (question, &answered.answer) {
                (Question::Publish { topic, .. }, Answer::Publish(ruling)) => {
                    (Action::Publish, vec![&**topic], std::slice::from_ref(&ruling.verdict))
                }
                (Question::Subscribe(requested), Answer::Subscribe(verdicts)) => (
                    Action::Subscribe,
                    requested.iter().map(|entry| &*entry.filter).collect(),
                    verdicts,
                ),
                _ => return,
            };
        for (topic, _) in topics.into_iter().zip(verdicts).filter(|(_, v)| **v == Verdict::Allow) {
            decisions.asked(&case.asked(action, topic, &answered.by, answered.took));
        }
    }

    /// One that foresees nothing.
    #[cfg(test)]
    pub(crate) fn without_case() -> Self {
        Self {
            bench: bench(),
            case: None,
            again: None,
            memory: Memory::default(),
            expects: 0,
            outdated: false,
            decisions: None,
        }
    }

    /// Has a question answered. Whatever is not a clear yes denies.
    pub(crate) async fn answer(&mut self, question: Question) -> Answer {
        if let Question::Authenticate { begins, data } = question {
            return Answer::Authenticate(self.authenticate(begins, data).await);
        }
        if let Some(ruling) = self.recall(&question) {
            return Answer::Publish(ruling);
        }
        let shape = Shape::of(&question);
        let Some(case) = self.case.clone() else {
            return shape.denied("no extension answers questions about this client");
        };
        let Ok(turn) = Arc::clone(&self.bench).acquire_owned().await else {
            return shape.denied("the gateway stops");
        };
        let job = tokio::task::spawn_blocking(move || {
            let answer = case.answer(&question);
            drop(turn);
            (answer, question)
        });
        match job.await {
            Ok((answered, question)) => {
                self.tell(&question, &answered);
                let Answered { answer, validity, .. } = answered;
                self.remember(&question, answer, validity)
            }
            Err(_) => shape.denied("the call of the extension did not end in order"),
        }
    }

    /// Before a batch: has the broker forget what does not hold any more, and answers ahead if it is likely to ask.
    pub(crate) fn prepare(&mut self, decoder: &Decoder, bytes: &[u8], foresight: &mut Foresight) {
        self.keep_up();
        if std::mem::take(&mut self.outdated) {
            foresight.revoke();
        }
        if self.expects > 0 {
            self.expects -= 1;
            self.foresee(decoder, bytes, foresight);
        }
    }

    /// Whether the question of the broker about the packet at the front of `rest` is answered without waiting.
    pub(crate) fn has_at_once(
        &mut self,
        next: &Next,
        decoder: &Decoder,
        rest: &[u8],
        foresight: &mut Foresight,
    ) -> bool {
        let Next::Ask(Question::Publish { .. }) = next else { return false };
        self.expects = EXPECTED_BATCHES;
        self.foresee(decoder, rest, foresight);
        foresight.begins_at_once()
    }

    /// Answers ahead about the publishes that `bytes` begin with, as far as that takes no waiting: what the
    /// extension said before still holds, or it answers at once. It ends with the first that the broker may have to ask
    /// about: what is behind that would have to be foreseen again.
    fn foresee(&mut self, decoder: &Decoder, bytes: &[u8], foresight: &mut Foresight) {
        let Some(case) = self.case.clone() else { return };
        let mut hearing = Hearing::new(&case, &mut self.memory, self.decisions.as_deref());
        let (mut decoder, mut at) = (decoder.clone(), 0);
        while let Ok(Decoded::Packet { packet, len }) =
            decoder.decode(bytes.get(at..).unwrap_or_default())
        {
            match packet {
                // The broker has asked about the first.
                Packet::Publish(_) if at == 0 && foresight.is_answered() => {}
                Packet::Publish(publish) => match hearing.ruling(&publish) {
                    Foreseen::Ruling(ruling) => foresight.note(at, ruling),
                    Foreseen::NoQuestion => {}
                    Foreseen::Unknown => break,
                },
                // The answers to what follows depend on what becomes of it.
                Packet::Auth(_) => break,
                _ => {}
            }
            at += len;
        }
    }

    /// Forgets what the extension would not say any more.
    fn keep_up(&mut self) {
        let Some(case) = &self.case else { return };
        self.outdated |= self.memory.keep_to(case.authority.revision());
    }

    fn recall(&mut self, question: &Question) -> Option<Ruling> {
        let Question::Publish { topic, qos, retain, .. } = question else { return None };
        self.keep_up();
        self.memory.recall(topic, *qos, *retain, Instant::now())
    }

    fn remember(
        &mut self,
        question: &Question,
        answer: Answer,
        validity: Option<Validity>,
    ) -> Answer {
        match (question, answer, validity) {
            (
                Question::Publish { topic, qos, retain, .. },
                Answer::Publish(ruling),
                Some(validity),
            ) => {
                let now = Instant::now();
                Answer::Publish(self.memory.remember(
                    topic,
                    *qos,
                    *retain,
                    ruling.verdict,
                    validity,
                    now,
                ))
            }
            (_, answer, _) => answer,
        }
    }

    /// Has a step of a re-authentication taken. From its end on, questions are about who the client is
    /// now, and for the extension that says so.
    async fn authenticate(&mut self, begins: bool, data: Option<Box<[u8]>>) -> Authentication {
        let Some(again) = &mut self.again else {
            let why = "the client did not come by an authentication method".to_owned();
            return Authentication::Refuse { code: ReasonCode::ProtocolError, why };
        };
        let (answer, standing) = again.step(begins, data, &self.bench).await;
        if let Some(standing) = standing {
            self.case = Case::of(&standing, again.connecting());
            // What was said of who it was says nothing of who it is.
            self.memory = Memory::default();
        }
        answer
    }
}

impl Case {
    fn of(standing: &Standing, connecting: &Arc<Connecting>) -> Option<Arc<Self>> {
        let asks = standing.permissions.permissions().fallback == Fallback::Ask;
        let authority = standing.authority.as_ref().filter(|_| asks)?;
        Some(Arc::new(Self {
            authority: authority.clone(),
            permissions: Arc::clone(&standing.permissions),
            identity: Arc::clone(&standing.identity),
            connecting: Arc::clone(connecting),
        }))
    }

    fn answer(&self, question: &Question) -> Answered {
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
                let (verdict, validity) = publish_verdict(&by, answer.result);
                Answered { answer: Answer::Publish(verdict.into()), validity, by, took }
            }
            Question::Subscribe(requested) => self.subscribe(requested),
            Question::Authenticate { .. } => Answered {
                answer: Shape::Authenticate.denied("it is no such question"),
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
        let all = |by: &str, why: &str| requested.iter().map(|_| failed(by, why)).collect();
        let answered = |verdicts, by: Arc<str>, took| Answered {
            answer: Answer::Subscribe(verdicts),
            validity: None,
            by,
            took,
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let by = self.authority.name();
                return answered(all(by, &error.to_string()), by.into(), Duration::ZERO);
            }
        };
        let answer = self.authority.authorize_subscribe(&self.identity, &self.connecting, &entries);
        for entry in requested {
            self.log(&answer.by, "subscribe", &entry.filter, answer.took);
        }
        let verdicts = match answer.result {
            Ok(verdicts) => {
                verdicts.into_iter().map(|given| verdict(&answer.by, given).0).collect()
            }
            Err(failure) => all(&answer.by, &failure.to_string()),
        };
        answered(verdicts, answer.by, answer.took)
    }

    /// What is written of a question that was answered with yes.
    fn asked<'a>(
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

/// What can be said of a publish before the broker has seen it.
enum Foreseen {
    Ruling(Ruling),
    /// The permission set decides.
    NoQuestion,
    /// The broker is to ask, if it has to.
    Unknown,
}

/// The publishes of one batch before the extension, with one instance for all of them.
struct Hearing<'a> {
    case: &'a Case,
    memory: &'a mut Memory,
    now: Instant,
    /// Asked for when the first question comes; `Some(None)` if there is none to be had.
    sitting: Option<Option<Sitting>>,
    questions: usize,
    /// Where it is written what the extension allowed, if that is wanted.
    decisions: Option<&'a Decisions>,
}

impl<'a> Hearing<'a> {
    fn new(case: &'a Case, memory: &'a mut Memory, decisions: Option<&'a Decisions>) -> Self {
        Self { case, memory, now: Instant::now(), sitting: None, questions: 0, decisions }
    }

    /// The verdict about a publish that the set leaves open, if it takes no waiting. A repeat is left to the broker,
    /// which may know it, and so is an alias, whose topic the broker knows.
    fn ruling(&mut self, publish: &Publish<'_>) -> Foreseen {
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
        let (verdict, validity) = publish_verdict(sitting.by(), result);
        if let (Some(decisions), Some(began), Verdict::Allow) = (self.decisions, began, &verdict) {
            let by = sitting.by();
            decisions.asked(&self.case.asked(Action::Publish, topic, by, began.elapsed()));
        }
        Some(match validity {
            Some(validity) => self.memory.remember(topic, qos, retain, verdict, validity, self.now),
            None => verdict.into(),
        })
    }
}

/// An answer, and for what else it holds.
struct Answered {
    answer: Answer,
    validity: Option<Validity>,
    /// The version that answered.
    by: Arc<str>,
    took: Duration,
}

fn publish_verdict(
    by: &str,
    result: Result<extension_host::Verdict, Failure>,
) -> (Verdict, Option<Validity>) {
    match result {
        Ok(given) => verdict(by, given),
        Err(failure) => (failed(by, &failure.to_string()), None),
    }
}

fn verdict(by: &str, given: extension_host::Verdict) -> (Verdict, Option<Validity>) {
    match given {
        extension_host::Verdict::Allow { validity, .. } => (Verdict::Allow, validity),
        extension_host::Verdict::Deny { code, reason, validity } => {
            let why = reason.as_deref().unwrap_or("denied without a reason");
            (Verdict::Deny { code, why: format!("{by}: {why}") }, validity)
        }
        extension_host::Verdict::Abstain => {
            let why = format!("{by}: the extension abstained");
            (Verdict::Deny { code: ReasonCode::NotAuthorized, why }, None)
        }
    }
}

/// The extension gave no verdict. The packets that answer have no code for a server that is not available; this one
/// does not say that asking again is useless.
fn failed(by: &str, why: &str) -> Verdict {
    let code = ReasonCode::ImplementationSpecificError;
    Verdict::Deny { code, why: format!("{by}: {why}") }
}

/// What kind of answer a question wants.
enum Shape {
    Publish,
    Subscribe(usize),
    Authenticate,
}

impl Shape {
    fn of(question: &Question) -> Self {
        match question {
            Question::Publish { .. } => Self::Publish,
            Question::Subscribe(entries) => Self::Subscribe(entries.len()),
            Question::Authenticate { .. } => Self::Authenticate,
        }
    }

    fn denied(&self, why: &str) -> Answer {
        let code = ReasonCode::ImplementationSpecificError;
        let denial = || Verdict::Deny { code, why: why.to_owned() };
        match self {
            Self::Publish => Answer::Publish(denial().into()),
            Self::Subscribe(entries) => {
                Answer::Subscribe(std::iter::repeat_with(denial).take(*entries).collect())
            }
            Self::Authenticate => Answer::Authenticate(Authentication::Refuse {
                code: ReasonCode::NotAuthorized,
                why: why.to_owned(),
            }),
        }
    }
}

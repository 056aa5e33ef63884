use std::sync::Arc;
use std::time::Instant;

use broker::{
    Action, Answer, Authentication, Delivery, Draft, Interception, Question, Reviewed, Ruling,
    Verdict,
};
use extension_host::{Connecting, Validity};
use mqtt::{Decoded, Decoder, Packet, ReasonCode};
use tokio::sync::Semaphore;

use crate::case::{Answered, Case};
use crate::chain::Standing;
use crate::decisions::Decisions;
use crate::expectation::Expectation;
use crate::foresight::Foresight;
use crate::hearing::Hearing;
use crate::hub::Next;
use crate::memory::Memory;
use crate::reauthentication::Reauthentication;
use crate::screen::Screened;

/// Questions of connected clients that extensions may be answering together. They have their own
/// places: clients that are in do not wait for strangers that want to be.
pub(crate) const QUESTIONS_MAX: usize = 32;

/// Answers what a client's permission set leaves to the extension that gave it.
pub(crate) struct Judge {
    bench: Arc<Semaphore>,
    /// `None` where the permission set decides everything by itself.
    case: Option<Arc<Case>>,
    /// `None` for a client that cannot authenticate again.
    again: Option<Box<Reauthentication>>,
    /// Who looks at its messages; `None` where nobody does.
    screened: Option<Arc<Screened>>,
    /// Verdicts that need not be asked for again.
    memory: Memory,
    expectation: Expectation,
    /// The broker remembers what does not hold any more.
    outdated: bool,
    /// Where decisions are written, if that is wanted.
    decisions: Option<Arc<Decisions>>,
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
        screened: Option<Screened>,
    ) -> Self {
        let case = Case::of(standing, connecting);
        Self {
            bench,
            case,
            again,
            screened: screened.map(Arc::new),
            memory: Memory::default(),
            expectation: Expectation::default(),
            outdated: false,
            decisions: None,
        }
    }

    /// The same, which writes down what extensions allow, if anybody wants to read it, and takes the time of what they deny.
    pub(crate) fn telling(mut self, decisions: Option<&Arc<Decisions>>) -> Self {
        self.decisions = decisions.map(Arc::clone);
        self
    }

    /// Verdicts that need not be asked for again.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
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

    /// One for a client about whom there are no questions.
    pub(crate) fn of_nobody() -> Self {
        Self {
            bench: bench(),
            case: None,
            again: None,
            screened: None,
            memory: Memory::default(),
            expectation: Expectation::default(),
            outdated: false,
            decisions: None,
        }
    }

    /// Has a question answered. Whatever is not a clear yes denies.
    pub(crate) async fn answer(&mut self, question: Question) -> Answer {
        if let Question::Authenticate { begins, data } = question {
            return Answer::Authenticate(self.authenticate(begins, data).await);
        }
        if let Question::Intercept(draft) = question {
            return Answer::Intercept(self.intercept(draft).await);
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
        if self.expectation.next_batch() {
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
        match next {
            Next::Ask(Question::Publish { topic, qos, retain, .. }) => {
                self.expectation.asked(topic);
                foresight.clear();
                self.foresee(decoder, rest, foresight);
                if self.memory.recall(topic, *qos, *retain, Instant::now()).is_some() {
                    self.expectation.settled();
                }
                foresight.begins_at_once()
            }
            Next::Ask(Question::Intercept(draft)) => {
                let made = self.screened.as_ref().and_then(|one| one.publish_now(draft));
                made.map(|made| foresight.answer(Answer::Intercept(made))).is_some()
            }
            Next::Ask(Question::Subscribe(_) | Question::Authenticate { .. })
            | Next::Read
            | Next::Yield
            | Next::Wait
            | Next::Closed => false,
        }
    }

    /// What interceptors make of a publish.
    async fn intercept(&self, draft: Box<Draft>) -> Interception {
        let failed = |why: &str| Interception::Refuse {
            code: ReasonCode::ImplementationSpecificError,
            why: why.to_owned(),
        };
        let Some(screened) = self.screened.clone() else {
            return failed("the client came in before there were interceptors");
        };
        let Ok(turn) = Arc::clone(&self.bench).acquire_owned().await else {
            return failed("the gateway stops");
        };
        let job = tokio::task::spawn_blocking(move || {
            let made = screened.publish(&draft);
            drop(turn);
            made
        });
        job.await.unwrap_or_else(|_| failed("the call of an interceptor did not end in order"))
    }

    /// What interceptors make of deliveries, if they say so at once.
    pub(crate) fn review_now(&self, deliveries: &[Delivery]) -> Option<Vec<Reviewed>> {
        self.screened.as_ref()?.deliver_now(deliveries)
    }

    /// What interceptors make of deliveries. One for which nothing is said is dropped.
    pub(crate) async fn review(&self, deliveries: Vec<Delivery>) -> Vec<Reviewed> {
        let Some(screened) = self.screened.clone() else { return Vec::new() };
        let Ok(turn) = Arc::clone(&self.bench).acquire_owned().await else { return Vec::new() };
        let job = tokio::task::spawn_blocking(move || {
            let made = screened.deliver(&deliveries);
            drop(turn);
            made
        });
        job.await.unwrap_or_default()
    }

    /// Answers ahead about the publishes that `bytes` begin with, as far as that takes no waiting: what the
    /// extension said before still holds, or it answers at once. It ends with the first that the broker may have to ask
    /// about: what is behind that would have to be foreseen again.
    fn foresee(&mut self, decoder: &Decoder, bytes: &[u8], foresight: &mut Foresight) {
        let Some(case) = self.case.clone() else { return };
        let mut hearing = Hearing::new(&case, &self.memory, foresight, self.decisions.as_deref());
        let (mut decoder, mut at) = (decoder.clone(), 0);
        while let Ok(Decoded::Packet { packet, len }) =
            decoder.decode(bytes.get(at..).unwrap_or_default())
        {
            match packet {
                // The broker has asked about the first.
                Packet::Publish(_) if at == 0 && hearing.is_begun() => {}
                Packet::Publish(publish) if !hearing.hear(at, &publish) => break,
                Packet::Publish(_) => {}
                // The answers to what follows depend on what becomes of it.
                Packet::Auth(_) => break,
                _ => {}
            }
            at += len;
        }
        hearing.conclude();
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
                self.expectation.settled();
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
            if let Some(screened) = &mut self.screened {
                *screened = Arc::new(screened.as_known_by(&standing.identity));
            }
            // What was said of who it was says nothing of who it is.
            self.memory.forget();
        }
        answer
    }
}

/// What kind of answer a question wants.
pub(crate) enum Shape {
    Publish,
    Subscribe(usize),
    Authenticate,
    Intercept,
}

impl Shape {
    pub(crate) fn of(question: &Question) -> Self {
        match question {
            Question::Publish { .. } => Self::Publish,
            Question::Subscribe(entries) => Self::Subscribe(entries.len()),
            Question::Authenticate { .. } => Self::Authenticate,
            Question::Intercept(_) => Self::Intercept,
        }
    }

    pub(crate) fn denied(&self, why: &str) -> Answer {
        let code = ReasonCode::ImplementationSpecificError;
        let denial = || Verdict::Deny { code, why: why.into() };
        match self {
            Self::Publish => Answer::Publish(denial().into()),
            Self::Subscribe(entries) => {
                Answer::Subscribe(std::iter::repeat_with(denial).take(*entries).collect())
            }
            Self::Intercept => {
                Answer::Intercept(Interception::Refuse { code, why: why.to_owned() })
            }
            Self::Authenticate => Answer::Authenticate(Authentication::Refuse {
                code: ReasonCode::NotAuthorized,
                why: why.to_owned(),
            }),
        }
    }
}

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use auth::Identity;
use extension_host::{Challenge, Connecting, Continuation, Extension, Progress, Step};
use mqtt::ReasonCode;

use crate::chain::{Caller, Chain, Refusal, Standing};

/// Steps of one exchange at most. The longest of the usual methods has four.
const STEPS_MAX: usize = 16;

/// Enhanced authentication of one client (MQTT 5, 4.12) between two of its packets. What the extension
/// wants to remember is kept here, so that any of its instances can go on.
pub(crate) struct Exchange {
    chain: Chain,
    connecting: Arc<Connecting>,
    method: Arc<str>,
    /// Who the client is, if it is in already.
    known: Option<Arc<Identity>>,
    /// Whom to ask: the first of these, and the others as long as those before abstain.
    candidates: VecDeque<Extension>,
    state: Option<Continuation>,
    steps: usize,
    took: Duration,
}

/// What became of a step.
pub(crate) enum Turn {
    /// The client is to answer this.
    Challenge { exchange: Exchange, data: Option<Vec<u8>> },
    /// The client is accepted.
    Accepted(Box<Standing>),
}

impl Exchange {
    /// The exchange that a CONNECT with this method asks for.
    pub(crate) fn begin(
        chain: &Chain,
        connecting: &Arc<Connecting>,
        method: &str,
    ) -> Result<Self, Refusal> {
        let candidates = chain.offering(method);
        if candidates.is_empty() {
            let why = "no extension of the chain offers the authentication method";
            return Err(Refusal::ours(ReasonCode::BadAuthenticationMethod, why));
        }
        Ok(Self::with(chain, connecting, method.into(), None, candidates.into()))
    }

    /// The exchange of a client that is in with the extension that let it in.
    pub(crate) fn again(
        chain: &Chain,
        connecting: &Arc<Connecting>,
        method: &Arc<str>,
        known: &Arc<Identity>,
        authenticator: &Extension,
    ) -> Self {
        let candidates = VecDeque::from([authenticator.clone()]);
        Self::with(chain, connecting, Arc::clone(method), Some(Arc::clone(known)), candidates)
    }

    fn with(
        chain: &Chain,
        connecting: &Arc<Connecting>,
        method: Arc<str>,
        known: Option<Arc<Identity>>,
        candidates: VecDeque<Extension>,
    ) -> Self {
        Self {
            chain: chain.clone(),
            connecting: Arc::clone(connecting),
            method,
            known,
            candidates,
            state: None,
            steps: 0,
            took: Duration::ZERO,
        }
    }

    /// Hands on what the client said, when it is its turn.
    pub(crate) async fn step(self, data: Option<Vec<u8>>, caller: Caller) -> Result<Turn, Refusal> {
        let chain = self.chain.clone();
        chain.in_turn(caller, move || self.take(data.as_deref())).await
    }

    fn take(mut self, data: Option<&[u8]>) -> Result<Turn, Refusal> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let why = format!("the exchange was not over after {STEPS_MAX} steps");
            let refusal = Refusal::ours(ReasonCode::NotAuthorized, why);
            return Err(Refusal { took: self.took, ..refusal });
        }
        while let Some(extension) = self.candidates.pop_front() {
            let step = Step { method: &self.method, data, state: self.state.as_ref() };
            let answer = extension.step(self.known.as_ref(), &self.connecting, step);
            self.took += answer.took;
            match answer.result {
                Ok(Progress::Accept { grant, data }) => {
                    let by = (&extension, answer.by);
                    let standing = self.chain.conclude(&self.connecting, by, grant, self.took)?;
                    let standing = Standing { authentication_data: data, ..standing };
                    return Ok(Turn::Accepted(Box::new(standing)));
                }
                Ok(Progress::More(Challenge { data, state })) => {
                    self.state = Some(state);
                    self.candidates = VecDeque::from([extension]);
                    return Ok(Turn::Challenge { exchange: self, data });
                }
                Ok(Progress::Abstain) => {}
                Ok(Progress::Reject { code, reason }) => {
                    let why = reason.unwrap_or_else(|| "rejected without a reason".to_owned());
                    return Err(Refusal::by(answer.by, code, why, self.took));
                }
                Err(failure) => {
                    let code = ReasonCode::ServerUnavailable;
                    return Err(Refusal::by(answer.by, code, failure.to_string(), self.took));
                }
            }
        }
        let why = "no extension of the chain accepted the client";
        Err(Refusal { took: self.took, ..Refusal::ours(ReasonCode::NotAuthorized, why) })
    }
}

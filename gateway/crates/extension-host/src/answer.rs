//! What a call of a hook gives back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mqtt::{QoS, ReasonCode, TopicFilterBuf};

use crate::generation::Generation;

/// The result of one call of a hook.
#[derive(Debug)]
pub struct Answer<T> {
    /// What the guest said, or why it said nothing.
    pub result: Result<T, Failure>,
    /// Time from the caller's question to the answer, waiting included.
    pub took: Duration,
    /// Name and hash of the one generation whose answer it is.
    pub by: Arc<str>,
}

/// What an authenticator said about a client.
#[derive(Debug)]
pub enum AuthenticationOutcome {
    /// The client is who the grant says. Its permissions, if any, compile.
    Accept(auth::Grant),
    /// The client is refused.
    Reject {
        /// A code that CONNACK may carry.
        code: ReasonCode,
        /// For the log; at most [`crate::MAX_REASON_BYTES`], no control characters.
        reason: Option<String>,
    },
    /// The next extension of the chain is asked.
    Abstain,
}

/// A step of enhanced authentication that an extension is asked to take.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Authentication Method of CONNECT.
    pub method: &'a str,
    /// Authentication Data of CONNECT or AUTH.
    pub data: Option<&'a [u8]>,
    /// [`Challenge::state`] of the step before; `None` in the first.
    pub state: Option<&'a Continuation>,
}

/// What an extension said in a step of enhanced authentication.
#[derive(Debug)]
pub enum Progress {
    /// The client is who the grant says. Its permissions, if any, compile.
    Accept {
        /// Who the client is and what it may do.
        grant: auth::Grant,
        /// Authentication Data for the client, at most [`crate::MAX_AUTHENTICATION_DATA_BYTES`].
        data: Option<Vec<u8>>,
    },
    /// The client is refused.
    Reject {
        /// A code that CONNACK may carry; at a re-authentication one that DISCONNECT may carry.
        code: ReasonCode,
        /// For the log; at most [`crate::MAX_REASON_BYTES`], no control characters.
        reason: Option<String>,
    },
    /// The extension cannot tell.
    Abstain,
    /// The client is to answer this.
    More(Challenge),
}

/// What a client is to answer, and what the extension needs to judge the answer.
#[derive(Debug)]
pub struct Challenge {
    /// Authentication Data for the client, at most [`crate::MAX_AUTHENTICATION_DATA_BYTES`].
    pub data: Option<Vec<u8>>,
    /// For the next step and nobody else.
    pub state: Continuation,
}

/// Where an exchange stands, in the words of the generation that began it, which therefore also goes on with it.
#[derive(Clone)]
pub struct Continuation {
    state: Vec<u8>,
    generation: Arc<Generation>,
}

impl Continuation {
    pub(crate) fn new(state: Vec<u8>, generation: Arc<Generation>) -> Self {
        Self { state, generation }
    }

    /// At most [`crate::MAX_STATE_BYTES`].
    #[must_use]
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }
}

/// Leaves the state out: it may hold secrets.
impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Continuation")
            .field("bytes", &self.state.len())
            .field("generation", &self.generation)
            .finish()
    }
}

/// What an authorizer said about a publish or a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it pass.
    Allow {
        /// For the log.
        reason: Option<String>,
        /// For what else it holds.
        validity: Option<Validity>,
    },
    /// Refuse it.
    Deny {
        /// A code that the answering packet may carry.
        code: ReasonCode,
        /// For the log.
        reason: Option<String>,
        /// For what else it holds.
        validity: Option<Validity>,
    },
    /// The guest cannot tell.
    Abstain,
}

/// What an authorizer said about several publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdicts {
    /// Let each of them pass; there is nothing else to say.
    AllAllowed,
    /// One verdict for each, in their order.
    Each(Vec<Verdict>),
}

/// For which later publishes of the same client a verdict holds too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// For how long; at most [`crate::ExtensionLimits::verdict_ttl`].
    pub time: Duration,
    /// For which topics; `None` for the one that was asked about.
    pub filter: Option<TopicFilterBuf>,
    /// Of a verdict that allows, up to which QoS.
    pub max_qos: QoS,
    /// Of a verdict that allows, whether with the retain flag.
    pub retain: bool,
}

/// A message about which an authorizer is asked.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Topic name, aliases resolved.
    pub topic: &'a str,
    /// Its QoS.
    pub qos: QoS,
    /// Its retain flag.
    pub retain: bool,
    /// Bytes of payload.
    pub payload_len: u32,
}

/// One entry of a SUBSCRIBE packet about which an authorizer is asked.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionRequest<'a> {
    /// Topic filter without a share group.
    pub filter: &'a str,
    /// Group of a shared subscription.
    pub share_group: Option<&'a str>,
    /// QoS asked for.
    pub qos: QoS,
}

/// Why a hook gave no answer. Never a verdict: the caller refuses what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The guest trapped.
    Trap(String),
    /// The guest was still running at its deadline.
    Deadline,
    /// The guest failed after it was refused memory or table space.
    Memory,
    /// The guest says that something it needs is away.
    Unavailable(String),
    /// The guest says that it is broken or wrongly configured.
    Internal(String),
    /// The guest failed too often and is left alone for this long.
    BreakerOpen {
        /// Time until it is tried again.
        retry_in: Duration,
    },
    /// All instances were busy for the whole of the deadline.
    Saturated,
    /// The guest's answer is outside of the contract.
    InvalidAnswer(String),
    /// What the client sent is larger than a guest is given.
    ClientTooLarge {
        /// What is too large.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// Bytes that are handed over at most.
        limit: usize,
    },
    /// A fresh instance could not be made.
    Restart(String),
    /// The extension does not have this hook.
    NoHook,
}

impl Failure {
    /// Whether the guest itself is at fault, so that it counts towards the breaker and the instance goes.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Trap(_)
                | Self::Deadline
                | Self::Memory
                | Self::InvalidAnswer(_)
                | Self::Restart(_)
        )
    }

    /// Whether a new version that fails so, where the running one does not, is worse than that.
    pub(crate) fn is_regression(&self) -> bool {
        self.is_fault() || matches!(self, Self::BreakerOpen { .. } | Self::Internal(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(why) => write!(f, "the extension trapped: {why}"),
            Self::Deadline => f.write_str("the extension did not answer within its deadline"),
            Self::Memory => f.write_str("the extension failed at its memory limit"),
            Self::Unavailable(why) => write!(f, "the extension is unavailable: {why}"),
            Self::Internal(why) => write!(f, "the extension reports an internal error: {why}"),
            Self::BreakerOpen { retry_in } => write!(
                f,
                "the extension failed repeatedly and is not called for another {} ms",
                retry_in.as_millis()
            ),
            Self::Saturated => {
                f.write_str("all instances of the extension were busy for the whole deadline")
            }
            Self::InvalidAnswer(why) => write!(f, "the extension gave an invalid answer: {why}"),
            Self::ClientTooLarge { what, bytes, limit } => {
                write!(f, "{what} has {bytes} bytes; extensions are given at most {limit}")
            }
            Self::Restart(why) => write!(f, "the extension could not be restarted: {why}"),
            Self::NoHook => f.write_str("the extension does not have this hook"),
        }
    }
}

impl std::error::Error for Failure {}

use std::sync::Arc;
use std::time::Duration;

use auth::{Limits, PermissionSet};
use mqtt::{QoS, ReasonCode};

use crate::{Draft, Interception};

/// What the broker wants an extension to decide: the client's permission set says "ask".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May the client publish this?
    Publish {
        /// The topic.
        topic: Arc<str>,
        /// The QoS of the publish.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
        /// Bytes of payload.
        payload_len: usize,
    },
    /// May the client subscribe to these? One SUBSCRIBE packet, one question.
    Subscribe(Vec<Requested>),
    /// What comes of the AUTH of a client whose CONNECT named an authentication method?
    Authenticate {
        /// Whether it begins a re-authentication; otherwise it answers the challenge before.
        begins: bool,
        /// Its Authentication Data.
        data: Option<Box<[u8]>>,
    },
    /// What do interceptors make of this publish? It is allowed.
    Intercept(Box<Draft>),
}

/// One filter that a client wants to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The filter, `$share/…/` included.
    pub filter: Arc<str>,
    /// The QoS asked for.
    pub qos: QoS,
    /// The No Local option.
    pub no_local: bool,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::Publish`].
    Publish(Ruling),
    /// To [`Question::Subscribe`]: one per entry, in order; a missing one denies.
    Subscribe(Vec<Verdict>),
    /// To [`Question::Authenticate`].
    Authenticate(Authentication),
    /// To [`Question::Intercept`].
    Intercept(Interception),
}

/// What came of a step of a re-authentication.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// The client is to answer this with AUTH.
    Challenge {
        /// Authentication Data.
        data: Option<Vec<u8>>,
    },
    /// The client has proved who it is.
    Renew(Box<Renewal>),
    /// The connection ends.
    Refuse {
        /// The reason code of DISCONNECT.
        code: ReasonCode,
        /// Extension and reason, for the operator.
        why: String,
    },
}

/// What takes the place of the client's earlier authentication.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Who it is: it must be who it was.
    pub principal: Arc<str>,
    /// What the extension noted about it.
    pub attributes: Vec<(String, String)>,
    /// What it may do.
    pub permissions: Arc<PermissionSet>,
    /// How long the authorization is valid from now on; `None` without end.
    pub valid_for_ms: Option<u64>,
    /// What extensions and the listener set for it. What may be on the way to it stays as it was.
    pub limits: Limits,
    /// Authentication Data of the AUTH that says success.
    pub data: Option<Vec<u8>>,
}

/// What an extension decided about a publish, and about those like it that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// About the publish.
    pub verdict: Verdict,
    /// Milliseconds for which the client may publish on the same topic with the same QoS and retain flag without another
    /// question, if it may now; 0 where each publish is a question. [`Broker::forget_rulings`](crate::Broker::forget_rulings)
    /// ends it early, as does another authentication.
    pub valid_ms: u32,
}

/// A verdict about one publish.
impl From<Verdict> for Ruling {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, valid_ms: 0 }
    }
}

/// What an extension decided. A failure of the extension is a denial by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny {
        /// What the client hears: a code that the answering packet may carry.
        code: ReasonCode,
        /// Extension and reason, for the operator. Aside, because verdicts are passed on about each publish, and nearly all allow.
        why: Box<Grounds>,
    },
}

/// Why something is denied, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// Extension, and the rule or its reason.
    pub why: String,
    /// Who was asked; `None` where a rule or the gateway decides.
    pub asked: Option<Asked>,
}

/// A question that an extension has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version that answered.
    pub by: Arc<str>,
    /// Time inside of it; none if it had said so before.
    pub took: Duration,
    /// Whether it had said so before, for a while.
    pub cached: bool,
}

impl From<String> for Grounds {
    fn from(why: String) -> Self {
        Self { why, asked: None }
    }
}

impl From<&str> for Grounds {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl From<String> for Box<Grounds> {
    fn from(why: String) -> Self {
        Self::new(why.into())
    }
}

impl From<&str> for Box<Grounds> {
    fn from(why: &str) -> Self {
        Self::new(why.into())
    }
}

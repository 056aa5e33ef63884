use std::sync::Arc;

use mqtt::QoS;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Publish`].
    Publish(Verdict),
    /// To [`Question::Subscribe`]: one per entry, in order; a missing one denies.
    Subscribe(Vec<Verdict>),
}

/// What an extension decided. A failure of the extension is a denial by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny {
        /// Extension and reason, for the operator.
        why: String,
    },
}

//! A question to an extension that can be kept and asked again.

mod shown;

use std::sync::Arc;

use mqtt::QoS;

use crate::answer::{Publication, SubscriptionRequest};
use crate::connecting::Connecting;
use crate::generation::Generation;
use crate::said::Said;
use crate::tape::Tape;

pub(crate) use shown::Shown;

/// One question, with all that belongs to it. Steps of an exchange are not among them: what they say depends on
/// challenges that only one generation knows.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Whom it is about.
    pub(crate) connection: Arc<Connecting>,
    /// Who that is, if it is known.
    pub(crate) identity: Option<Arc<auth::Identity>>,
    /// What is asked.
    pub(crate) question: Question,
}

/// What is asked.
#[derive(Clone)]
pub(crate) enum Question {
    /// Who is it? With the password that came.
    Authenticate(Option<Vec<u8>>),
    /// What may it do?
    Permissions,
    /// How much?
    Limits,
    /// May it publish this?
    Publish {
        /// Topic name.
        topic: String,
        /// QoS of the publish.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
        /// Bytes of payload.
        payload_len: u32,
    },
    /// May it subscribe to these?
    Subscribe(Vec<Entry>),
    /// What becomes of this that it publishes?
    InterceptPublish(Box<Shown>),
    /// What becomes of this that it is about to be sent?
    InterceptDelivery(Box<Shown>),
}

/// One entry of a SUBSCRIBE packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Topic filter without a share group.
    pub(crate) filter: String,
    /// Group of a shared subscription.
    pub(crate) share_group: Option<String>,
    /// QoS asked for.
    pub(crate) qos: QoS,
}

/// Leaves the password out.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authenticate(secret) => {
                f.debug_tuple("Authenticate").field(&secret.as_ref().map(Vec::len)).finish()
            }
            Self::Permissions => f.write_str("Permissions"),
            Self::Limits => f.write_str("Limits"),
            Self::Publish { topic, qos, retain, payload_len } => f
                .debug_struct("Publish")
                .field("topic", topic)
                .field("qos", qos)
                .field("retain", retain)
                .field("payload_len", payload_len)
                .finish(),
            Self::Subscribe(entries) => f.debug_tuple("Subscribe").field(entries).finish(),
            Self::InterceptPublish(shown) => {
                f.debug_tuple("InterceptPublish").field(shown).finish()
            }
            Self::InterceptDelivery(shown) => {
                f.debug_tuple("InterceptDelivery").field(shown).finish()
            }
        }
    }
}

impl Asked {
    pub(crate) fn client_id(&self) -> &str {
        &self.connection.client_id
    }

    /// The hook that answers it.
    pub(crate) fn hook(&self) -> &'static str {
        match self.question {
            Question::Authenticate(_) => "authenticate",
            Question::Permissions => "permissions",
            Question::Limits => "limit",
            Question::Publish { .. } => "authorize-publish",
            Question::Subscribe(_) => "authorize-subscribe",
            Question::InterceptPublish(_) => "intercept-publish",
            Question::InterceptDelivery(_) => "intercept-delivery",
        }
    }

    /// The topic or the first filter.
    pub(crate) fn what(&self) -> &str {
        match &self.question {
            Question::Authenticate(_) | Question::Permissions | Question::Limits => "",
            Question::Publish { topic, .. } => topic,
            Question::Subscribe(entries) => entries.first().map_or("", |entry| &entry.filter),
            Question::InterceptPublish(shown) | Question::InterceptDelivery(shown) => &shown.topic,
        }
    }

    /// The password, if one came.
    pub(crate) fn secret(&self) -> Option<&[u8]> {
        match &self.question {
            Question::Authenticate(secret) => secret.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn ask(&self, generation: &Arc<Generation>, tape: Option<&Tape>) -> Said {
        let connection = &self.connection;
        match (&self.question, &self.identity) {
            (Question::Authenticate(secret), _) => {
                Said::authentication(&generation.authenticate(connection, secret.as_deref(), tape))
            }
            (Question::Permissions, Some(who)) => {
                Said::permissions(&generation.permissions(who, connection, tape))
            }
            (Question::Limits, Some(who)) => {
                Said::limits(&generation.client_limits(who, connection, tape))
            }
            (Question::Publish { topic, qos, retain, payload_len }, Some(who)) => {
                let publication =
                    Publication { topic, qos: *qos, retain: *retain, payload_len: *payload_len };
                Said::verdict(&generation.authorize_publish(who, connection, &publication, tape))
            }
            (Question::Subscribe(entries), Some(who)) => {
                let requests: Vec<_> = entries
                    .iter()
                    .map(|entry| SubscriptionRequest {
                        filter: &entry.filter,
                        share_group: entry.share_group.as_deref(),
                        qos: entry.qos,
                    })
                    .collect();
                Said::verdicts(&generation.authorize_subscribe(who, connection, &requests, tape))
            }
            (Question::InterceptPublish(shown), Some(who)) => Said::publish(
                &shown.show(|what| generation.intercept_publish(who, connection, what, tape)),
            ),
            (Question::InterceptDelivery(shown), Some(who)) => Said::delivery(
                &shown.show(|what| generation.intercept_delivery(who, connection, what, tape)),
            ),
            (_, None) => Said::Failed { why: "nobody knows who the client is".into() },
        }
    }
}

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use broker::Message;
use broker::durable::{StoredDelivery, StoredSession, Subscription};
use mqtt::{RetainHandling, Version};
use serde_json::{Map, Value, json};
use store::{StoreError, Survey};

use super::{output, unwritten};
use crate::failure::Failure;

/// What of a store is written out, and where to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// Only what these clients have; of all, if there are none.
    pub(crate) client_ids: BTreeSet<String>,
    /// What is written.
    pub(crate) kinds: BTreeSet<Kind>,
    /// A file; `None` for standard output.
    pub(crate) output: Option<PathBuf>,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Session,
    Subscription,
    Retained,
    Queued,
}

/// Payloads are for the owner alone.
const MODE: u32 = 0o600;

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Session, Self::Subscription, Self::Retained, Self::Queued];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Subscription => "subscription",
            Self::Retained => "retained",
            Self::Queued => "queued",
        }
    }
}

/// Why an export ended early.
enum Ended {
    Store(StoreError),
    Output(std::io::Error),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl Export {
    /// `portcullis store export`
    pub(super) fn run(&self, survey: Survey) -> Result<(), Failure> {
        let Some(path) = &self.output else {
            return self.write(survey, &mut output()).map_err(|ended| match ended {
                Ended::Store(error) => Failure::Store(error),
                Ended::Output(error) => unwritten(error),
            });
        };
        let file = create(path).map_err(Failure::file("create", path))?;
        let mut out = BufWriter::new(&file);
        let written = self.write(survey, &mut out);
        drop(out);
        written.and_then(|()| Ok(file.sync_all()?)).map_err(|ended| match ended {
            Ended::Store(error) => Failure::Store(error),
            Ended::Output(error) => Failure::file("write", path)(error),
        })
    }

    fn write(&self, mut survey: Survey, out: &mut impl Write) -> Result<(), Ended> {
        let wants = |kind| self.kinds.contains(&kind);
        let chosen = |session: &&StoredSession| {
            self.client_ids.is_empty() || self.client_ids.contains(&*session.record.client_id)
        };
        if wants(Kind::Retained) && self.client_ids.is_empty() {
            for retained in survey.retained() {
                line(Kind::Retained, message(retained), out)?;
            }
        }
        let mut queues = Vec::new();
        for stored in survey.sessions().iter().filter(chosen) {
            if wants(Kind::Session) {
                line(Kind::Session, session(stored), out)?;
            }
            for (filter, subscription) in &stored.subscriptions {
                if wants(Kind::Subscription) {
                    let client_id = &stored.record.client_id;
                    line(
                        Kind::Subscription,
                        subscribed(client_id, filter.as_str(), *subscription),
                        out,
                    )?;
                }
            }
            queues.push((stored.key, stored.record.client_id.clone()));
        }
        for (key, client_id) in queues.into_iter().filter(|_| wants(Kind::Queued)) {
            survey.queue(key, |entry| {
                Ok::<_, Ended>(line(Kind::Queued, queued(&client_id, &entry), out)?)
            })?;
        }
        Ok(out.flush()?)
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)
}

fn line(kind: Kind, fields: Value, out: &mut impl Write) -> std::io::Result<()> {
    let mut object = Map::from_iter([("kind".to_owned(), Value::from(kind.name()))]);
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    serde_json::to_writer(&mut *out, &object)?;
    out.write_all(b"\n")
}

fn session(session: &StoredSession) -> Value {
    let record = &session.record;
    let will = record.will.as_ref().map(|will| {
        let mut fields = message(&will.message);
        fields["delay_seconds"] = will.delay_seconds.into();
        fields["expiry_seconds"] = will.expiry_seconds.into();
        fields
    });
    json!({
        "client_id": &*record.client_id,
        "principal": &*record.principal,
        "version": version(record.version),
        "expiry_seconds": (record.expiry_seconds < u32::MAX).then_some(record.expiry_seconds),
        "away_since_ms": record.disconnected_at.map(broker::Timestamp::as_unix_ms),
        "ended": record.ended,
        "queued": session.queue.count,
        "queued_bytes": session.queue.weight,
        "received": session.received.iter().map(|id| id.get()).collect::<Vec<_>>(),
        "will": will,
    })
}

fn subscribed(client_id: &str, filter: &str, subscription: Subscription) -> Value {
    let Subscription { options, id } = subscription;
    let handling = match options.retain_handling {
        RetainHandling::SendAtSubscribe => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    json!({
        "client_id": client_id,
        "filter": filter,
        "qos": options.qos as u8,
        "no_local": options.no_local,
        "retain_as_published": options.retain_as_published,
        "retain_handling": handling,
        "id": id,
    })
}

/// The highest Subscription Identifier (MQTT 5, 3.8.2.1.2).
const MOST_ID: u32 = 268_435_455;

fn queued(client_id: &str, entry: &StoredDelivery) -> Value {
    let delivery = &entry.delivery;
    let mut fields = entry.body.as_deref().map_or_else(|| json!({}), message);
    fields["client_id"] = client_id.into();
    fields["sequence"] = entry.sequence.into();
    fields["qos"] = (delivery.qos as u8).into();
    fields["retain"] = delivery.retain.into();
    fields["shared"] = delivery.shared.into();
    // The other numbers name what the entry came of otherwise.
    let ids: Vec<u32> = delivery.ids.iter().copied().filter(|id| *id <= MOST_ID).collect();
    fields["subscription_ids"] = ids.into();
    // The client has it, and only the end of the exchange is owed.
    fields["released"] = delivery.released.into();
    fields["damaged"] = (entry.body.is_none() && !delivery.released).into();
    fields
}

fn message(message: &Message) -> Value {
    let mut fields = json!({
        "topic": message.topic.as_str(),
        "qos": message.qos as u8,
        "retain": message.retain,
        "expires_ms": message.expires.map(broker::Timestamp::as_unix_ms),
    });
    match std::str::from_utf8(&message.payload) {
        Ok(text) => fields["payload"] = text.into(),
        Err(_) => fields["payload_base64"] = Base64::encode_string(&message.payload).into(),
    }
    let properties = message.properties();
    if let Some(content_type) = properties.content_type() {
        fields["content_type"] = content_type.into();
    }
    if let Some(topic) = properties.response_topic() {
        fields["response_topic"] = topic.as_str().into();
    }
    if let Some(data) = properties.correlation_data() {
        fields["correlation_data_base64"] = Base64::encode_string(data).into();
    }
    let user: Vec<Value> =
        properties.user().iter().map(|(name, value)| json!([name, value])).collect();
    if !user.is_empty() {
        fields["user_properties"] = user.into();
    }
    fields
}

/// A protocol version as people know it.
pub(super) const fn version(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}

use std::collections::BTreeMap;

use mqtt::{PacketId, TopicNameBuf};
use session::Timestamp;

/// Batches that are being filled, and those that upstream has not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// By the topic that they are for.
    open: BTreeMap<TopicNameBuf, Open>,
    /// Under the identifier of each the messages in it.
    sent: BTreeMap<PacketId, Vec<PacketId>>,
    /// Unconfirmed messages that the local broker sends before it waits.
    pub(crate) window: u16,
}

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: usize,
    /// Of those that are to be acknowledged.
    pub(crate) ids: Vec<PacketId>,
    /// When it is sent at the latest.
    pub(crate) due: Timestamp,
    /// Whether it is compressed, from so many bytes on.
    pub(crate) compress_from: Option<usize>,
}

impl Batches {
    /// The batch for a topic, which begins now unless there is one.
    pub(crate) fn open(
        &mut self,
        topic: &TopicNameBuf,
        due: Timestamp,
        compress_from: Option<usize>,
    ) -> &mut Open {
        let fresh = || Open { bytes: Vec::new(), messages: 0, ids: Vec::new(), due, compress_from };
        let open = self.open.entry(topic.clone()).or_insert_with(fresh);
        open.due = open.due.min(due);
        open
    }

    pub(crate) fn bytes(&self, topic: &TopicNameBuf) -> usize {
        self.open.get(topic).map_or(0, |open| open.bytes.len())
    }

    pub(crate) fn close(&mut self, topic: &TopicNameBuf) -> Option<Open> {
        self.open.remove(topic)
    }

    /// A batch has been sent, under the identifier of its first message.
    pub(crate) fn sent(&mut self, id: PacketId, ids: Vec<PacketId>) {
        self.sent.insert(id, ids);
    }

    /// The messages of a batch that upstream has answered.
    pub(crate) fn answered(&mut self, id: PacketId) -> Option<Vec<PacketId>> {
        self.sent.remove(&id)
    }

    /// When the next is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.open.values().map(|open| open.due).min()
    }

    /// The topic of one that is being filled.
    pub(crate) fn first(&self) -> Option<TopicNameBuf> {
        self.open.keys().next().cloned()
    }

    /// The topic of one that is due.
    pub(crate) fn due_at(&self, now: Timestamp) -> Option<TopicNameBuf> {
        self.open.iter().find(|(_, open)| open.due <= now).map(|(topic, _)| topic.clone())
    }
}

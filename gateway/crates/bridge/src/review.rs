use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::{PacketId, QoS, TopicFilterBuf, TopicName};

use crate::passing::Passing;

/// What somebody wants to see before it goes upstream, and what waits meanwhile. Acknowledgements do not wait: what they are
/// about may be what upstream waits for.
#[derive(Debug, Default)]
pub(crate) struct Review {
    pub(crate) filters: Arc<[TopicFilterBuf]>,
    /// The first of those held is being decided about.
    asked: bool,
    /// The question, until it is fetched.
    question: Option<Passing>,
    pub(crate) split: Option<Split>,
    /// A part of a message is being sent. Others wait for its acknowledgement, so it does not wait for them.
    pub(crate) sends_part: bool,
    /// Messages of the local broker as they came, oldest first.
    held: VecDeque<Box<[u8]>>,
    held_bytes: usize,
}

/// A message that goes upstream in several parts, one after the other under its identifier.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) id: PacketId,
    /// The packet of which they are parts.
    pub(crate) raw: Box<[u8]>,
    pub(crate) rest: VecDeque<Passing>,
}

/// Bytes that may be held before messages of QoS 0 are dropped. Of the others there are no more than may be unconfirmed.
const HELD_QOS_0_MAX: usize = 256 << 10;

impl Review {
    pub(crate) fn wants(&self, topic: TopicName<'_>) -> bool {
        self.filters.iter().any(|filter| filter.as_filter().matches(topic))
    }

    /// Whether what comes has to wait.
    pub(crate) fn holds(&self) -> bool {
        self.is_busy() || !self.held.is_empty()
    }

    /// Whether the first that waits has to wait on.
    pub(crate) fn is_busy(&self) -> bool {
        self.asked || self.split.is_some()
    }

    /// Has somebody decide about the first of those that are held.
    pub(crate) fn ask(&mut self, question: Passing) {
        (self.asked, self.question) = (true, Some(question));
    }

    pub(crate) fn take_question(&mut self) -> Option<Passing> {
        self.question.take()
    }

    /// Somebody has decided; false if nobody was asked.
    pub(crate) fn answered(&mut self) -> bool {
        self.question = None;
        std::mem::take(&mut self.asked)
    }

    /// Keeps a message until its turn comes; false if it was dropped.
    pub(crate) fn hold(&mut self, qos: QoS, raw: &[u8]) -> bool {
        if qos == QoS::AtMostOnce && self.held_bytes >= HELD_QOS_0_MAX {
            return false;
        }
        self.held_bytes += raw.len();
        self.held.push_back(raw.into());
        true
    }

    pub(crate) fn next(&mut self) -> Option<Box<[u8]>> {
        let raw = self.held.pop_front()?;
        self.held_bytes -= raw.len();
        Some(raw)
    }

    /// Puts the one that was taken last back.
    pub(crate) fn put_back(&mut self, raw: Box<[u8]>) {
        self.held_bytes += raw.len();
        self.held.push_front(raw);
    }
}

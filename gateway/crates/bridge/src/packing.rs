use std::time::Duration;

use mqtt::TopicNameBuf;

/// How the messages of a rule are packed for their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// Payloads of so many bytes and more are compressed, where that makes them smaller.
    pub compress_from: Option<usize>,
    /// Messages of QoS 0 and 1 go together.
    pub batch: Option<Batch>,
    /// What comes is taken apart, where it is a batch.
    pub unbatch: bool,
}

/// When a batch is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where batches are published, as upstream knows it.
    pub topic: TopicNameBuf,
    /// Messages in one, at least 1.
    pub max_messages: usize,
    /// Bytes of one before it is compressed. A message that is larger goes by itself.
    pub max_bytes: usize,
    /// How long the first of its messages waits for others.
    pub max_delay: Duration,
}

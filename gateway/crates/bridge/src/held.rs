use std::collections::VecDeque;

use mqtt::QoS;

/// PUBLISH packets of a local conversation that were read and wait for their turn. Acknowledgements that were read behind them
/// do not wait.
#[derive(Debug, Default)]
pub(crate) struct Held {
    packets: VecDeque<(QoS, Box<[u8]>)>,
    bytes: usize,
    /// Messages that waited when the connection was made and have not gone since; `None` until it is known how many.
    backlog: Option<usize>,
    /// How often in a row others had a turn that it could have had.
    pub(crate) passed_over: u32,
}

/// Bytes that may be held before messages of QoS 0 are dropped. Of the others there are no more than may be unconfirmed.
const QOS_0_MAX: usize = 256 << 10;

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Bytes of the packets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a packet until its turn comes; false if it was dropped.
    pub(crate) fn push(&mut self, qos: QoS, packet: &[u8]) -> bool {
        if qos == QoS::AtMostOnce && self.bytes >= QOS_0_MAX {
            return false;
        }
        self.bytes += packet.len();
        self.packets.push_back((qos, packet.into()));
        true
    }

    /// The QoS of the one whose turn comes next.
    pub(crate) fn front(&self) -> Option<QoS> {
        self.packets.front().map(|(qos, _)| *qos)
    }

    pub(crate) fn pop(&mut self) -> Option<Box<[u8]>> {
        let (_, packet) = self.packets.pop_front()?;
        self.bytes -= packet.len();
        Some(packet)
    }

    /// So many messages are owed.
    pub(crate) fn note_owed(&mut self, owed: usize) {
        self.backlog = Some(self.backlog.map_or(owed, |backlog| backlog.min(owed)));
    }

    pub(crate) fn backlog(&self) -> usize {
        self.backlog.unwrap_or_default()
    }

    /// Whether the next message waited when the connection was made. At QoS 0 nothing waits for one.
    pub(crate) fn waited(&self, qos: QoS) -> bool {
        qos != QoS::AtMostOnce && self.backlog() > 0
    }

    /// The next message goes; answers whether it waited.
    pub(crate) fn leave(&mut self, qos: QoS) -> bool {
        let waited = self.waited(qos);
        if waited {
            self.backlog = Some(self.backlog().saturating_sub(1));
        }
        waited
    }
}

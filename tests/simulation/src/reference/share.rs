use std::rc::Rc;
use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{PacketId, QoS};

use super::{Due, Message};

/// A message for one group (MQTT 5, 4.8.2). Who of its members has it, nobody sees before it is
/// sent: until then it is with any of those that it may have been given to.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) serial: u64,
    /// `$share/NAME/FILTER`.
    pub(super) filter: String,
    pub(super) message: Rc<Message>,
    /// The members at that time and since, and how each would get it.
    pub(super) ways: Vec<Way>,
    /// Who was sent it last, and has not confirmed it.
    pub(super) holder: Option<Holder>,
    /// It was confirmed, or left at QoS 0, or may go to nobody else.
    pub(super) done: bool,
    /// Whoever had it may have dropped it, or had nobody to leave it to.
    pub(super) may_be_missing: bool,
    /// The publisher was told that it is safe, and it was on disk then.
    pub(super) promised: bool,
    /// A session that may have had it is over.
    pub(super) orphaned: bool,
}

/// How a member would get a message.
#[derive(Debug)]
pub(crate) struct Way {
    pub(super) client: Arc<str>,
    pub(super) epoch: u64,
    pub(super) due: Due,
    /// Its client was there at some time since, and may have been sent the message.
    pub(super) seen: bool,
    /// It has unsubscribed since.
    pub(super) left: bool,
    /// Its session does not outlive the process.
    pub(super) fleeting: bool,
    /// The packet is too large for its client.
    pub(super) large: bool,
}

/// A member that was sent a message.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(super) client: Arc<str>,
    pub(super) epoch: u64,
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    /// The last connection on which it was sent.
    pub(super) link: Option<LinkId>,
    /// PUBREC has come.
    pub(super) released: bool,
    /// PUBREL has left.
    pub(super) released_aloud: bool,
}

impl Share {
    /// Whether it need not be anywhere.
    pub(super) fn may_be_gone(&self, at: Timestamp) -> bool {
        // What a member takes at QoS 0, or cannot take at all, may have been lost on the way.
        let lossy = |way: &Way| way.large || way.due.qos == QoS::AtMostOnce;
        self.done
            || self.may_be_missing
            || self.message.is_expired(at)
            || self.ways.iter().any(lossy)
    }

    /// Whether it may wait for this member, which is `online`, to be sent.
    pub(super) fn may_wait_for(&self, client: &str, online: Option<LinkId>) -> bool {
        let held = self.holder.as_ref().is_some_and(|holder| {
            let there = holder.qos == QoS::ExactlyOnce || holder.link == online;
            *holder.client == *client && there
        });
        !self.done && !held && self.ways.iter().any(|way| *way.client == *client)
    }

    /// Whether it is for the same group and may be the same message, sent twice.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.filter == other.filter
            && self.message.topic == other.message.topic
            && self.message.payload == other.message.payload
    }

    pub(super) fn is_held(&self, client: &str, epoch: u64, id: PacketId) -> bool {
        self.holder.as_ref().is_some_and(|holder| {
            *holder.client == *client && holder.epoch == epoch && holder.packet_id == id
        }) && !self.done
    }
}

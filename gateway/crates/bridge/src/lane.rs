use std::collections::BTreeSet;

use mqtt::{PacketId, PacketKind, QoS, ReasonCode};

/// One direction: what passes from a source to a sink, under the same packet identifiers. It knows only which QoS 2 exchanges
/// of the source go on by themselves, because the sink got their messages at a lower QoS or not at all, and which of them the
/// sink has not begun to answer.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    alone: BTreeSet<PacketId>,
    unheard: BTreeSet<PacketId>,
}

/// An acknowledgement to send to one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Source(PacketKind, ReasonCode),
    Sink(PacketKind, ReasonCode),
}

use Reply::{Sink, Source};

impl Lane {
    /// A message of the source goes to the sink at QoS `passed`, which is not above that of the source. Answers what the
    /// source is to hear at once.
    pub(crate) fn pass(&mut self, id: PacketId, qos: QoS, passed: QoS) -> Option<Reply> {
        if passed == QoS::AtMostOnce {
            return self.take(id, qos, ReasonCode::Success);
        }
        if qos == QoS::ExactlyOnce && passed == QoS::AtLeastOnce {
            self.alone.insert(id);
        } else {
            self.alone.remove(&id);
        }
        match passed {
            QoS::ExactlyOnce => self.unheard.insert(id),
            _ => self.unheard.remove(&id),
        };
        None
    }

    /// A message of the source does not go to the sink and is done with. Answers what the source hears.
    pub(crate) fn take(&mut self, id: PacketId, qos: QoS, code: ReasonCode) -> Option<Reply> {
        match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(Source(PacketKind::PubAck, code)),
            QoS::ExactlyOnce => {
                if !code.is_error() {
                    self.alone.insert(id);
                }
                Some(Source(PacketKind::PubRec, code))
            }
        }
    }

    /// PUBREC of the sink. Answers what the source hears.
    pub(crate) fn pubrec(&mut self, id: PacketId, code: ReasonCode) -> Reply {
        self.unheard.remove(&id);
        Source(PacketKind::PubRec, code)
    }

    /// Whether PUBACK of the sink would answer a message that it got at QoS 2. Some brokers without QoS 2 do so, and know of no
    /// PUBREL.
    pub(crate) fn is_cut_short(&self, id: PacketId) -> bool {
        self.unheard.contains(&id)
    }

    /// PUBACK of the sink.
    pub(crate) fn puback(&mut self, id: PacketId, code: ReasonCode) -> Reply {
        if self.unheard.remove(&id) {
            self.alone.insert(id);
        }
        if !self.alone.contains(&id) {
            return Source(PacketKind::PubAck, code);
        }
        if code.is_error() {
            self.alone.remove(&id);
        }
        Source(PacketKind::PubRec, code)
    }

    /// PUBREL of the source. `sink_knows` says whether the sink may know an exchange that is not known here, of an earlier
    /// connection.
    pub(crate) fn pubrel(&mut self, id: PacketId, sink_knows: bool) -> Reply {
        match self.alone.remove(&id) || !sink_knows {
            true => Source(PacketKind::PubComp, ReasonCode::Success),
            false => Sink(PacketKind::PubRel, ReasonCode::Success),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_exchange_goes_on_alone() {
        let (mut lane, id, ok) = (Lane::default(), PacketId::MIN, ReasonCode::Success);
        assert_eq!(lane.pass(id, QoS::ExactlyOnce, QoS::AtLeastOnce), None);
        assert_eq!(lane.puback(id, ok), Source(PacketKind::PubRec, ok));
        assert_eq!(lane.pubrel(id, true), Source(PacketKind::PubComp, ok));
        // The same identifier later, at full QoS.
        assert_eq!(lane.pass(id, QoS::ExactlyOnce, QoS::ExactlyOnce), None);
        assert_eq!(lane.pubrel(id, true), Sink(PacketKind::PubRel, ok));
        // One of an earlier connection, where the sink has no QoS 2.
        assert_eq!(lane.pubrel(id, false), Source(PacketKind::PubComp, ok));
    }

    #[test]
    fn an_exchange_that_the_sink_cuts_short_goes_on_alone() {
        let (mut lane, id, ok) = (Lane::default(), PacketId::MIN, ReasonCode::Success);
        assert_eq!(lane.pass(id, QoS::ExactlyOnce, QoS::ExactlyOnce), None);
        assert!(lane.is_cut_short(id));
        assert_eq!(lane.puback(id, ok), Source(PacketKind::PubRec, ok));
        assert_eq!(lane.pubrel(id, true), Source(PacketKind::PubComp, ok));
        // One that is answered as it should be, and one of QoS 1 under the same identifier.
        assert_eq!(lane.pass(id, QoS::ExactlyOnce, QoS::ExactlyOnce), None);
        assert_eq!(lane.pubrec(id, ok), Source(PacketKind::PubRec, ok));
        assert_eq!(lane.pubrel(id, true), Sink(PacketKind::PubRel, ok));
        assert_eq!(lane.pass(id, QoS::AtLeastOnce, QoS::AtLeastOnce), None);
        assert_eq!(lane.puback(id, ok), Source(PacketKind::PubAck, ok));
    }

    #[test]
    fn what_is_refused_is_over() {
        let (mut lane, id, code) = (Lane::default(), PacketId::MIN, ReasonCode::QuotaExceeded);
        assert_eq!(lane.pass(id, QoS::ExactlyOnce, QoS::AtLeastOnce), None);
        assert_eq!(lane.puback(id, code), Source(PacketKind::PubRec, code));
        assert_eq!(lane.take(id, QoS::AtMostOnce, code), None);
        assert!(lane.alone.is_empty());
    }
}

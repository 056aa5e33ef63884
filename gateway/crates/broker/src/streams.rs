//! Streams that a client opens beside the first of its connection, where the transport has any: EMQX's dialect of MQTT over
//! QUIC. The first carries CONNECT and what is about the connection; everything else may come on any.

use mqtt::{Packet, ReasonCode};
use session::{Lane, Timestamp};

use crate::{Broker, Closing, Conversation, Effect, Limit, Outbox};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client sends nothing more on it, and may still read.
    InOrder,
    /// It is gone in both directions.
    Lost,
}

/// What was found for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There may be more later.
    More,
    /// Nothing comes after this.
    Last,
    /// There is no such stream any more: the broker has closed it, or the conversation is over.
    Gone,
}

impl Broker {
    /// The client has opened a stream beside the first; a `one_way` stream carries nothing to the client, and what answers
    /// its packets goes on the first.
    pub fn open_lane(&mut self, of: Conversation, lane: Lane, one_way: bool) {
        let client = self.clients.get_mut(of.session as usize);
        let online = client.and_then(|client| client.online.as_mut());
        if let Some(online) = online.filter(|online| online.link == of.link) {
            online.lanes.get_or_insert_default().open(lane, one_way);
        }
    }

    /// A stream beside the first has ended. What it was for goes on with the first: messages of its subscriptions, and
    /// deliveries that are not confirmed, which are sent again. After [`Ending::InOrder`] it still gets the
    /// acknowledgements that it is owed, until [`take_output_of`](Self::take_output_of) says [`Taken::Last`].
    pub fn end_lane(&mut self, now: Timestamp, of: Conversation, lane: Lane, ending: Ending) {
        let client = self.clients.get(of.session as usize);
        let online = client.and_then(|client| client.online.as_ref());
        if online.is_some_and(|online| online.link == of.link) {
            self.end_side(now, of.session, lane, ending);
        }
    }

    fn end_side(&mut self, now: Timestamp, session: u32, lane: Lane, ending: Ending) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        let Some(lanes) = online.lanes.as_mut().filter(|lanes| lanes.knows(lane)) else { return };
        lanes.end(lane, &mut client.outbound, ending == Ending::InOrder);
        if !lanes.knows(lane) {
            client.inbound.leave(lane);
        }
        self.send_acknowledgements(session);
        self.pump(now, session);
        self.ring(session);
    }

    /// As [`take_output`](Self::take_output), for a stream beside the first.
    pub fn take_output_of(
        &mut self,
        now: Timestamp,
        to: Conversation,
        lane: Lane,
        outbox: &mut Outbox,
    ) -> Taken {
        let Some(client) = self.clients.get_mut(to.session as usize) else { return Taken::Gone };
        let Some(online) = client.online.as_mut().filter(|o| o.link == to.link) else {
            return Taken::Gone;
        };
        let Some(lanes) = online.lanes.as_mut() else { return Taken::Gone };
        lanes.visited(lane);
        if online.held.is_some_and(|lsn| !self.journal.is_durable(lsn)) {
            return Taken::More;
        }
        let Some(waiting) = lanes.outbox_mut(lane) else {
            return if lanes.knows(lane) { Taken::More } else { Taken::Gone };
        };
        self.stats.count_output(waiting);
        std::mem::swap(waiting, outbox);
        let over = lanes.retire(lane, || client.inbound.owes(lane));
        if client.outbound.has_unsent() {
            self.pump(now, to.session);
        }
        if over { Taken::Last } else { Taken::More }
    }

    /// Has the link look at all streams.
    fn ring(&mut self, session: u32) {
        let client = self.clients.get_mut(session as usize);
        if let Some(online) = client.and_then(|client| client.online.as_mut()) {
            self.effects.push_back(Effect::Wake(online.link));
        }
    }

    /// A delivery was queued. Where a client has several streams it may be for another than those that wait before it.
    pub(crate) fn overtake(&mut self, now: Timestamp, session: u32) {
        let client = self.clients.get(session as usize);
        let online = client.and_then(|client| client.online.as_ref());
        if online.is_some_and(|online| online.lanes.is_some()) {
            self.pump(now, session);
        }
    }

    /// Everything that could be sent has been: what waits now may be held up.
    pub(crate) fn note_rest(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let more = client.outbound.rest().count > 0;
        let Some(lanes) = client.online.as_mut().and_then(|online| online.lanes.as_mut()) else {
            return;
        };
        lanes.note_rest(now, more);
        self.set_alarm(session);
    }

    /// Nothing that waits for a client has moved for a while: if one of its streams is why, that is closed.
    pub(crate) fn unstick(&mut self, now: Timestamp, session: u32) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (subscriptions, Some(online)) = (client.subscriptions.len(), client.online.as_mut())
        else {
            return;
        };
        let (lanes, outbound) = (online.lanes.as_mut(), &client.outbound);
        if let Some(lane) = lanes.and_then(|it| it.stuck(now, outbound, subscriptions)) {
            self.stats.count_limit(Limit::StuckStreams);
            self.end_side(now, session, lane, Ending::Lost);
        }
    }
}

/// Whether a packet may come on a stream: what is about the connection comes on the first.
pub(crate) fn check_packet(lane: Lane, packet: &Packet<'_>) -> Result<(), Closing> {
    match packet {
        Packet::Connect(_) | Packet::Disconnect(_) | Packet::Auth(_) if lane != Lane::CONTROL => {
            let why = format!(
                "{:?} came on another stream than the first of the connection",
                packet.kind()
            );
            Err(Closing::new(ReasonCode::ProtocolError, why))
        }
        _ => Ok(()),
    }
}

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use broker::{Ending, Lane, Taken};
use transport::{SideStream, SideStreams};

use super::channel::{Channel, Desk};
use crate::hub::Next;

/// The streams of a connection beside the first. Each is read and written by itself, in turns, so that one whose client
/// does not read, or of which bytes are missing, holds up itself only.
pub(super) struct Sides {
    coming: SideStreams,
    open: Vec<Side>,
    /// The number of the stream that was opened last.
    last: Lane,
    /// Some may have come.
    expects: bool,
    /// Whose turn is first.
    first: usize,
    /// How long the rest of a packet is waited for, besides the time for its bytes.
    packet_time: Duration,
}

struct Side {
    channel: Channel<SideStream>,
    /// The hub may have something for it.
    look: bool,
    /// The client sends nothing more on it.
    ended: bool,
    /// Nothing comes behind what is in hand.
    last: bool,
    over: bool,
}

/// What a stream did in its turn.
enum Turn {
    Idle,
    Moved,
    /// The packet at the front has to wait.
    Stop(Next),
    Over,
}

impl Sides {
    pub(super) fn new(coming: SideStreams, packet_time: Duration) -> Self {
        let (open, last) = (Vec::new(), Lane::CONTROL);
        Self { coming, open, last, expects: true, first: 0, packet_time }
    }

    /// The connection was woken: some may have come.
    pub(super) fn expect(&mut self) {
        self.expects = true;
    }

    /// The hub may have something for any of them.
    pub(super) fn ring(&mut self) {
        self.open.iter_mut().for_each(|side| side.look = true);
    }

    pub(super) fn channel(&mut self, lane: Lane) -> Option<&mut Channel<SideStream>> {
        let mut channels = self.open.iter_mut().map(|side| &mut side.channel);
        channels.find(|channel| channel.lane == lane)
    }

    /// Gives each a turn. Ready if any of them did something, with what comes next if the packet at the front of one has to
    /// wait for an answer, or for others.
    pub(super) fn turn(
        &mut self,
        context: &mut Context<'_>,
        desk: &mut Desk<'_>,
    ) -> Poll<Option<(Lane, Next)>> {
        let mut moved = self.accept(context, desk);
        let mut stop = None;
        let (all, first) = (self.open.len(), self.first.min(self.open.len()));
        let (before, from) = self.open.split_at_mut(first);
        for (at, side) in from.iter_mut().chain(before).enumerate() {
            match side.turn(context, desk) {
                Turn::Idle => {}
                Turn::Moved => moved = true,
                Turn::Over => (moved, side.over) = (true, true),
                Turn::Stop(next) => {
                    stop = Some((side.channel.lane, next));
                    self.first = (first + at + 1) % all;
                    break;
                }
            }
        }
        self.open.retain(|side| !side.over);
        if moved || stop.is_some() { Poll::Ready(stop) } else { Poll::Pending }
    }

    /// Takes in what the client has opened.
    fn accept(&mut self, context: &mut Context<'_>, desk: &Desk<'_>) -> bool {
        let mut any = false;
        while self.expects {
            // A client that has opened four thousand million of them has had its share.
            let next = self.last.0.checked_add(1);
            let (Poll::Ready(Ok(stream)), Some(next)) = (self.coming.poll_accept(context), next)
            else {
                self.expects = false;
                break;
            };
            self.last = Lane(next);
            desk.hub.open_lane(desk.conversation, self.last, stream.is_one_way());
            self.open.push(Side::new(stream, self.last, self.packet_time));
            any = true;
        }
        any
    }
}

impl Side {
    fn new(stream: SideStream, lane: Lane, packet_time: Duration) -> Self {
        let channel = Channel::new(stream, lane, Vec::new(), packet_time);
        Self { channel, look: false, ended: false, last: false, over: false }
    }

    fn turn(&mut self, context: &mut Context<'_>, desk: &mut Desk<'_>) -> Turn {
        let written = match self.channel.poll_write(context) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => return self.lost(desk),
            Poll::Pending => false,
        };
        if written && self.last {
            self.channel.stream.finish();
            return Turn::Over;
        }
        if written && std::mem::take(&mut self.look) {
            return self.fetch(desk);
        }
        if self.ended {
            return Turn::Idle;
        }
        if let Some(next) = self.channel.retry(desk) {
            return Turn::after(next);
        }
        match self.channel.read(context, desk, written) {
            Poll::Pending => Turn::Idle,
            Poll::Ready(Ok(next)) => Turn::after(next),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                desk.hub.end_lane(desk.conversation, self.channel.lane, Ending::InOrder);
                self.ended = true;
                if self.channel.stream.is_one_way() { Turn::Over } else { Turn::Moved }
            }
            Poll::Ready(Err(_)) => self.lost(desk),
        }
    }

    fn fetch(&mut self, desk: &Desk<'_>) -> Turn {
        let Channel { lane, outbox, .. } = &mut self.channel;
        let (taken, may_read) = desk.hub.take_output_of(desk.conversation, *lane, outbox);
        self.channel.allow_reading(may_read);
        self.last = taken == Taken::Last;
        if taken == Taken::Gone { Turn::Over } else { Turn::Moved }
    }

    /// The client has reset it, or reads no more of it.
    fn lost(&self, desk: &Desk<'_>) -> Turn {
        desk.hub.end_lane(desk.conversation, self.channel.lane, Ending::Lost);
        Turn::Over
    }
}

impl Turn {
    fn after(next: Next) -> Self {
        match next {
            // That the conversation is over, the first stream hears.
            Next::Read | Next::Wait | Next::Closed => Self::Moved,
            stop @ (Next::Ask(_) | Next::Yield) => Self::Stop(stop),
        }
    }
}

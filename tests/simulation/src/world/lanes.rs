//! Streams that clients open beside the first of their connection.

use broker::{Ending, Lane, LinkId, Outbox, Taken};

use super::World;

/// A stream of a connection beside the first.
#[derive(Default)]
pub(super) struct Side {
    wire: Vec<u8>,
    stalled: bool,
    pub(super) woken: bool,
    over: bool,
}

impl World {
    /// The client opens a stream beside the first; nothing can be sent to it on one that is `one_way`.
    pub fn open_lane(&mut self, link: LinkId, lane: Lane, one_way: bool) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| entry.open) else { return };
        entry.sides.insert(lane, Side::default());
        self.broker.open_lane(entry.conversation, lane, one_way);
    }

    /// Bytes arrive on such a stream: whole packets, about which nobody is asked.
    pub fn send_on(&mut self, link: LinkId, lane: Lane, bytes: &[u8]) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.unhandled.extend_from_slice(bytes);
        let asked = self.handle(link, lane, None);
        assert!(asked.is_none(), "the world knows no answers on streams: {asked:?}");
    }

    /// The client has ended such a stream.
    pub fn end_lane(&mut self, link: LinkId, lane: Lane, ending: Ending) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| entry.open) else { return };
        self.broker.end_lane(self.now, entry.conversation, lane, ending);
        self.settle();
    }

    /// It takes nothing, or takes again.
    pub fn stall_lane(&mut self, link: LinkId, lane: Lane, stalled: bool) {
        let side = self.links.get_mut(&link).and_then(|entry| entry.sides.get_mut(&lane));
        if let Some(side) = side {
            side.stalled = stalled;
        }
        self.settle();
    }

    /// The streams of a connection beside the first: each with the bytes that wait for the client to look at them, and
    /// whether nothing comes any more.
    pub fn lanes(&mut self, link: LinkId) -> Vec<(Lane, Vec<u8>, bool)> {
        let Some(entry) = self.links.get_mut(&link) else { return Vec::new() };
        let look =
            |(lane, side): (&Lane, &mut Side)| (*lane, std::mem::take(&mut side.wire), side.over);
        let seen = entry.sides.iter_mut().map(look).collect();
        entry.sides.retain(|_, side| !side.over);
        seen
    }

    /// Connections that were woken, and have streams that take output.
    pub(super) fn rung_beside(&self) -> Vec<LinkId> {
        let ready = |side: &Side| side.woken && !side.stalled;
        let links = self.links.iter().filter(|(_, link)| link.open);
        links.filter(|(_, link)| link.sides.values().any(ready)).map(|(id, _)| *id).collect()
    }

    /// Looks at the streams beside the first, as a link does that was woken.
    pub(super) fn fetch_lanes(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| entry.open) else { return };
        for (lane, side) in &mut entry.sides {
            if side.stalled || !std::mem::take(&mut side.woken) {
                continue;
            }
            let mut outbox = Outbox::default();
            let taken =
                self.broker.take_output_of(self.now, entry.conversation, *lane, &mut outbox);
            side.wire.extend(outbox.segments(0).flatten());
            side.over |= taken != Taken::More;
        }
    }
}

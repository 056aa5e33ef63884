use broker::{Conversation, Delivery, Ending, Lane, Outbox, Taken};

use super::Hub;

/// Streams beside the first of a connection.
impl Hub {
    /// The client has opened one.
    pub(crate) fn open_lane(&self, of: Conversation, lane: Lane, one_way: bool) {
        self.lock().broker.open_lane(of, lane, one_way);
    }

    /// One has ended.
    pub(crate) fn end_lane(&self, of: Conversation, lane: Lane, ending: Ending) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.end_lane(now, of, lane, ending);
        self.finish(inner, None);
    }

    /// Fetches what waits for one. Tells also whether it is to be read.
    pub(crate) fn take_output_of(
        &self,
        to: Conversation,
        lane: Lane,
        outbox: &mut Outbox,
    ) -> (Taken, bool) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let taken = inner.broker.take_output_of(now, to, lane, outbox);
        let may_read = inner.may_read(to, lane, false);
        self.finish(inner, Some(to));
        (taken, may_read)
    }

    /// What interceptors are to see, of a connection whose first stream takes nothing at the moment.
    pub(crate) fn take_deliveries(&self, of: Conversation) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let deliveries = inner.broker.take_deliveries(now, of);
        self.finish(inner, Some(of));
        deliveries
    }
}

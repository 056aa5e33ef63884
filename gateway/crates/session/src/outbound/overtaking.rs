use super::delivery::Progress;
use super::{Delivery, Outbound, Sum, Transmission};

/// Deliveries that wait while later ones are sent. A connection with several streams does not have one that is not read
/// hold up the others; where there is one stream, none of this is used and the order is that of the row.
impl<T: Default> Outbound<T> {
    /// Leaves the delivery whose turn it is for [`send_passed`](Self::send_passed). Answers its number.
    pub fn pass_over(&mut self) -> Option<u64> {
        self.next_in_turn()?;
        let delivery = self.deliveries.get_mut(self.cursor)?;
        delivery.passed = true;
        self.passed.add(Sum::of(delivery.weight()));
        self.cursor += 1;
        Some(delivery.sequence)
    }

    /// Sends a delivery that was passed over, if the window allows one and `ready` agrees.
    pub fn send_passed(
        &mut self,
        sequence: u64,
        ready: impl FnOnce(&Delivery<T>) -> bool,
    ) -> Option<Transmission<'_, T>> {
        let index = self.index_of(sequence)?;
        let delivery = self.deliveries.get_mut(index)?;
        let fits = delivery.again || self.in_flight < self.window;
        if !delivery.passed || !fits || !ready(delivery) {
            return None;
        }
        delivery.passed = false;
        self.passed.subtract(Sum::of(delivery.weight()));
        self.transmit(index)
    }

    /// Whether the delivery of that number was passed over, and waits.
    #[must_use]
    pub fn is_passed(&self, sequence: u64) -> bool {
        let index = self.index_of(sequence);
        index.and_then(|index| self.deliveries.get(index)).is_some_and(|d| d.passed)
    }

    /// Has what was sent on this connection and is not confirmed sent again, as if it had been passed over: whatever `which`
    /// says of. It keeps its place in the window: the client may have it. Answers the numbers, ascending.
    pub fn send_again(&mut self, which: impl Fn(&T) -> bool) -> Vec<u64> {
        let mut again = Vec::new();
        for delivery in self.deliveries.iter_mut().take(self.cursor) {
            if delivery.passed || delivery.progress == Progress::Done || !which(&delivery.tag) {
                continue;
            }
            (delivery.passed, delivery.again) = (true, true);
            again.push(delivery.sequence);
            self.passed.add(Sum::of(delivery.weight()));
        }
        again
    }

    /// The client has what was to be sent to it again: it counts as sent.
    pub(super) fn call_off(&mut self, index: usize) {
        let Some(delivery) = self.deliveries.get_mut(index).filter(|d| d.passed) else { return };
        delivery.passed = false;
        let weight = delivery.weight();
        self.passed.subtract(Sum::of(weight));
        if !std::mem::take(&mut delivery.again) {
            self.in_flight += 1;
            self.classes.send(delivery.class, weight);
        }
    }

    /// The deliveries that were passed over.
    #[must_use]
    pub fn passed(&self) -> Sum {
        self.passed
    }

    /// Deliveries that may be unconfirmed at a time.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// Another connection sends everything in the order of the row.
    pub(super) fn forget_passed(&mut self) {
        if self.passed.count > 0 {
            for delivery in &mut self.deliveries {
                (delivery.passed, delivery.again) = (false, false);
            }
            self.passed = Sum::default();
        }
    }
}

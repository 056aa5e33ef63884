use super::delivery::Progress;
use super::{Class, Delivery, Outbound, Rest, Sum};

/// What is in the row, and what it adds up to.
impl<T> Outbound<T> {
    /// The oldest delivery in memory that was never sent.
    #[must_use]
    pub fn first_unsent(&self) -> Option<&Delivery<T>> {
        let mut row = self.deliveries.iter().skip(self.first_candidate());
        row.find(|delivery| !delivery.sent && delivery.progress != Progress::Done)
    }

    /// The oldest delivery of a class in memory that was never sent.
    #[must_use]
    pub fn first_unsent_of(&self, class: Class) -> Option<&Delivery<T>> {
        let mut row = self.deliveries.iter().skip(self.first_candidate());
        row.find(|d| d.class == Some(class) && !d.sent && d.progress != Progress::Done)
    }

    /// Unconfirmed deliveries of a class, sent or not, in memory or not.
    #[must_use]
    pub fn owed_of(&self, class: Class) -> Sum {
        self.classes.owed(class)
    }

    /// The same without those that are sent on this connection.
    #[must_use]
    pub fn unsent_of(&self, class: Class) -> Sum {
        self.classes.unsent(class)
    }

    /// The unconfirmed delivery of that number.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&Delivery<T>> {
        let found = self.deliveries.binary_search_by_key(&sequence, |d| d.sequence).ok();
        let delivery = found.and_then(|index| self.deliveries.get(index));
        delivery.filter(|d| d.progress != Progress::Done)
    }

    /// Unconfirmed deliveries in memory, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery<T>> {
        self.deliveries.iter().filter(|d| d.progress != Progress::Done)
    }

    /// Number of unconfirmed deliveries, sent or not, in memory or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live + self.rest.count
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What lies behind the row.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.rest
    }

    /// The number below which deliveries may have been sent.
    #[must_use]
    pub fn sent_below(&self) -> u64 {
        self.sent_below
    }

    /// Number of unconfirmed deliveries in memory.
    #[must_use]
    pub fn unsettled_in_memory(&self) -> usize {
        self.live
    }

    /// The number that the next delivery gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Number of deliveries in memory that are not sent on this connection.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.deliveries.len() - self.cursor + self.passed.count
    }

    /// Number of deliveries that are sent and not confirmed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a delivery waits to be sent on this connection.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.cursor < self.deliveries.len() || self.passed.count > 0
    }

    /// Bytes of the messages that are owed, in memory or not; a message that several sessions
    /// wait for counts in each.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight + self.rest.weight
    }

    /// Bytes of the messages that the row keeps in memory.
    #[must_use]
    pub fn weight_in_memory(&self) -> usize {
        self.weight
    }

    /// Where the first delivery may stand that is not sent on this connection.
    fn first_candidate(&self) -> usize {
        if self.passed.count > 0 { 0 } else { self.cursor }
    }
}

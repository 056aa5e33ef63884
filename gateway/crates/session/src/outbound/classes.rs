use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// What deliveries are counted together by; what it stands for is the owner's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub NonZeroU32);

/// How many deliveries, and what they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Deliveries.
    pub count: usize,
    /// Bytes of their messages.
    pub weight: usize,
}

/// The sums of each class of which something is owed, in memory or not.
///
/// They count a delivery wherever it stands, so that one that moves between memory and what lies
/// behind changes nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes(BTreeMap<Class, Tally>);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    owed: Sum,
    /// Those of them that were sent on this connection.
    in_flight: Sum,
}

impl Sum {
    pub(super) fn of(weight: usize) -> Self {
        Self { count: 1, weight }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.weight += other.weight;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        // Damage on disk may have taken what was counted.
        self.count = self.count.saturating_sub(other.count);
        self.weight = self.weight.saturating_sub(other.weight);
    }
}

impl Classes {
    pub(super) fn restored(sums: impl IntoIterator<Item = (Class, Sum)>) -> Self {
        let tally = |owed| Tally { owed, in_flight: Sum::default() };
        Self(sums.into_iter().map(|(class, sum)| (class, tally(sum))).collect())
    }

    pub(super) fn owed(&self, class: Class) -> Sum {
        self.0.get(&class).map_or_else(Sum::default, |tally| tally.owed)
    }

    pub(super) fn unsent(&self, class: Class) -> Sum {
        let Tally { mut owed, in_flight } = self.0.get(&class).copied().unwrap_or_default();
        owed.subtract(in_flight);
        owed
    }

    /// A delivery is owed.
    pub(super) fn add(&mut self, class: Option<Class>, weight: usize) {
        if let Some(class) = class {
            self.0.entry(class).or_default().owed.add(Sum::of(weight));
        }
    }

    /// A delivery that is owed is sent.
    pub(super) fn send(&mut self, class: Option<Class>, weight: usize) {
        if let Some(tally) = class.and_then(|class| self.0.get_mut(&class)) {
            tally.in_flight.add(Sum::of(weight));
        }
    }

    /// The message of a delivery in flight need not be kept any more.
    pub(super) fn lighten(&mut self, class: Option<Class>, weight: usize) {
        if let Some(tally) = class.and_then(|class| self.0.get_mut(&class)) {
            let weight = Sum { count: 0, weight };
            tally.owed.subtract(weight);
            tally.in_flight.subtract(weight);
        }
    }

    /// A delivery is not owed any more.
    pub(super) fn remove(&mut self, class: Option<Class>, weight: usize, in_flight: bool) {
        let Some(class) = class else { return };
        let Some(tally) = self.0.get_mut(&class) else { return };
        tally.owed.subtract(Sum::of(weight));
        if in_flight {
            tally.in_flight.subtract(Sum::of(weight));
        }
        if tally.owed.count == 0 {
            self.0.remove(&class);
        }
    }

    /// Nothing is sent on this connection yet.
    pub(super) fn recall(&mut self) {
        self.0.values_mut().for_each(|tally| tally.in_flight = Sum::default());
    }
}

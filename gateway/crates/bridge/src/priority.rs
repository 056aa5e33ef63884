use std::ops::RangeInclusive;

use mqtt::PacketId;

/// How soon messages go upstream beside others. Those of each priority have a session of the local broker to themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// What messages have that nothing is said of.
    #[default]
    Normal,
    /// After all others.
    Low,
}

/// The first identifiers of high and of low priority. They stand on disks, and in the sessions of upstreams: whoever moves them
/// makes new messages look like repeats of others.
const HIGH: u16 = 1 << 15;
const LOW: u16 = HIGH + (1 << 14);

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The packet identifiers of its session's deliveries, which are those of the messages upstream too. No two priorities share
    /// one, whichever of them a bridge uses: an exchange that upstream has open is nobody else's.
    #[must_use]
    pub const fn identifiers(self) -> RangeInclusive<u16> {
        match self {
            Self::Normal => 1..=HIGH - 1,
            Self::High => HIGH..=LOW - 1,
            Self::Low => LOW..=u16::MAX,
        }
    }

    /// Whose messages have this identifier.
    pub(crate) const fn of(id: PacketId) -> Self {
        match id.get() {
            LOW.. => Self::Low,
            HIGH.. => Self::High,
            _ => Self::Normal,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// What the name of its session ends with; nothing for the one that every bridge has.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::High => "/high",
            Self::Normal => "",
            Self::Low => "/low",
        }
    }
}

/// One of something for each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each<T> {
    /// For high.
    pub high: T,
    /// For normal.
    pub normal: T,
    /// For low.
    pub low: T,
}

impl<T> Each<T> {
    /// Makes all three.
    pub fn from_fn(mut make: impl FnMut(Priority) -> T) -> Self {
        Self {
            high: make(Priority::High),
            normal: make(Priority::Normal),
            low: make(Priority::Low),
        }
    }

    /// That of one.
    pub const fn of(&self, priority: Priority) -> &T {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Low => &self.low,
        }
    }

    /// That of one, to be changed.
    pub const fn of_mut(&mut self, priority: Priority) -> &mut T {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    /// All three, the most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.high, &self.normal, &self.low].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_is_of_one_priority() {
        let all = Priority::ALL.map(|priority| priority.identifiers().count());
        assert_eq!(all.iter().sum::<usize>(), usize::from(u16::MAX));
        for priority in Priority::ALL {
            for id in priority.identifiers() {
                assert_eq!(PacketId::new(id).map(Priority::of), Some(priority), "{id}");
            }
        }
    }
}

use std::fmt;

/// In what way a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Acknowledged, and neither delivered nor kept; or a session or subscription that is gone.
    Lost,
    /// A QoS 2 message that came, or will come, twice.
    Duplicate,
    /// Messages of one publisher, topic and QoS in another order than they were published.
    Disorder,
    /// Something that was removed, and whose removal was acknowledged, is there again.
    Resurrected,
    /// A payload that nobody sent, or an answer that the protocol does not allow.
    Corrupt,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Lost, Self::Duplicate, Self::Disorder, Self::Resurrected, Self::Corrupt];

    const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicates",
            Self::Disorder => "disorder",
            Self::Resurrected => "resurrected",
            Self::Corrupt => "corrupt",
        }
    }
}

/// One broken promise, with what is known of it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// In what way.
    pub kind: Kind,
    /// What, where and when.
    pub evidence: String,
}

/// All broken promises of a run: how many, and the first of them in words.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    counts: [usize; Kind::ALL.len()],
    first: Vec<Fault>,
}

/// Faults that are kept in words.
const KEPT: usize = 200;

impl Faults {
    pub(crate) fn add(&mut self, kind: Kind, evidence: String) {
        self.counts[kind as usize] += 1;
        if self.first.len() < KEPT {
            self.first.push(Fault { kind, evidence });
        }
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.counts.iter_mut().zip(others.counts).for_each(|(count, more)| *count += more);
        let room = KEPT.saturating_sub(self.first.len());
        self.first.extend(others.first.into_iter().take(room));
    }

    /// The same, each with a note in front.
    pub(crate) fn noted(mut self, note: &str) -> Self {
        for fault in &mut self.first {
            fault.evidence = format!("{note}: {}", fault.evidence);
        }
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// How many of one kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// The first of them, in words; an empty text if there are none.
    pub fn evidence(&self, most: usize) -> String {
        let lines = self.first.iter().take(most);
        lines.map(|fault| format!("{}: {}\n", fault.kind.name(), fault.evidence)).collect()
    }
}

impl fmt::Display for Faults {
    /// `0 lost, 0 duplicates, ...`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", self.count(kind), kind.name())?;
        }
        Ok(())
    }
}

use crate::{Each, Outlook, Windows};

/// When a bridge may be connected, and when what its rules are for may go. What has no windows always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timetable {
    /// For the bridge as a whole.
    pub link: Option<Windows>,
    /// For messages of each priority, where the link is open. That of normal priority has none: what comes in goes by its session.
    pub priorities: Each<Option<Windows>>,
}

/// What is open at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether the bridge may be connected.
    pub link: Outlook,
    /// Whether messages of each priority may go.
    pub priorities: Each<Outlook>,
}

impl Timetable {
    /// What is open at a moment in seconds since 1970; while it is not known what time it is (`None`), only what always is.
    #[must_use]
    pub fn at(&self, unix_s: Option<u64>) -> Opening {
        let outlook = |windows: &Option<Windows>| match (windows, unix_s) {
            (None, _) => Outlook::OPEN,
            (Some(windows), Some(unix_s)) => windows.at(unix_s),
            (Some(windows), None) => Outlook { open: windows.are_always_open(), until: None },
        };
        Opening {
            link: outlook(&self.link),
            priorities: Each::from_fn(|priority| outlook(self.priorities.of(priority))),
        }
    }
}

impl Opening {
    /// Whether the same is open at that moment.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let open = |it: &Self| (it.link.open, Each::from_fn(|of| it.priorities.of(of).open));
        open(self) == open(other)
    }

    /// When the next of them changes, as far as that is known.
    #[must_use]
    pub fn next_edge(&self) -> Option<u64> {
        let priorities = self.priorities.iter().filter_map(|outlook| outlook.until);
        priorities.chain(self.link.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Priority, Span};

    #[test]
    fn what_has_no_windows_is_open_and_the_next_edge_is_anyones() {
        let monday = 1_795_996_800;
        let windows = |hour: u32| Windows::new(&[Span { from: hour * 60, minutes: 60 }], 0);
        let mut timetable = Timetable { link: windows(2), ..Timetable::default() };
        *timetable.priorities.of_mut(Priority::Low) = windows(1);
        let at = |hour: u64| timetable.at(Some(monday + hour * 3600));
        let is = |opening: Opening| {
            (opening.link.open, opening.priorities.low.open, opening.priorities.normal.open)
        };
        assert_eq!(
            [at(0), at(1), at(2)].map(is),
            [(false, false, true), (false, true, true), (true, false, true)]
        );
        assert_eq!(at(0).next_edge(), Some(monday + 3600));
        assert_eq!(at(1).next_edge(), Some(monday + 2 * 3600));
        assert!(at(0).is_as(&at(4)) && !at(0).is_as(&at(1)));
        let unknown = timetable.at(None);
        assert_eq!((is(unknown), unknown.next_edge()), ((false, false, true), None));
        let always = Windows::new(&[Span { from: 9, minutes: 7 * 1440 }], 0);
        let timetable = Timetable { link: always, ..Timetable::default() };
        assert!(timetable.at(None).link.open, "whatever the time is");
    }
}

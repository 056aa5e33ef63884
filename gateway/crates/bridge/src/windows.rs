/// Seconds of a week, after which everything repeats.
const WEEK: u64 = 7 * DAY;
const DAY: u64 = 24 * 3600;

const WEEK_MINUTES: u32 = 7 * 24 * 60;

/// 1970 began with a Thursday.
const DAYS_FROM_MONDAY_TO_1970: u64 = 3;

/// A part of each week, as somebody with a clock and a calendar states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins, in minutes since the beginning of Monday.
    pub from: u32,
    /// How long it is, in minutes. It may pass the end of the week.
    pub minutes: u32,
}

/// The times of a week at which something is open: those of some spans, whether these overlap or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Begin and end of each, in minutes since Monday 00:00 UTC: in their order, apart from each other, within the week. At least
    /// one.
    open: Vec<(u32, u32)>,
}

/// How something is at a moment, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Whether it is open.
    pub open: bool,
    /// When that changes, in seconds since 1970; `None` if it never does, or nobody knows when.
    pub until: Option<u64>,
}

impl Outlook {
    /// Open at all times.
    pub const OPEN: Self = Self { open: true, until: None };
}

impl Windows {
    /// What is open in these spans, on a calendar that is `offset` minutes ahead of UTC; `None` if that is never.
    #[must_use]
    pub fn new(spans: &[Span], offset: i32) -> Option<Self> {
        let mut pieces = Vec::new();
        for span in spans {
            let from = i64::from(span.from) - i64::from(offset);
            let from = u32::try_from(from.rem_euclid(WEEK_MINUTES.into())).unwrap_or_default();
            let to = from + span.minutes.min(WEEK_MINUTES);
            pieces.push((from, to.min(WEEK_MINUTES)));
            pieces.push((0, to.saturating_sub(WEEK_MINUTES)));
        }
        pieces.retain(|(from, to)| from < to);
        pieces.sort_unstable();
        let mut open: Vec<(u32, u32)> = Vec::new();
        for (from, to) in pieces {
            match open.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => open.push((from, to)),
            }
        }
        (!open.is_empty()).then_some(Self { open })
    }

    /// How it is at a moment in seconds since 1970.
    #[must_use]
    pub fn at(&self, unix_s: u64) -> Outlook {
        if self.are_always_open() {
            return Outlook::OPEN;
        }
        let now = (unix_s % WEEK + DAYS_FROM_MONDAY_TO_1970 * DAY) % WEEK;
        let seconds = |minute: u32| u64::from(minute) * 60;
        let first = self.open.first().copied().unwrap_or_default();
        let next = self.open.iter().copied().find(|(_, to)| now < seconds(*to));
        let (open, edge) = match next {
            // The window over the end of a week goes on in the next one.
            Some((from, WEEK_MINUTES)) if seconds(from) <= now && first.0 == 0 => {
                (true, WEEK + seconds(first.1))
            }
            Some((from, to)) if seconds(from) <= now => (true, seconds(to)),
            Some((from, _)) => (false, seconds(from)),
            None => (false, WEEK + seconds(first.0)),
        };
        Outlook { open, until: Some(unix_s.saturating_add(edge - now)) }
    }

    /// Whether they leave nothing out: then no clock is asked.
    #[must_use]
    pub fn are_always_open(&self) -> bool {
        self.open == [(0, WEEK_MINUTES)]
    }

    /// Whether there is a time at which these and those are open.
    #[must_use]
    pub fn meet(&self, others: &Self) -> bool {
        let meets =
            |(from, to): &(u32, u32)| others.open.iter().any(|it| it.0 < *to && *from < it.1);
        self.open.iter().any(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 30 November 2026, 00:00 UTC.
    const MONDAY: u64 = 1_795_996_800;

    fn span(day: u32, hour: u32, minutes: u32) -> Span {
        Span { from: day * 1440 + hour * 60, minutes }
    }

    fn edge(open: bool, until: u64) -> Outlook {
        Outlook { open, until: Some(until) }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // Friday, 22:00 to 06:00.
        let windows = Windows::new(&[span(4, 22, 480)], 0).unwrap();
        let friday = MONDAY + 4 * DAY;
        let (from, to) = (friday + 22 * 3600, friday + 30 * 3600);
        assert_eq!(windows.at(from - 1), edge(false, from));
        assert_eq!(windows.at(from), edge(true, to));
        assert_eq!(windows.at(to - 1), edge(true, to));
        assert_eq!(windows.at(to), edge(false, from + WEEK));
        assert_eq!(windows.at(MONDAY), edge(false, from));
    }

    #[test]
    fn the_end_of_the_week_is_no_edge() {
        // Sunday, 22:00 to 06:00 on Monday, an hour ahead of UTC.
        let windows = Windows::new(&[span(6, 22, 480)], 60).unwrap();
        let to = MONDAY + 5 * 3600;
        assert_eq!(windows.at(MONDAY - 60), edge(true, to));
        assert_eq!(windows.at(MONDAY), edge(true, to));
        assert_eq!(windows.at(to), edge(false, MONDAY + 6 * DAY + 21 * 3600));
    }

    #[test]
    fn what_overlaps_is_one_and_what_covers_all_has_no_edge() {
        let windows = Windows::new(&[span(0, 1, 60), span(0, 1, 90), span(0, 2, 60)], 0).unwrap();
        assert_eq!(windows.open, [(60, 180)]);
        let days: Vec<_> = (0..7).map(|day| span(day, 0, 1440)).collect();
        for offset in [-720, -1, 0, 330, 840] {
            let windows = Windows::new(&days, offset).unwrap();
            assert_eq!(windows.at(MONDAY + 7), Outlook::OPEN);
        }
        assert_eq!(Windows::new(&[], 0), None);
        assert_eq!(Windows::new(&[span(0, 0, 0)], 0), None);
    }

    #[test]
    fn windows_meet_where_both_are_open() {
        let night = Windows::new(&[span(6, 22, 480)], 0).unwrap();
        let meets = |day, hour, minutes| {
            let other = Windows::new(&[span(day, hour, minutes)], 0).unwrap();
            assert_eq!(night.meet(&other), other.meet(&night));
            night.meet(&other)
        };
        assert!(meets(0, 5, 60) && meets(6, 0, 1440));
        assert!(!meets(0, 6, 60) && !meets(6, 21, 60) && !meets(3, 0, 1440));
    }

    /// What each minute of a week is by what was stated, without thinking.
    fn naive(spans: &[Span], offset: i32) -> Vec<bool> {
        let mut open = vec![false; WEEK_MINUTES as usize];
        for span in spans {
            for minute in span.from..span.from + span.minutes {
                let utc =
                    (i64::from(minute) - i64::from(offset)).rem_euclid(i64::from(WEEK_MINUTES));
                open[usize::try_from(utc).unwrap()] = true;
            }
        }
        open
    }

    #[test]
    fn any_windows_are_what_a_week_minute_by_minute_is() {
        // A small generator: a case is its seed.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut below = |most: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u32::try_from(state % most).unwrap()
        };
        for case in 0..150 {
            let most = [30, 1440, u64::from(WEEK_MINUTES) + 1][case % 3];
            let span = |below: &mut dyn FnMut(u64) -> u32| Span {
                from: below(WEEK_MINUTES.into()),
                minutes: below(most),
            };
            let spans: Vec<_> = (0..=below(6)).map(|_| span(&mut below)).collect();
            let offset = i32::try_from(below(1561)).unwrap() - 720;
            let week = naive(&spans, offset);
            let Some(windows) = Windows::new(&spans, offset) else {
                assert!(!week.contains(&true), "case {case}");
                continue;
            };
            let start = MONDAY + WEEK * u64::from(below(1000));
            let shift = u64::from(below(60));
            // How far it is to the next change: known of the last minute before it, then of those before that.
            let mut ahead = vec![0_u64; week.len()];
            let changes = week.contains(&true) && week.contains(&false);
            for minute in (0..if changes { 2 * week.len() } else { 0 }).rev() {
                let (here, next) = (minute % week.len(), (minute + 1) % week.len());
                ahead[here] = if week[here] == week[next] { ahead[next] + 1 } else { 1 };
            }
            for (minute, is_open) in week.iter().copied().enumerate() {
                let begin = start + minute as u64 * 60;
                let until = changes.then(|| begin + ahead[minute] * 60);
                let expected = Outlook { open: is_open, until };
                assert_eq!(windows.at(begin + shift), expected, "case {case}, minute {minute}");
            }
        }
    }
}

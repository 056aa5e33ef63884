use std::cell::Cell;

use bridge::{Each, Priority, Span, Timetable, Windows};

use super::rules::Passage;
use crate::section::Section;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DAY_MINUTES: u32 = 24 * 60;

/// Windows in one list, at most.
const MOST: usize = 100;

/// Minutes ahead of UTC that a clock somewhere shows.
const OFFSETS: std::ops::RangeInclusive<i32> = -12 * 60..=14 * 60;

/// When a bridge may be connected, and the offset from UTC by which that is stated.
pub(super) struct Hours {
    offset: i32,
    link: Option<Windows>,
    /// Whether some have a fault, and those that are left are not to be judged.
    are_faulty: Cell<bool>,
}

/// `windows` and `utc-offset` of a bridge.
pub(super) fn read(bridge: &Section<'_>) -> Hours {
    let mut hours = Hours { offset: offset(bridge), link: None, are_faulty: Cell::new(false) };
    hours.link = hours.windows(bridge);
    hours
}

impl Hours {
    /// `windows` of a bridge or of a rule: a list such as `["mon-fri 22:00-06:00", "sat,sun 00:00-24:00"]`.
    pub(super) fn windows(&self, section: &Section<'_>) -> Option<Windows> {
        let texts = section.texts("windows")?;
        let fault = |line: usize, why: &str| {
            section.fault(line, "windows", why);
            self.are_faulty.set(true);
        };
        let line = section.line_of("windows").unwrap_or_default();
        if texts.len() > MOST {
            fault(line, &format!("holds {} of them, the most is {MOST}", texts.len()));
        }
        if texts.is_empty() {
            fault(line, "is empty, so nothing would ever go; remove it, or state a window");
        }
        let mut spans = Vec::new();
        for text in &texts {
            match parse(text.value) {
                Ok(more) => spans.extend(more),
                Err(why) => fault(text.line, &format!("\"{}\" {why}", text.value)),
            }
        }
        Windows::new(&spans, self.offset)
    }

    /// Those of the bridge and of its rules of `out`. Messages of one priority wait in one queue, in their order: so they wait together.
    pub(super) fn timetable(&self, section: &Section<'_>, outward: &[Passage]) -> Timetable {
        let states = |rule: &&Passage| rule.windows.is_some();
        if !section.has("windows") && !outward.iter().any(|rule| states(&rule)) {
            section.meaningless(&["utc-offset"], "without windows; remove it, or state some");
        }
        let judged: &[Passage] = if self.are_faulty.get() { &[] } else { outward };
        for (at, rule) in judged.iter().enumerate() {
            let fault = |why: &str| {
                section.fault(rule.windows_line, &format!("out {}: windows", at + 1), why)
            };
            let peers = outward.iter().enumerate();
            let mut peers = peers.filter(|(_, it)| it.rule.priority == rule.rule.priority);
            let first = peers.next().filter(|(_, it)| it.windows != rule.windows);
            match (&rule.windows, &self.link, first) {
                (Some(_), ..) if rule.rule.priority == Priority::Normal => fault(
                    "cannot be those of normal priority, by whose session messages also come in; add priority = \"low\" \
                     (or \"high\")",
                ),
                (_, _, Some((other, _))) => fault(&format!(
                    "are others than those of out {}, or only one of the two has some; rules of one priority wait in \
                     one queue, so state the same, or another priority",
                    other + 1
                )),
                (Some(windows), Some(link), None) if !windows.meet(link) => {
                    fault("never open while those of the bridge are open; let them overlap");
                }
                _ => {}
            }
        }
        let of = |priority| {
            let mut rules = outward.iter().filter(|it| it.rule.priority == priority);
            rules.find_map(|rule| rule.windows.clone())
        };
        Timetable { link: self.link.clone(), priorities: Each::from_fn(of) }
    }
}

/// Days, of which none are all, and times: `mon-fri 22:00-06:00`. A window that ends before it begins ends on the next day.
fn parse(text: &str) -> Result<Vec<Span>, String> {
    const FORM: &str = "is no window; write days and times, such as \"mon-fri 22:00-06:00\" or \"sat,sun 00:00-24:00\", or \
                        times alone for every day";
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, times) = match words.as_slice() {
        [days, times] => (parse_days(days)?, *times),
        [times] => ((0..7).collect(), *times),
        _ => return Err(FORM.to_owned()),
    };
    let (from, to) = times.split_once('-').ok_or(FORM)?;
    let (from, to) = (time(from)?, time(to)?);
    if from == DAY_MINUTES {
        return Err("begins at 24:00; write 00:00 of the day behind it".to_owned());
    }
    if from == to {
        return Err("is empty, for it ends when it begins; a whole day is 00:00-24:00".to_owned());
    }
    let minutes = if to > from { to - from } else { to + DAY_MINUTES - from };
    Ok(days.into_iter().map(|day| Span { from: day * DAY_MINUTES + from, minutes }).collect())
}

/// `mon`, `mon-fri`, `sat,sun`; a range may pass the end of the week.
fn parse_days(text: &str) -> Result<Vec<u32>, String> {
    let day = |word: &str| {
        let day = (0..).zip(DAYS).find(|(_, name)| *name == word).map(|(day, _)| day);
        day.ok_or_else(|| {
            let days = DAYS.join(", ");
            format!(
                "has \"{word}\", which is no day; they are {days}, as in \"mon-fri\" or \"sat,sun\""
            )
        })
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (day(first)?, day(last)?);
        days.extend((0..=(last + 7 - first) % 7).map(|by| (first + by) % 7));
    }
    Ok(days)
}

/// `22:00` in minutes.
fn time(text: &str) -> Result<u32, String> {
    let time = clock(text).filter(|(hours, minutes)| *hours < 24 || (*hours, *minutes) == (24, 0));
    let time = time.map(|(hours, minutes)| hours * 60 + minutes);
    time.ok_or_else(|| {
        format!("has \"{text}\", which is no time of a day; they go from 00:00 to 23:59, and to 24:00 for its end")
    })
}

/// Two digits, a colon, and two that are minutes.
fn clock(text: &str) -> Option<(u32, u32)> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        let are = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        are.then(|| digits.parse().ok()).flatten()
    };
    Some((two(hours)?, two(minutes).filter(|minutes| *minutes < 60)?))
}

/// `utc-offset`: how many minutes the clock by which windows are stated is ahead of UTC.
fn offset(bridge: &Section<'_>) -> i32 {
    let Some(text) = bridge.text("utc-offset") else { return 0 };
    let signed = |sign: i32, rest: &str| {
        let (hours, minutes) = clock(rest)?;
        i32::try_from(hours * 60 + minutes).ok().map(|minutes| sign * minutes)
    };
    let offset = match text.value.split_at_checked(1) {
        Some(("+", rest)) => signed(1, rest),
        Some(("-", rest)) => signed(-1, rest),
        _ => None,
    };
    offset.filter(|offset| OFFSETS.contains(offset)).unwrap_or_else(|| {
        let why = format!(
            "\"{}\" is no offset from UTC; write hours and minutes from \"-12:00\" to \"+14:00\", such as \"+01:00\". Names \
             of time zones are not known here, and nothing changes with summer time",
            text.value
        );
        bridge.fault(text.line, "utc-offset", &why);
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(text: &str) -> Vec<(u32, u32)> {
        let spans = parse(text).unwrap();
        spans.iter().map(|span| (span.from / DAY_MINUTES, span.minutes)).collect()
    }

    #[test]
    fn windows_are_days_and_times() {
        assert_eq!(starts("sat,sun 00:00-24:00"), [(5, 1440), (6, 1440)]);
        assert_eq!(starts("fri-mon 22:00-06:00"), [(4, 480), (5, 480), (6, 480), (0, 480)]);
        assert_eq!(starts("wed 23:59-00:00"), [(2, 1)]);
        assert_eq!(starts(" 08:30-09:00 ").len(), 7);
        assert_eq!(starts("mon,mon-tue 00:00-00:01").len(), 3, "and overlap");
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", "is no window"),
            ("mon", "is no window"),
            ("mon tue 1-2", "is no window"),
            ("mo 22:00-06:00", "\"mo\", which is no day"),
            ("Mon 22:00-06:00", "\"Mon\", which is no day"),
            ("mon- 22:00-06:00", "\"\", which is no day"),
            ("22:00-25:00", "\"25:00\", which is no time"),
            ("22:00-6:00", "\"6:00\", which is no time"),
            ("22:60-06:00", "\"22:60\", which is no time"),
            ("22:00-24:01", "\"24:01\", which is no time"),
            ("24:00-06:00", "begins at 24:00"),
            ("22:00-22:00", "is empty"),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}

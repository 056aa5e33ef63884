//! Durations in words: `"20ms"`, `"7d"`.

use std::fmt;
use std::time::Duration;

use crate::quantity::Quantity;

/// Milliseconds.
const DURATION: Quantity = Quantity {
    units: &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)],
    form: "is not a duration; write a whole number and one of ms, s, min, h, d, such as \"20ms\"",
    no_unit: "has no unit; write one of ms, s, min, h, d behind it, such as \"20ms\"",
    too_much: "is longer than can be counted; use a shorter duration",
};

/// Reads a number and a unit, such as `20ms`.
///
/// # Errors
/// The end of a sentence that starts with the value.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    DURATION.parse(text).map(Duration::from_millis)
}

/// A duration in the longest unit that expresses it in a whole number.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (number, unit) = DURATION.shortest(all).unwrap_or((0, "ms"));
        write!(f, "{number}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, milliseconds, shown) in [
            ("20ms", 20, "20ms"),
            ("1000 ms", 1000, "1s"),
            ("90s", 90_000, "90s"),
            ("120 min", 7_200_000, "2h"),
            ("7d", 604_800_000, "7d"),
            ("0s", 0, "0ms"),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
            assert_eq!(Span(Duration::from_millis(milliseconds)).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_duration_is_said_so() {
        for text in ["", "ms", "5 m", "5 S", "-1s", "1.5s", "1h30min", "20us"] {
            assert_eq!(parse(text), Err(DURATION.form), "{text}");
        }
        assert_eq!(parse("20"), Err(DURATION.no_unit));
        assert_eq!(parse("99999999999999999d"), Err(DURATION.too_much));
        assert_eq!(parse("99999999999999999999999s"), Err(DURATION.too_much));
    }
}

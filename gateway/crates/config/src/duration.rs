//! Durations in words: `"20ms"`, `"7d"`.

use std::fmt;
use std::time::Duration;

/// The units, longest first, and their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a number and a unit, such as `20ms`.
///
/// # Errors
/// The end of a sentence that starts with the value.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(FORM)?;
    if number.is_empty() {
        return Err(FORM);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(NO_UNIT);
    }
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
    // Only digits: what else can be wrong is that there are too many.
    let number: u64 = number.parse().map_err(|_| TOO_LONG)?;
    number.checked_mul(*milliseconds).map(Duration::from_millis).ok_or(TOO_LONG)
}

const FORM: &str =
    "is not a duration; write a whole number and one of ms, s, min, h, d, such as \"20ms\"";
const NO_UNIT: &str = "has no unit; write one of ms, s, min, h, d behind it, such as \"20ms\"";
const TOO_LONG: &str = "is longer than can be counted; use a shorter duration";

/// A duration in the longest unit that expresses it in a whole number.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_millis();
        let unit = UNITS.iter().find(|(_, ms)| all > 0 && all.is_multiple_of(u128::from(*ms)));
        let (name, milliseconds) = unit.copied().unwrap_or(("ms", 1));
        write!(f, "{}{name}", all / u128::from(milliseconds))
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
            assert_eq!(parse(text), Err(FORM), "{text}");
        }
        assert_eq!(parse("20"), Err(NO_UNIT));
        assert_eq!(parse("99999999999999999d"), Err(TOO_LONG));
        assert_eq!(parse("99999999999999999999999s"), Err(TOO_LONG));
    }
}

//! Sizes in words: `"16 MiB"`.

use std::fmt;

/// The units, largest first, and their bytes.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a number and a unit. The error ends a sentence that starts with the value.
pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
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
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
    // Only digits: what else can be wrong is that there are too many.
    let number: u64 = number.parse().map_err(|_| TOO_LARGE)?;
    number.checked_mul(*bytes).ok_or(TOO_LARGE)
}

const FORM: &str =
    "is not a size; write a whole number and one of B, KiB, MiB, GiB, such as \"16 MiB\"";
const NO_UNIT: &str = "has no unit; write one of B, KiB, MiB, GiB behind it, such as \"16 MiB\"";
const TOO_LARGE: &str = "is more than 16 EiB; use a smaller size";

/// A size in the largest unit that expresses it in a whole number.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        let (name, bytes) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{} {name}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("16 MiB", 16 << 20, "16 MiB"),
            ("1024KiB", 1 << 20, "1 MiB"),
            (" 1500 B ", 1500, "1500 B"),
            ("3 GiB", 3 << 30, "3 GiB"),
            ("0 MiB", 0, "0 B"),
        ] {
            assert_eq!(parse(text), Ok(bytes));
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_size_is_said_so() {
        for text in ["", "MiB", "16 MB", "16 mib", "-1 B", "1.5 MiB", "16 MiB x", "½ B"] {
            assert_eq!(parse(text), Err(FORM), "{text}");
        }
        assert_eq!(parse("16"), Err(NO_UNIT));
        assert_eq!(parse("17179869184 GiB"), Err(TOO_LARGE));
        assert_eq!(parse("99999999999999999999 B"), Err(TOO_LARGE));
    }
}

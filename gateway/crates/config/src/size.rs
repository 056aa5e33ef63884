//! Sizes in words: `"16 MiB"`.

use std::fmt;

use crate::quantity::Quantity;

/// Bytes.
const SIZE: Quantity = Quantity {
    units: &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)],
    form: "is not a size; write a whole number and one of B, KiB, MiB, GiB, such as \"16 MiB\"",
    no_unit: "has no unit; write one of B, KiB, MiB, GiB behind it, such as \"16 MiB\"",
    too_much: "is more than 16 EiB; use a smaller size",
};

/// Reads a number and a unit. The error ends a sentence that starts with the value.
pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
    SIZE.parse(text)
}

/// A size in the largest unit that expresses it in a whole number.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = SIZE.shortest(self.0).unwrap_or((0, "B"));
        write!(f, "{number} {unit}")
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
            assert_eq!(parse(text), Err(SIZE.form), "{text}");
        }
        assert_eq!(parse("16"), Err(SIZE.no_unit));
        assert_eq!(parse("17179869184 GiB"), Err(SIZE.too_much));
        assert_eq!(parse("99999999999999999999 B"), Err(SIZE.too_much));
    }
}

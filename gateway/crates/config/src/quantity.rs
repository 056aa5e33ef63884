//! A whole number and a unit, as durations and sizes are written.

/// The units of a kind of quantity, the largest first, and what is said of text that is none of it.
pub(crate) struct Quantity {
    /// Their names, and how many of the smallest each is.
    pub(crate) units: &'static [(&'static str, u64)],
    /// Said of text that is no number with a unit; the end of a sentence that starts with the text, as the others.
    pub(crate) form: &'static str,
    /// Said of a number alone.
    pub(crate) no_unit: &'static str,
    /// Said of more than 64 bits.
    pub(crate) too_much: &'static str,
}

impl Quantity {
    /// Reads a number and a unit; the answer is in the smallest unit.
    pub(crate) fn parse(&self, text: &str) -> Result<u64, &'static str> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(self.form)?;
        if number.is_empty() {
            return Err(self.form);
        }
        let unit = unit.trim_start();
        if unit.is_empty() {
            return Err(self.no_unit);
        }
        let (_, each) = self.units.iter().find(|(name, _)| *name == unit).ok_or(self.form)?;
        // Only digits: what else can be wrong is that there are too many.
        let number: u64 = number.parse().map_err(|_| self.too_much)?;
        number.checked_mul(*each).ok_or(self.too_much)
    }

    /// The largest unit in which an amount of the smallest is a whole number, and that number. None for nothing at all.
    pub(crate) fn shortest(&self, amount: u64) -> Option<(u64, &'static str)> {
        let unit = self.units.iter().find(|(_, each)| amount > 0 && amount.is_multiple_of(*each));
        unit.map(|(name, each)| (amount / each, *name))
    }
}

use std::str::FromStr;

/// The words of a user name.
pub(crate) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split(' ').collect())
    }

    /// What is to be done.
    pub(crate) fn verb(&self) -> &'a str {
        self.0.first().copied().unwrap_or_default()
    }

    pub(crate) fn plain(&self, index: usize) -> Result<&'a str, String> {
        self.0.get(index).copied().ok_or_else(|| format!("word {index} is missing"))
    }

    /// Bytes, or nothing where the word is `-`.
    pub(crate) fn optional(&self, index: usize) -> Result<Option<&'a [u8]>, String> {
        let word = self.plain(index)?;
        Ok((word != "-").then_some(word.as_bytes()))
    }

    pub(crate) fn number<T: FromStr>(&self, index: usize) -> Result<T, String> {
        let word = self.plain(index)?;
        word.parse().map_err(|_| format!("{word:?} is no such number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_from_the_verb() {
        let words = Words::of("swap k - 7");
        assert_eq!(words.verb(), "swap");
        assert_eq!((words.plain(1), words.optional(2)), (Ok("k"), Ok(None)));
        assert_eq!((words.optional(3), words.number(3)), (Ok(Some(&b"7"[..])), Ok(7_u8)));
        assert!(words.plain(4).is_err() && words.number::<u8>(1).is_err());
    }
}

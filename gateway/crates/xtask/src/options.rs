use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::failure::Failure;

/// The `--name value` pairs behind a command.
#[derive(Debug)]
pub(crate) struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    /// Reads pairs with these names; with anything else the user is told the `usage`.
    pub(crate) fn parse(
        mut words: &[&'a str],
        names: &[&str],
        usage: &str,
    ) -> Result<Self, Failure> {
        let mut options = BTreeMap::new();
        while let [name, value, rest @ ..] = words {
            if !names.contains(name) || options.insert(*name, *value).is_some() {
                return Err(Failure::Usage(usage.to_owned()));
            }
            words = rest;
        }
        if words.is_empty() { Ok(Self(options)) } else { Err(Failure::Usage(usage.to_owned())) }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// A number above 0.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, Failure> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Failure::Usage(format!("{name} \"{value}\" is no number above 0"))),
        }
    }

    /// The load generator, without which there is nothing to measure.
    pub(crate) fn mqload(&self) -> Result<PathBuf, Failure> {
        self.text("--mqload").map(PathBuf::from).ok_or_else(|| {
            Failure::Usage("--mqload PATH is missing: the program that makes the load".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["--mqload", "--count"];

    #[test]
    fn pairs_are_read_once_each() {
        let options = Options::parse(&["--count", "5", "--mqload", "m"], &NAMES, "").unwrap();
        assert_eq!(options.number("--count").unwrap(), Some(5));
        assert_eq!(options.mqload().unwrap(), PathBuf::from("m"));
        for words in [&["--other", "1"][..], &["--count"], &["--count", "1", "--count", "2"]] {
            assert!(Options::parse(words, &NAMES, "").is_err(), "{words:?}");
        }
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        let options = Options::parse(&["--count", "0"], &NAMES, "").unwrap();
        assert!(options.number("--count").is_err());
        assert!(options.mqload().is_err());
        assert_eq!(options.number("--repeats").unwrap(), None);
    }
}

//! The users file: `name:hash` a line, blank lines and lines that begin with `#` aside.
//!
//! The hash is Argon2id in PHC form, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`. A name may hold anything but
//! `:` and may not begin with `#`; blanks around name and hash are not part of them.

use std::collections::BTreeMap;
use std::fmt;

/// The cost of a decoy when the file holds no user whose cost it could have.
const DEFAULT_COST: &str = "v=19$m=19456,t=2,p=1";
/// 16 bytes of salt and 32 of hash, in the base64 without padding of PHC strings.
const DECOY_SALT: &str = "cG9ydGN1bGxpcy1kZWNveQ";
const DECOY_HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Who may log in, and the hash of each one's password.
#[derive(Debug)]
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    decoy: String,
}

impl Users {
    /// Reads a users file. All malformed lines are reported at once; no hash is ever part of a report.
    pub(crate) fn parse(text: &str) -> Result<Self, Faults> {
        let mut hashes = BTreeMap::new();
        let mut first_line = BTreeMap::new();
        let mut costs = BTreeMap::new();
        let mut faults = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash, cost) = match entry(line) {
                Ok(entry) => entry,
                Err(wrong) => {
                    faults.push((number, wrong));
                    continue;
                }
            };
            if let Some(&first) = first_line.get(name) {
                faults.push((number, Wrong::Repeated(name.to_owned(), first)));
                continue;
            }
            first_line.insert(name, number);
            hashes.insert(name.to_owned(), hash.to_owned());
            *costs.entry(cost).or_insert(0_usize) += 1;
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let cost = costs
            .into_iter()
            .max_by_key(|(_, users)| *users)
            .map_or(DEFAULT_COST, |(cost, _)| cost);
        Ok(Self { hashes, decoy: format!("$argon2id${cost}${DECOY_SALT}${DECOY_HASH}") })
    }

    /// The hash of `name`'s password; none when there is no such user.
    pub(crate) fn hash_of(&self, name: &str) -> Option<&str> {
        self.hashes.get(name).map(String::as_str)
    }

    /// A hash that belongs to nobody and costs what most users' hashes cost.
    pub(crate) fn decoy(&self) -> &str {
        &self.decoy
    }

    /// How many users there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Name, hash, and the part of the hash that says what a check costs.
fn entry(line: &str) -> Result<(&str, &str, &str), Wrong> {
    let (name, hash) = line.split_once(':').ok_or(Wrong::NoColon)?;
    let (name, hash) = (name.trim(), hash.trim());
    if name.is_empty() {
        return Err(Wrong::NoName);
    }
    cost(hash).map(|cost| (name, hash, cost)).ok_or_else(|| Wrong::Hash(name.to_owned()))
}

/// The version and the parameters of an Argon2id hash in PHC form; none for any other text.
fn cost(hash: &str) -> Option<&str> {
    let rest = hash.strip_prefix("$argon2id$")?;
    let (rest, digest) = rest.rsplit_once('$')?;
    let (cost, salt) = rest.rsplit_once('$')?;
    let base64 = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
    };
    let (version, parameters) = cost.split_once('$')?;
    let known =
        version.starts_with("v=") && parameters.starts_with("m=") && !parameters.contains('$');
    (known && base64(salt) && base64(digest)).then_some(cost)
}

/// Each line of a users file that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Faults(Vec<(usize, Wrong)>);

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    NoColon,
    NoName,
    Hash(String),
    Repeated(String, usize),
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (line, wrong)) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "users line {line}: {wrong}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => f.write_str("there is no `:` between name and hash"),
            Self::NoName => f.write_str("there is no name before the `:`"),
            Self::Hash(name) => write!(
                f,
                "the hash of \"{name}\" is not Argon2id in PHC form ($argon2id$v=19$m=...,t=...,p=...$salt$hash)"
            ),
            Self::Repeated(name, first) => {
                write!(f, "\"{name}\" is on line {first} already; remove one of the two")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
    const DEAR: &str = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g";

    #[test]
    fn comments_and_blank_lines_are_no_users() {
        let users = Users::parse(&format!("# people\n\n  # more\nann:{CHEAP}\r\n b b : {DEAR} \n"))
            .unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users.hash_of("ann"), Some(CHEAP));
        assert_eq!(users.hash_of("b b"), Some(DEAR));
        assert_eq!(users.hash_of("# people"), None);
        assert_eq!(users.hash_of("Ann"), None, "names differ by case");
    }

    #[test]
    fn an_empty_file_lets_nobody_in_and_still_has_a_decoy() {
        let users = Users::parse("").unwrap();
        assert_eq!(users.len(), 0);
        assert_eq!(cost(users.decoy()), Some(DEFAULT_COST));
    }

    #[test]
    fn the_decoy_costs_what_most_users_cost() {
        let users = Users::parse(&format!("a:{CHEAP}\nb:{DEAR}\nc:{DEAR}\n")).unwrap();
        assert_eq!(cost(users.decoy()), Some("v=19$m=65536,t=3,p=4"));
        assert!(users.hashes.values().all(|hash| hash != users.decoy()));
    }

    #[test]
    fn every_malformed_line_is_named_once_and_no_hash_is_shown() {
        let text = format!(
            "ann\n:{CHEAP}\nbob:secret-in-the-clear\ncid:{CHEAP}\ncid:{DEAR}\ndan:$2b$12$abcdefghijkl\n"
        );
        let report = Users::parse(&text).unwrap_err().to_string();
        let lines: Vec<_> = report.split("; users line ").collect();
        assert_eq!(lines.len(), 5, "{report}");
        assert!(lines[0].starts_with("users line 1: there is no `:`"), "{report}");
        assert!(lines[1].starts_with("2: there is no name"), "{report}");
        assert!(lines[2].starts_with("3: the hash of \"bob\" is not Argon2id"), "{report}");
        assert!(lines[3].starts_with("5: \"cid\" is on line 4 already"), "{report}");
        assert!(lines[4].starts_with("6: the hash of \"dan\""), "{report}");
        assert!(!report.contains("secret") && !report.contains("$2b$"), "{report}");
    }

    #[test]
    fn hashes_of_another_shape_are_refused() {
        for hash in [
            "",
            "$argon2id$",
            "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$",
            "$argon2id$v=19$m=8,t=1,p=1$$aGFzaGhhc2g",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFz aGhhc2g",
        ] {
            assert_eq!(cost(hash), None, "{hash}");
        }
        assert_eq!(cost(CHEAP), Some("v=19$m=8,t=1,p=1"));
    }
}

use std::io::Read;
use std::path::Path;

use auth::password::{self, Cost};

use crate::cli::say;
use crate::failure::Failure;
use crate::secret;
use crate::users::UsersFile;

/// Where a new password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Password {
    /// The first line of standard input.
    FromStdin,
    /// It is made, and shown once.
    Made,
}

/// Bytes of a password at most: what MQTT can carry (5.0, 3.1.3.6).
const PASSWORD_BYTES_MAX: usize = 65_535;

/// `portcullis user add`
pub(crate) fn add(name: &str, file: &Path, source: Password) -> Result<(), Failure> {
    let mut users = UsersFile::open_or_new(file)?;
    let password = match source {
        Password::FromStdin => first_line(std::io::stdin().lock())?,
        Password::Made => secret::password()?,
    };
    let known = users.set(name, &hash(&password)?)?;
    users.save()?;
    let verb = if known { "has a new password" } else { "was added" };
    say(&format!("user \"{name}\" {verb} in {}", file.display()))?;
    if source == Password::Made {
        say(&format!("the password, which is not shown again: {password}"))?;
    }
    say("a running gateway reads the file again on SIGHUP")
}

/// `portcullis user remove`
pub(crate) fn remove(name: &str, file: &Path) -> Result<(), Failure> {
    let mut users = UsersFile::open(file)?;
    if !users.remove(name) {
        return Err(Failure::User(format!(
            "there is no user \"{name}\" in {}; name one that is there",
            file.display()
        )));
    }
    users.save()?;
    say(&format!("user \"{name}\" was removed from {}", file.display()))?;
    say("a running gateway reads the file again on SIGHUP; connections that exist stay")
}

/// The argon2id hash of a password, with a salt of its own.
pub(crate) fn hash(password: &str) -> Result<String, Failure> {
    password::hash(password.as_bytes(), &secret::random()?, Cost::DEFAULT)
        .map_err(|error| Failure::User(format!("the password cannot be hashed: {error}")))
}

fn first_line(input: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    // One more than allowed, and a line end, so that a longer one is noticed.
    let limit = PASSWORD_BYTES_MAX as u64 + 3;
    input.take(limit).read_to_string(&mut text).map_err(|error| Failure::System {
        what: "read the password from standard input",
        error,
    })?;
    let password = text.lines().next().unwrap_or_default();
    let why = match password.len() {
        0 => "is empty; write it as the first line of standard input",
        1..=PASSWORD_BYTES_MAX => return Ok(password.to_owned()),
        _ => "has more than 65535 bytes, the most that MQTT can carry; choose a shorter one",
    };
    Err(Failure::User(format!("the password {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        assert_eq!(first_line(&b"pass word\nrest"[..]).unwrap(), "pass word");
        assert_eq!(first_line(&b"dos\r\n"[..]).unwrap(), "dos");
        assert!(first_line(&b""[..]).is_err());
        assert!(first_line(&b"\nlater"[..]).is_err());
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        assert_eq!(first_line(format!("{longest}\n").as_bytes()).unwrap(), longest);
        assert!(first_line(format!("{longest}y\n").as_bytes()).is_err());
    }

    #[test]
    fn hashes_are_of_the_password_and_salted() {
        let (first, second) = (hash("a").unwrap(), hash("a").unwrap());
        assert_ne!(first, second);
        assert_eq!(password::verify(b"a", &first), password::Check::Match);
        assert_eq!(password::verify(b"b", &first), password::Check::Mismatch);
    }
}

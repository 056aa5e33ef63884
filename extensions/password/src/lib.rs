//! Authenticator: clients that prove themselves with a user name and a password.
//!
//! | configuration | meaning |
//! | --- | --- |
//! | `users` | text of the users file, see [`users`]; usually under `[extensions.NAME.files]` |
//! | `deny-unknown` | `true` (unless told) refuses a name that is not in the file; `false` leaves it to the next extension in the chain |
//!
//! A client without a user name or without a password is left to the next extension. A refusal never tells
//! whether the name exists: neither in its words nor in its time.
//!
//! Grants: `config`, `credentials`, `log`.

mod users;

use portcullis_extension::{
    Authenticator, Client, Config, Connection, Denial, Extension, Grant, HookError, Outcome,
    PasswordCheck, Secret, log, reason, verify_password,
};
use users::Users;

struct Password {
    users: Users,
    deny_unknown: bool,
}

impl Extension for Password {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&["deny-unknown", "users"])?;
        let deny_unknown = config.flag("deny-unknown", true)?;
        let users = Users::parse(&config.require("users")?).map_err(|faults| faults.to_string())?;
        log::info("users read", &[("users", &users.len())]);
        Ok(Self { users, deny_unknown })
    }
}

impl Authenticator for Password {
    fn authenticate(
        &self,
        client: &Client,
        _connection: &Connection,
        secret: Secret,
    ) -> Result<Outcome, HookError> {
        let (Some(name), Secret::Password(password)) = (&client.username, secret) else {
            return Ok(Outcome::Abstain);
        };
        let stored = self.users.hash_of(name);
        // An unknown name costs the same check as a known one; its result is not looked at.
        let hash = stored.unwrap_or(self.users.decoy());
        let check = verify_password(&password, hash);
        match (stored, check) {
            (_, PasswordCheck::Busy) => {
                Err(HookError::Unavailable("too many password checks are under way".to_owned()))
            }
            (Some(_), PasswordCheck::Match) => Ok(Outcome::Accept(Grant::new(name))),
            (Some(_), PasswordCheck::UnsupportedHash) => Err(HookError::Internal(format!(
                "the gateway cannot check the hash of user \"{name}\"; set the password again"
            ))),
            (Some(_), PasswordCheck::Mismatch) => Ok(refused(name, "wrong password")),
            (None, _) if !self.deny_unknown => Ok(Outcome::Abstain),
            (None, _) => Ok(refused(name, "unknown user")),
        }
    }
}

/// The client hears the same in both cases; only the log at level debug tells them apart.
fn refused(name: &str, why: &str) -> Outcome {
    log::debug("password refused", &[("user", &name), ("why", &why)]);
    Outcome::Reject(Denial::new(
        reason::BAD_USER_NAME_OR_PASSWORD,
        "user name or password is not right",
    ))
}

portcullis_extension::register!(Password);

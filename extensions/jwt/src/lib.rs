//! Authenticator: clients that show a signed token (JWT), as their password or by enhanced authentication of MQTT 5.
//!
//! | configuration | meaning |
//! | --- | --- |
//! | `key-set` | name of the key set in `[extensions.NAME.key-sets]` that verifies the tokens |
//! | `method` | authentication method (MQTT 5) whose Authentication Data is the token; `JWT` unless told |
//! | `principal-claim` | claim that names the client; `sub` unless told |
//! | `username-claim` | claim that a user name, if the client sends one, must equal; not looked at unless told |
//! | `client-id` | `any` (unless told), `equals:CLAIM`, or `prefix:CLAIM`: the claim's value, alone or followed by the separator and anything |
//! | `client-id-separator` | `-` unless told |
//! | `attributes` | names with commas between them, each a claim or `NAME=CLAIM`: what `${attr.NAME}` stands for |
//! | `rules` | text of rules and limits as for `acl`; usually under `[extensions.NAME.files]` |
//! | `permissions-claim` | claim that lists topic filters: itself for both actions, `.publish` and `.subscribe` below it for one |
//!
//! A claim is named by its path, such as `realm_access.roles`. With `rules` or `permissions-claim` the token says what the client may
//! do: rules first, then what the claim allows, and nothing else. With neither, the authorizers of the chain do. A client
//! without anything that looks like a token is left to the next extension. When the token is not valid any more
//! the client is disconnected, unless it has authenticated again (MQTT 5).
//!
//! Grants: `config`, `credentials`, `log`.

mod judgement;
mod permissions;
mod settings;

use judgement::{Accepted, judge};
use portcullis_extension::{
    Acceptance, Authenticator, Client, ClientLimits, Config, Connection, Denial,
    EnhancedAuthenticator, Exchange, Extension, Grant, HookError, Limits, Outcome, Progress,
    Secret, TokenError, log, reason, verify_token,
};
use settings::Settings;

struct Jwt {
    settings: Settings,
}

impl Extension for Jwt {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&Settings::KEYS)?;
        Ok(Self { settings: Settings::read(|key| config.get(key))? })
    }
}

impl Authenticator for Jwt {
    fn authenticate(
        &self,
        client: &Client,
        _connection: &Connection,
        secret: Secret,
    ) -> Result<Outcome, HookError> {
        let Secret::Password(password) = secret else { return Ok(Outcome::Abstain) };
        let Some(token) = as_token(&password) else { return Ok(Outcome::Abstain) };
        Ok(match self.decide(client, token)? {
            Ok(accepted) => Outcome::Accept(Grant {
                principal: accepted.principal,
                attributes: accepted.attributes,
                permissions: accepted.permissions,
                valid_for_ms: accepted.valid_for_ms,
            }),
            Err(Refused::Token(why)) => {
                Outcome::Reject(Denial::new(reason::BAD_USER_NAME_OR_PASSWORD, why))
            }
            Err(Refused::Client(why)) => Outcome::Reject(Denial::new(reason::NOT_AUTHORIZED, why)),
        })
    }
}

impl ClientLimits for Jwt {
    fn limit(&self, client: &Client, _connection: &Connection) -> Result<Limits, HookError> {
        let rules = self.settings.rules.as_ref().zip(client.principal.as_deref());
        Ok(rules.map_or(Limits::none(), |(rules, principal)| rules.limits_of(principal)))
    }
}

impl EnhancedAuthenticator for Jwt {
    fn methods(&self) -> Vec<String> {
        vec![self.settings.method.clone()]
    }

    fn step(
        &self,
        client: &Client,
        _connection: &Connection,
        exchange: Exchange,
    ) -> Result<Progress, HookError> {
        let Some(token) = exchange.data.as_deref().and_then(as_token) else {
            return Ok(Progress::refuse(
                reason::NOT_AUTHORIZED,
                "the authentication data is no token",
            ));
        };
        Ok(match self.decide(client, token)? {
            Ok(accepted) => Progress::Accept(Acceptance {
                principal: accepted.principal,
                attributes: accepted.attributes,
                permissions: accepted.permissions,
                valid_for_ms: accepted.valid_for_ms,
                data: None,
            }),
            Err(Refused::Token(why) | Refused::Client(why)) => {
                Progress::refuse(reason::NOT_AUTHORIZED, why)
            }
        })
    }
}

/// Why a client is refused.
enum Refused {
    /// Its token is no good.
    Token(String),
    /// Its token is good, and not for it.
    Client(String),
}

impl Jwt {
    fn decide(&self, client: &Client, token: &str) -> Result<Result<Accepted, Refused>, HookError> {
        let decided = match verify_token(&self.settings.key_set, token) {
            Ok(verified) => judge(&self.settings, client, &verified).map_err(Refused::Client),
            Err(TokenError::UnknownKeySet) => {
                return Err(HookError::Internal(format!(
                    "there is no key set \"{0}\"; add [extensions.NAME.key-sets.{0}] to gateway.toml",
                    self.settings.key_set
                )));
            }
            Err(error) => match error.as_hook_error() {
                Some(failure) => return Err(failure),
                None => Err(Refused::Token(error.why().to_owned())),
            },
        };
        if let Err(Refused::Token(why) | Refused::Client(why)) = &decided {
            log::debug("token refused", &[("client", &client.client_id), ("why", why)]);
        }
        Ok(decided)
    }
}

/// What may be a signed token: three parts of base64url with dots between them, of which only the last may be empty.
fn as_token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let coded = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
    };
    let whole = !header.is_empty() && !payload.is_empty() && parts.next().is_none();
    (whole && [header, payload, signature].into_iter().all(coded)).then_some(text)
}

portcullis_extension::register!(Jwt);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_to_others() {
        for token in ["e30.e30.c2ln", "e30.e30."] {
            assert_eq!(as_token(token.as_bytes()), Some(token));
        }
        for password in ["", "hunter2", "a.b", "a.b.c.d", "..", "a..b", "my.pass word.x", "a.b.ü"]
        {
            assert_eq!(as_token(password.as_bytes()), None, "{password}");
        }
        assert_eq!(as_token(b"a.b.\xff"), None);
    }
}

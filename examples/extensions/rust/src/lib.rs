//! Tenants on one gateway, each with its own topics: the example in Rust. `../README.md` tells what it does and has the same in
//! other languages; `cargo xtask examples rust` builds it to `target/languages/rust.wasm`.
//!
//! `settings.rs` reads the configuration, `tenant.rs` reads a token; here are the hooks.

mod settings;
mod tenant;

use portcullis_extension::{
    Actions, Authenticator, Authorizer, Client, Config, Connection, Denial, Extension, Fallback,
    Grant, HookError, Outcome, PermissionSet, Publication, Qos, Rule, Secret, Subscription,
    TokenError, Validity, Verdict, log, reason, verify_token,
};
use settings::Settings;
use tenant::{ADMIN, NOTICES, ROLE, TENANT};

/// For how long the gateway remembers that an administrator may publish to a tenant.
const ADMIN_TTL_MS: u32 = 60_000;

struct Tenants {
    settings: Settings,
}

impl Extension for Tenants {
    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self { settings: Settings::read(config)? })
    }
}

impl Authenticator for Tenants {
    fn authenticate(
        &self,
        client: &Client,
        _connection: &Connection,
        secret: Secret,
    ) -> Result<Outcome, HookError> {
        let Secret::Password(password) = secret else { return Ok(Outcome::Abstain) };
        let reject = |code, why: &str| Ok(Outcome::Reject(Denial::new(code, why)));
        let Ok(token) = std::str::from_utf8(&password) else {
            return reject(
                reason::BAD_USER_NAME_OR_PASSWORD,
                "the password is no token: it is not UTF-8",
            );
        };
        let key_set = &self.settings.key_set;
        let verified = match verify_token(key_set, token) {
            Ok(verified) => verified,
            Err(TokenError::Unavailable(why)) => return Err(HookError::Unavailable(why)),
            Err(TokenError::UnknownKeySet) => {
                return Err(HookError::Internal(format!(
                    "there is no key set \"{key_set}\"; add [extensions.NAME.key-sets.{key_set}] to gateway.toml"
                )));
            }
            Err(error) => return reject(reason::BAD_USER_NAME_OR_PASSWORD, error.why()),
        };
        let member = match tenant::member(&self.settings, &verified) {
            Ok(member) => member,
            Err(why) => return reject(reason::NOT_AUTHORIZED, &why),
        };
        if !client.client_id.starts_with(&format!("{}-", member.tenant)) {
            // It could take over the session of another tenant's client.
            let why = format!(
                "client identifier \"{}\" does not begin with \"{}-\"",
                client.client_id, member.tenant
            );
            return reject(reason::CLIENT_IDENTIFIER_NOT_VALID, &why);
        }
        let mut attributes = vec![(TENANT.to_owned(), member.tenant.clone())];
        if member.is_admin {
            attributes.push((ROLE.to_owned(), ADMIN.to_owned()));
            let fields: [(&str, &dyn std::fmt::Display); 2] =
                [("client", &client.client_id), ("tenant", &member.tenant)];
            log::info("administrator let in", &fields);
        }
        let valid_for_ms = verified.valid_for_ms;
        Ok(Outcome::Accept(Grant { attributes, valid_for_ms, ..Grant::new(member.subject) }))
    }
}

impl Authorizer for Tenants {
    fn permissions(
        &self,
        _client: &Client,
        connection: &Connection,
    ) -> Result<Option<PermissionSet>, HookError> {
        if connection.attribute(TENANT).is_none() {
            // Another authenticator of the chain let it in.
            return Ok(None);
        }
        let both = Actions::PUBLISH | Actions::SUBSCRIBE;
        let own = Rule::allow(both, "${attr.tenant}/#");
        let notices = Rule::allow(Actions::SUBSCRIBE, format!("{NOTICES}/#"));
        Ok(Some(PermissionSet {
            rules: vec![
                Rule { label: Some("own topics".to_owned()), ..own },
                Rule { label: Some(NOTICES.to_owned()), max_qos: Qos::AtLeastOnce, ..notices },
            ],
            // Whatever else a client wants is another tenant's: that takes an administrator, and a no has a reason.
            fallback: Fallback::Ask,
        }))
    }

    fn authorize_publish(
        &self,
        _client: &Client,
        connection: &Connection,
        publication: &Publication,
    ) -> Result<Verdict, HookError> {
        let Some(tenant) = connection.attribute(TENANT) else { return Ok(Verdict::abstain()) };
        let owner = tenant::owner(&publication.topic);
        if owner.starts_with('$') {
            return Ok(deny(format!("topics below \"{owner}\" are the gateway's")));
        }
        if !is_admin(connection) {
            return Ok(deny(format!(
                "topic \"{}\" is of \"{owner}\", and the client is of \"{tenant}\"",
                publication.topic
            )));
        }
        if publication.retain {
            return Ok(deny(format!(
                "an administrator leaves no retained messages with \"{owner}\""
            )));
        }
        let validity = Validity {
            ttl_ms: ADMIN_TTL_MS,
            filter: Some(format!("{owner}/#")),
            max_qos: Qos::ExactlyOnce,
            retain: false,
        };
        Ok(Verdict { validity: Some(validity), ..Verdict::allow() })
    }

    fn authorize_subscribe(
        &self,
        _client: &Client,
        connection: &Connection,
        subscription: &Subscription,
    ) -> Result<Verdict, HookError> {
        let Some(tenant) = connection.attribute(TENANT) else { return Ok(Verdict::abstain()) };
        let filter = &subscription.filter;
        let owner = tenant::owner(filter);
        if owner.starts_with('$') {
            return Ok(deny(format!("topics below \"{owner}\" are the gateway's")));
        }
        if is_admin(connection) {
            return Ok(Verdict::allow());
        }
        Ok(deny(match owner {
            "+" | "#" => format!("filter \"{filter}\" reaches others than \"{tenant}\""),
            _ => {
                format!("filter \"{filter}\" is of \"{owner}\", and the client is of \"{tenant}\"")
            }
        }))
    }
}

fn is_admin(connection: &Connection) -> bool {
    connection.attribute(ROLE).as_deref() == Some(ADMIN)
}

fn deny(why: String) -> Verdict {
    Verdict::deny(reason::NOT_AUTHORIZED, why)
}

portcullis_extension::register!(Tenants);

//! Lets in the devices of one site, and gives each its own topics.
//!
//! Settings: `site`, the first level of all topics; `token`, what devices show as their password.
//! Grants: `config`, `credentials`, `log`.

use portcullis_extension::{
    Actions, Authenticator, Authorizer, Client, Config, Connection, Denial, Extension, Fallback,
    Grant, HookError, Outcome, PermissionSet, Publication, Rule, Secret, Subscription, Verdict,
    equal, log, reason,
};

/// Bytes of an alarm at most: a rule could not say that, so the hook is asked.
const ALARM_BYTES_MAX: u32 = 1024;

struct MyExtension {
    site: String,
    token: String,
}

impl Extension for MyExtension {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&["site", "token"])?;
        let (site, token) = (config.require("site")?, config.require("token")?);
        log::info("ready", &[("site", &site)]);
        Ok(Self { site, token })
    }
}

impl Authenticator for MyExtension {
    fn authenticate(
        &self,
        client: &Client,
        _connection: &Connection,
        secret: Secret,
    ) -> Result<Outcome, HookError> {
        let Secret::Password(password) = secret else { return Ok(Outcome::Abstain) };
        if !equal(&password, self.token.as_bytes()) {
            log::warn("wrong token", &[("client", &client.client_id)]);
            let denial = Denial::new(reason::BAD_USER_NAME_OR_PASSWORD, "the token is wrong");
            return Ok(Outcome::Reject(denial));
        }
        if !client.client_id.starts_with(&format!("{}-", self.site)) {
            let why = format!(
                "client identifier \"{}\" does not begin with \"{}-\"",
                client.client_id, self.site
            );
            return Ok(Outcome::Reject(Denial::new(reason::CLIENT_IDENTIFIER_NOT_VALID, why)));
        }
        let attributes = vec![("site".to_owned(), self.site.clone())];
        Ok(Outcome::Accept(Grant { attributes, ..Grant::new(&client.client_id) }))
    }
}

impl Authorizer for MyExtension {
    fn permissions(
        &self,
        _client: &Client,
        connection: &Connection,
    ) -> Result<Option<PermissionSet>, HookError> {
        if connection.attribute("site").is_none() {
            // Another authenticator of the chain let the client in.
            return Ok(None);
        }
        let site = &self.site;
        // Checked by the gateway itself, without a call.
        let rules = vec![
            Rule::allow(Actions::PUBLISH, format!("{site}/${{client-id}}/#")),
            Rule::allow(Actions::SUBSCRIBE, format!("{site}/commands/${{client-id}}")),
        ];
        // What no rule speaks of is asked about below.
        Ok(Some(PermissionSet { rules, fallback: Fallback::Ask }))
    }

    fn authorize_publish(
        &self,
        _client: &Client,
        _connection: &Connection,
        publication: &Publication,
    ) -> Result<Verdict, HookError> {
        let Publication { topic, payload_size, .. } = publication;
        if *topic != format!("{}/alarms", self.site) {
            let why = format!("topic \"{topic}\" is not the client's");
            return Ok(Verdict::deny(reason::NOT_AUTHORIZED, why));
        }
        if *payload_size > ALARM_BYTES_MAX {
            let why = format!("an alarm has at most {ALARM_BYTES_MAX} bytes");
            return Ok(Verdict::deny(reason::NOT_AUTHORIZED, why));
        }
        Ok(Verdict::allow())
    }

    fn authorize_subscribe(
        &self,
        _client: &Client,
        _connection: &Connection,
        subscription: &Subscription,
    ) -> Result<Verdict, HookError> {
        let why = format!("filter \"{}\" is not the client's", subscription.filter);
        Ok(Verdict::deny(reason::NOT_AUTHORIZED, why))
    }
}

portcullis_extension::register!(MyExtension);

//! Authorizer: ordered rules in a text, per user and per group.
//!
//! The configuration value `rules` is the text of the rules file (see `extensions/README.md`). Each client gets the rules
//! that speak of it, in their order, as a permission set; the gateway checks it natively, puts the client
//! identifier and the principal in, and refuses what no rule matches. The first limit that speaks of the client holds.
//!
//! Grants: `config`, `log`.

use portcullis_extension::{
    Authorizer, Client, ClientLimits, Config, Connection, Extension, HookError, Limits,
    PermissionSet, log,
};
use portcullis_rules::Rules;

struct Acl {
    rules: Rules,
}

impl Extension for Acl {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&["rules"])?;
        let rules = Rules::parse(&config.require("rules")?).map_err(|faults| faults.to_string())?;
        log::info("rules read", &[("rules", &rules.len())]);
        Ok(Self { rules })
    }
}

impl Authorizer for Acl {
    fn permissions(
        &self,
        client: &Client,
        _connection: &Connection,
    ) -> Result<Option<PermissionSet>, HookError> {
        let Some(principal) = &client.principal else {
            return Ok(None);
        };
        Ok(Some(PermissionSet::first_match(self.rules.granted_to(principal))))
    }
}

impl ClientLimits for Acl {
    fn limit(&self, client: &Client, _connection: &Connection) -> Result<Limits, HookError> {
        let principal = client.principal.as_deref();
        Ok(principal.map_or(Limits::none(), |principal| self.rules.limits_of(principal)))
    }
}

portcullis_extension::register!(Acl);

//! Authorizer: ordered rules in a text, per user and per group.
//!
//! The configuration value `rules` is the text of the rules file (see [`rules`]). Each client gets the rules
//! that speak of it, in their order, as a permission set; the gateway checks it natively, puts the client
//! identifier and the principal in, and refuses what no rule matches.
//!
//! Grants: `config`, `log`.

mod filter;
mod line;
mod rules;

use portcullis_extension::{
    Actions, Authorizer, Client, Config, Connection, Effect, Extension, HookError, PermissionSet,
    Qos, Rule, log,
};
use rules::Rules;

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
        Ok(Some(PermissionSet::first_match(self.rules.of(principal).map(as_contract).collect())))
    }
}

fn as_contract(rule: &line::Rule) -> Rule {
    let actions = if rule.publish { Actions::PUBLISH } else { Actions::empty() }
        | if rule.subscribe { Actions::SUBSCRIBE } else { Actions::empty() };
    Rule {
        effect: if rule.allow { Effect::Allow } else { Effect::Deny },
        actions,
        filter: rule.filter.clone(),
        max_qos: match rule.max_qos {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        },
        retain: rule.retain,
        label: Some(rule.label.clone()),
    }
}

portcullis_extension::register!(Acl);

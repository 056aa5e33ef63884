//! Authorizer for benches: what a rule `allow publish,subscribe PREFIX/#` would say natively, asked for at each publish.
//!
//! It is asked about several publishes in one call where they come together; without its feature `bulk` about each by itself.
//!
//! Configuration: `prefix`, the first level of the topics; `remember-ms`, for how long a verdict holds, 0 for its publish alone.
//!
//! Grants: `config`, `log`.

use std::time::Duration;

use portcullis_extension::{
    Actions, Authorizer, Client, Config, Connection, Extension, Fallback, HookError, PermissionSet,
    Publication, Rule, Verdict, reason,
};
#[cfg(feature = "bulk")]
use portcullis_extension::{Publications, Published, Rulings};

struct Asked {
    prefix: String,
    remember: Duration,
}

impl Extension for Asked {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&["prefix", "remember-ms"])?;
        let prefix = format!("{}/", config.require("prefix")?);
        let remember = config.require("remember-ms")?;
        let remember = remember
            .parse()
            .map_err(|_| format!("remember-ms = \"{remember}\" is no number of milliseconds"))?;
        Ok(Self { prefix, remember: Duration::from_millis(remember) })
    }
}

impl Authorizer for Asked {
    fn permissions(
        &self,
        _client: &Client,
        _connection: &Connection,
    ) -> Result<Option<PermissionSet>, HookError> {
        let rules = vec![Rule::allow(Actions::SUBSCRIBE, format!("{}#", self.prefix))];
        Ok(Some(PermissionSet { rules, fallback: Fallback::Ask }))
    }

    fn authorize_publish(
        &self,
        _client: &Client,
        _connection: &Connection,
        publication: &Publication,
    ) -> Result<Verdict, HookError> {
        Ok(self.verdict(&publication.topic))
    }
}

impl Asked {
    fn verdict(&self, topic: &str) -> Verdict {
        match topic.starts_with(&self.prefix) {
            true if self.remember.is_zero() => Verdict::allow(),
            true => Verdict::allow().remembered(self.remember),
            false => Verdict::deny(reason::NOT_AUTHORIZED, "not below the prefix"),
        }
    }
}

#[cfg(feature = "bulk")]
impl portcullis_extension::BulkAuthorizer for Asked {
    fn authorize_publications(
        &self,
        _connection: &Connection,
        publications: &Publications,
    ) -> Result<Rulings, HookError> {
        let verdict = |one: Published<'_>| self.verdict(one.topic);
        if self.remember.is_zero()
            && publications.iter().all(|one| one.topic.starts_with(&self.prefix))
        {
            return Ok(Rulings::AllAllowed);
        }
        Ok(Rulings::Each(publications.iter().map(verdict).collect()))
    }
}

portcullis_extension::register!(Asked);

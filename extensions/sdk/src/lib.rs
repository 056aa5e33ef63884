//! Write an extension of the Portcullis MQTT gateway in Rust.
//!
//! An extension is a type that implements [`Extension`] and a trait for each hook; [`register!`] makes it
//! the component. Name the hooks as features of this crate, so that the component exports exactly those:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! portcullis-extension = { version = "0.1", features = ["authenticator"] }
//! ```
//!
//! An authenticator that lets in one device, whose name is in the configuration:
//!
#![cfg_attr(feature = "authenticator", doc = "```")]
#![cfg_attr(not(feature = "authenticator"), doc = "```ignore")]
//! use portcullis_extension::{
//!     Authenticator, Client, Config, Connection, Denial, Extension, Grant, HookError, Outcome, Secret,
//!     reason,
//! };
//!
//! struct OneDevice {
//!     name: String,
//! }
//!
//! impl Extension for OneDevice {
//!     fn start(config: &Config) -> Result<Self, String> {
//!         Ok(Self { name: config.require("device")? })
//!     }
//! }
//!
//! impl Authenticator for OneDevice {
//!     fn authenticate(
//!         &self,
//!         client: &Client,
//!         connection: &Connection,
//!         _secret: Secret,
//!     ) -> Result<Outcome, HookError> {
//!         let Some(certificate) = connection.peer_certificate() else {
//!             return Ok(Outcome::Abstain);
//!         };
//!         Ok(if certificate.common_name.as_ref() == Some(&self.name) {
//!             Outcome::Accept(Grant::new(&self.name))
//!         } else {
//!             Outcome::Reject(Denial::new(reason::NOT_AUTHORIZED, "this device is not known here"))
//!         })
//!     }
//! }
//!
//! portcullis_extension::register!(OneDevice);
//! # fn main() {}
//! ```
//!
//! Each instance of a component serves one call at a time and holds its own value; the gateway makes and
//! discards instances as it sees fit, so a hook keeps nothing between calls that it could not lose.
//!
//! | feature | trait | for |
//! |---|---|---|
//! | `authenticator` | `Authenticator` | who a client is |
//! | `enhanced-authenticator` | `EnhancedAuthenticator` | the same, by challenges and responses |
//! | `authorizer` | `Authorizer` | what a client may do |
//! | `bulk-authorizer` | `BulkAuthorizer` | the same about several publishes in one call, in the form that costs least |
//! | `client-limits` | `ClientLimits` | how much a client may do |
//! | `publish-interceptor` | `PublishInterceptor` | what becomes of messages that clients publish |
//! | `delivery-interceptor` | `DeliveryInterceptor` | what becomes of messages on their way to a client |
//! | `observer` | `Observer` | what happens |
//! | `reconfiguration` | `Reconfigure` | new settings without a new beginning |
//!
//! What a hook may do and when it is called is told in `wit/README.md`.

#[doc(hidden)]
pub mod bindings;
pub mod broker;
#[cfg(feature = "bulk-authorizer")]
mod bulk;
pub mod cache;
pub mod clock;
mod config;
mod enhanced;
mod extension;
mod grant;
pub mod http;
mod interception;
pub mod key_value;
pub mod log;
pub mod metrics;
mod observation;
pub mod random;
pub mod reason;
mod register;
mod token;
mod verdict;

pub use bindings::portcullis::gateway::types::{
    Actions, Certificate, Client, Connection, Denial, Effect, Fallback, HookError, PermissionSet,
    Qos, Rule,
};
pub use bindings::portcullis::host::credentials::{
    PasswordCheck, TokenError, VerifiedToken, equal, hmac_sha256, verify_password, verify_token,
};
pub use config::Config;
pub use extension::Extension;

#[cfg(feature = "authenticator")]
pub use bindings::authenticator::hook::{Grant, Outcome, Secret};
#[cfg(feature = "authenticator")]
pub use extension::Authenticator;

#[cfg(feature = "enhanced-authenticator")]
pub use bindings::enhanced_authenticator::hook::{Acceptance, Challenge, Exchange, Progress};
#[cfg(feature = "enhanced-authenticator")]
pub use extension::EnhancedAuthenticator;

#[cfg(feature = "authorizer")]
pub use bindings::authorizer::exports::portcullis::gateway::authorizer::{
    Opinion, Publication, Subscription, Validity, Verdict,
};
#[cfg(feature = "bulk-authorizer")]
pub use bindings::authorizer::exports::portcullis::gateway::bulk_authorizer::{
    Publications, Rulings,
};
#[cfg(feature = "bulk-authorizer")]
pub use bulk::{BulkAuthorizer, Published};
#[cfg(feature = "authorizer")]
pub use extension::Authorizer;

#[cfg(feature = "client-limits")]
pub use bindings::client_limits::hook::{Limits, Rate};
#[cfg(feature = "client-limits")]
pub use extension::ClientLimits;

#[cfg(feature = "delivery-interceptor")]
pub use bindings::delivery_interceptor::hook::{
    Action as DeliveryAction, Change as DeliveryChange,
};
#[cfg(any(feature = "publish-interceptor", feature = "delivery-interceptor"))]
pub use bindings::portcullis::gateway::interception::{Interest, Message};
#[cfg(feature = "publish-interceptor")]
pub use bindings::publish_interceptor::hook::{Action as PublishAction, Change as PublishChange};
#[cfg(feature = "delivery-interceptor")]
pub use interception::DeliveryInterceptor;
#[cfg(feature = "publish-interceptor")]
pub use interception::PublishInterceptor;

#[cfg(feature = "observer")]
pub use bindings::observer::hook::Event;
#[cfg(feature = "observer")]
pub use observation::Observer;

#[cfg(feature = "reconfiguration")]
pub use extension::Reconfigure;

/// What [`register!`] expands to. Not for use by hand, and not covered by any promise.
#[doc(hidden)]
pub mod expansion {
    pub use crate::register::{Hooks, Instance};
}

//! Who may do what, decided in memory.
//!
//! An extension states [`Permissions`] once, when it authenticates a client. They are compiled to
//! a [`PermissionSet`], which every client with the same permissions shares, and which answers
//! each publish, subscribe and delivery without calling the extension again.
//!
//! - [`Rule`], [`Permissions`]: what an extension states;
//! - [`Template`]: a topic filter with placeholders such as `${client-id}`;
//! - [`PermissionSet`]: the compiled form, [`Decision`] its answer, [`Trace`] the answer with its rule;
//! - [`PermissionSets`]: equal permissions become one shared set;
//! - [`Grant`]: everything that an authenticator gives to a client;
//! - [`Limits`]: how much a client may do;
//! - [`password`]: argon2id hashes of passwords;
//! - [`jwt`]: JSON Web Tokens, verified against key sets, and drafts of own ones; [`hmac`]: codes under a shared secret;
//! - [`sas`]: shared access signatures;
//! - [`signature`]: who vouches for the component of an extension.
//!
//! Everything here is a value: nothing reads a clock, a file or a source of randomness.

mod decision;
mod grant;
pub mod hmac;
mod identity;
mod index;
mod intern;
pub mod jwt;
mod limits;
pub mod password;
mod rule;
mod rule_error;
pub mod sas;
mod set;
pub mod signature;
pub mod template;
mod trace;

pub use decision::{Decision, DenyCause, DenyReason};
pub use grant::Grant;
pub use identity::Identity;
pub use intern::PermissionSets;
pub use limits::{Excess, Limits, Rate};
pub use rule::{Actions, Effect, Fallback, Permissions, Rule};
pub use rule_error::{RuleError, RuleFault};
pub use set::PermissionSet;
pub use template::Template;
pub use trace::{Act, Trace};

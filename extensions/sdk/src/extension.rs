#[cfg(any(
    feature = "authenticator",
    feature = "enhanced-authenticator",
    feature = "authorizer",
    feature = "client-limits"
))]
use crate::{Client, Connection, HookError};
#[cfg(feature = "enhanced-authenticator")]
use crate::{Exchange, Progress};
#[cfg(feature = "authenticator")]
use crate::{Outcome, Secret};
#[cfg(feature = "authorizer")]
use crate::{PermissionSet, Publication, Subscription, Verdict};

use crate::Config;

/// What every extension is.
pub trait Extension: Sized + 'static {
    /// Makes the value that serves one instance's calls; called once, before any hook.
    ///
    /// New settings come with a new instance: a running one never sees them change, unless it is a `Reconfigure`.
    ///
    /// # Errors
    /// A text for the operator that says which key or line is wrong and what would be right, all
    /// faults at once. The gateway then refuses the extension, or keeps the one that runs.
    fn start(config: &Config) -> Result<Self, String>;
}

/// Says who a client is.
#[cfg(feature = "authenticator")]
pub trait Authenticator: Extension {
    /// Called for each CONNECT.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the client is refused as "server unavailable".
    fn authenticate(
        &self,
        client: &Client,
        connection: &Connection,
        secret: Secret,
    ) -> Result<Outcome, HookError>;
}

/// Says who a client is by challenges and responses (MQTT 5.0, 4.12).
#[cfg(feature = "enhanced-authenticator")]
pub trait EnhancedAuthenticator: Extension {
    /// Names of the methods, as clients put them into CONNECT. Asked once for each configuration.
    fn methods(&self) -> Vec<String>;

    /// Called for each CONNECT that names one of the methods, and for each AUTH of the client after that. What
    /// the next step needs goes into the state of the [`Challenge`](crate::Challenge): it may be taken by
    /// another instance.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the client is refused.
    fn step(
        &self,
        client: &Client,
        connection: &Connection,
        exchange: Exchange,
    ) -> Result<Progress, HookError>;
}

/// Says what a client may do.
#[cfg(feature = "authorizer")]
pub trait Authorizer: Extension {
    /// Called once for each client, when it has been authenticated. None abstains: the next extension in
    /// the listener's chain is asked.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the client is refused.
    fn permissions(
        &self,
        client: &Client,
        connection: &Connection,
    ) -> Result<Option<PermissionSet>, HookError>;

    /// Called for a publish that no rule of this extension's set matches, if the set says
    /// [`Fallback::Ask`](crate::Fallback::Ask). Abstains unless written.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the publish is refused.
    fn authorize_publish(
        &self,
        client: &Client,
        connection: &Connection,
        publication: &Publication,
    ) -> Result<Verdict, HookError> {
        let _ = (client, connection, publication);
        Ok(Verdict::abstain())
    }

    /// Called for each entry of a SUBSCRIBE packet that no rule of this extension's set matches, if the
    /// set says [`Fallback::Ask`](crate::Fallback::Ask). Abstains unless written.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the whole packet's entries are refused.
    fn authorize_subscribe(
        &self,
        client: &Client,
        connection: &Connection,
        subscription: &Subscription,
    ) -> Result<Verdict, HookError> {
        let _ = (client, connection, subscription);
        Ok(Verdict::abstain())
    }
}

/// Says how much a client may do. Of what several extensions and the operator say, the strictest counts.
#[cfg(feature = "client-limits")]
pub trait ClientLimits: Extension {
    /// Called once for each client, when it is known who it is and what it may do; again when it has authenticated again.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no verdict: the client is refused.
    fn limit(&self, client: &Client, connection: &Connection) -> Result<crate::Limits, HookError>;
}

/// Takes new settings without a new beginning: what the value holds besides them stays. Where this is absent, new settings
/// come with new instances and [`Extension::start`].
#[cfg(feature = "reconfiguration")]
pub trait Reconfigure: Extension {
    /// Called between two calls, when the settings have become others.
    ///
    /// # Errors
    /// A text for the operator, as that of [`Extension::start`]. The gateway then goes on with the settings that were,
    /// in other instances: this one is thrown away.
    fn reconfigure(&mut self, config: &Config) -> Result<(), String>;
}

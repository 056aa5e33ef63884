//! What an authenticator gives to a client.

use std::sync::Arc;

use crate::Permissions;

/// What an authenticator granted, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name under which the authenticator knows the client.
    pub principal: Arc<str>,
    /// Further facts about the client, for placeholders and for later extensions.
    pub attributes: Vec<(String, String)>,
    /// What the client may do; `None` leaves the question to the next extension of the chain.
    pub permissions: Option<Permissions>,
    /// Milliseconds from now until the client must authenticate again; `None` is without end.
    pub valid_for_ms: Option<u64>,
}

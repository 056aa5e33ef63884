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
    /// Limits narrower than the gateway's own.
    pub limits: Limits,
}

/// Limits of one client. `None` leaves the gateway's own limit; a value can only lower it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages kept for the client while it is away or slow.
    pub max_queued_messages: Option<u32>,
    /// QoS 1 and 2 messages on the way to the client and not yet acknowledged.
    pub max_inflight: Option<u16>,
    /// Bytes of the largest packet accepted from the client.
    pub max_packet_size: Option<u32>,
    /// Subscriptions that the client may hold at once.
    pub max_subscriptions: Option<u32>,
}

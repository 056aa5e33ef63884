use std::sync::Arc;

use broker::Timestamp;
use extension_host::Connecting;
use transport::Address;

use crate::badges::Badge;

use crate::memory::Memory;

/// How a client came in: what the broker, which knows no network, cannot tell the operator.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) listener: Arc<str>,
    pub(crate) address: Address,
    pub(crate) since: Timestamp,
    /// The version of the extension that said who it is.
    pub(crate) authenticated_by: Arc<str>,
    /// What extensions are told about it. Kept where they may be asked again: a certificate chain is long.
    pub(crate) connecting: Option<Arc<Connecting>>,
    /// What an extension has said about its publishes for a while.
    pub(crate) memory: Memory,
    /// The client certificates that it came in by; `None` without any.
    pub(crate) badge: Option<Box<Badge>>,
}

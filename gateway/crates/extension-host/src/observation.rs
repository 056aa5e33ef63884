//! What happens, as an observer is told it.

/// Events of one call at most.
pub const MAX_EVENTS: usize = 256;

/// Something that happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// Client identifier.
    pub client_id: &'a str,
    /// Name under which it was let in, where that is known.
    pub principal: Option<&'a str>,
    /// What happened, as `wit/README.md` calls it.
    pub kind: &'a str,
    /// Names and values that belong to the kind.
    pub details: Vec<(&'a str, &'a str)>,
}

use core::fmt;

/// Why a connection, or a client, is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is banned, for this reason.
    Banned(String),
    /// Too many connections have come from its address, or from the network around it, of late.
    Arrivals,
    /// Its address, or the network around it, has as many connections as may be.
    Connections,
    /// Too many connections of its address, or of the network around it, are not in yet.
    Strangers,
    /// Its identity has as many connections as may be.
    Identity,
    /// It has come too often of late.
    Flapping,
}

impl Refusal {
    /// A constant name of the cause, for log fields.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Banned(_) => "banned",
            Self::Arrivals => "arrivals",
            Self::Connections => "connections",
            Self::Strangers => "strangers",
            Self::Identity => "identity",
            Self::Flapping => "flapping",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banned(reason) => write!(f, "banned: {reason}"),
            Self::Arrivals => f.write_str(
                "more connections come from its address or network than limits.arrival-rate and arrival-burst allow",
            ),
            Self::Connections => f.write_str(
                "its address or network has as many connections as limits.max-connections-per-address allows",
            ),
            Self::Strangers => f.write_str(
                "more connections of its address or network are not in yet than limits.max-strangers-per-address allows",
            ),
            Self::Identity => f.write_str(
                "its identity has as many connections as limits.max-connections-per-identity allows",
            ),
            Self::Flapping => f.write_str(
                "it connects more often than limits.max-connects-per-client and max-connects-per-address allow",
            ),
        }
    }
}

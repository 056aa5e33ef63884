use core::fmt;
use core::net::IpAddr;

use crate::network::Network;

/// Who is banned: whoever fits all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whom {
    /// Where it comes from.
    pub network: Option<Network>,
    /// The user name that it shows, or the principal that it turns out to be.
    pub identity: Option<String>,
    /// Its client identifier.
    pub client: Option<String>,
}

/// Somebody who may be banned, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guest<'a> {
    /// Where it comes from; `None` for this machine.
    pub address: Option<IpAddr>,
    /// Its user name or principal.
    pub identity: Option<&'a str>,
    /// Its client identifier.
    pub client: Option<&'a str>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub whom: Whom,
    /// Who says so.
    pub by: By,
    /// Why, for people.
    pub reason: String,
    /// Since when: milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// When it ends: milliseconds since the Unix epoch; `None` never.
    pub until_unix_ms: Option<u64>,
}

/// Who has made a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One of the limits.
    Rule,
    /// The operator, by a process of this user where that is known.
    Operator(Option<u32>),
}

/// Why a ban is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanError {
    /// It names nobody.
    Nobody,
    /// A name is empty or too long.
    Name,
    /// There are as many bans of operators as there may be bans.
    Full(usize),
}

impl Whom {
    /// Bytes of a name at most.
    pub const NAME_BYTES_MAX: usize = 256;

    /// All of a network.
    #[must_use]
    pub fn network(network: Network) -> Self {
        Self { network: Some(network), ..Self::default() }
    }

    /// Whether somebody fits all that is named.
    #[must_use]
    pub fn fits(&self, guest: Guest<'_>) -> bool {
        let is_there = |network: &Network| guest.address.is_some_and(|it| network.contains(it));
        self.network.as_ref().is_none_or(is_there)
            && self.identity.as_deref().is_none_or(|name| guest.identity == Some(name))
            && self.client.as_deref().is_none_or(|name| guest.client == Some(name))
    }

    /// Whether nothing but a network is named.
    pub(crate) fn only_network(&self) -> Option<Network> {
        self.network.filter(|_| self.identity.is_none() && self.client.is_none())
    }

    pub(crate) fn check(&self) -> Result<(), BanError> {
        if *self == Self::default() {
            return Err(BanError::Nobody);
        }
        let names = [&self.identity, &self.client];
        let fits = |name: &String| (1..=Self::NAME_BYTES_MAX).contains(&name.len());
        if names.into_iter().flatten().all(fits) { Ok(()) } else { Err(BanError::Name) }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.network.map(|network| format!("network {network}")));
        parts.extend(self.identity.as_ref().map(|name| format!("identity {name:?}")));
        parts.extend(self.client.as_ref().map(|name| format!("client {name:?}")));
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("rule"),
            Self::Operator(None) => f.write_str("operator"),
            Self::Operator(Some(user)) => write!(f, "operator uid={user}"),
        }
    }
}

impl fmt::Display for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str(
                "the ban names nobody; name a network, an identity, a client identifier or several of them",
            ),
            Self::Name => write!(
                f,
                "an identity or a client identifier of a ban has 1 to {} bytes",
                Whom::NAME_BYTES_MAX
            ),
            Self::Full(most) => write!(
                f,
                "there are {most} bans, which is limits.max-bans; lift some, or ban a network that holds several of them"
            ),
        }
    }
}

impl std::error::Error for BanError {}

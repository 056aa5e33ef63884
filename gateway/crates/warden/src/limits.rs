use std::time::Duration;

use crate::bucket::Flow;
use crate::network::Network;

/// What is allowed. An address is an IPv4 address or an IPv6 /64; the network around it, an IPv4 /24 or an IPv6 /48, may
/// do [`Limits::PREFIX_SHARE`] times as much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Who is not counted: neither its connections nor its failures. An operator's ban holds nevertheless.
    pub exempt: Vec<Network>,
    /// New connections of an address a second, in the long run.
    pub arrival_rate: u32,
    /// New connections of an address at once, after it has been quiet.
    pub arrival_burst: u32,
    /// Connections of an address.
    pub connections_per_address: u32,
    /// Connections of an identity.
    pub connections_per_identity: u32,
    /// Connections of an address that are not in yet.
    pub strangers_per_address: u32,
    /// Failed authentications of a name (user name, client identifier) within a network after which it is banned there;
    /// a name that has been let in there within [`Limits::TRUST`] is not.
    pub failures_per_name: u32,
    /// Failed authentications of an address after which it is banned; [`Limits::PROVEN_SHARE`] times as many if somebody
    /// has been let in there within [`Limits::TRUST`].
    pub failures_per_address: u32,
    /// For how long failures are counted.
    pub failure_window: Duration,
    /// For how long a refusal is kept back at most.
    pub failure_delay: Duration,
    /// Connects of a client identifier within a network after which it is banned there.
    pub connects_per_client: u32,
    /// Connects of an address, or of an identity within a network, after which it is banned.
    pub connects_per_address: u32,
    /// For how long connects are counted.
    pub flapping_window: Duration,
    /// How long a ban by one of these rules lasts; with zero there are none.
    pub ban_time: Duration,
    /// Addresses, networks and names of each kind of which something is known.
    pub tracked: usize,
    /// Bans.
    pub bans: usize,
}

impl Limits {
    /// How many times as much as an address the network around it may do.
    pub const PREFIX_SHARE: u32 = 4;

    /// How many times as many failures an address may have from which somebody is let in: many may be behind it, and
    /// one that is set up wrongly must not cost the others their way in.
    pub const PROVEN_SHARE: u32 = 10;

    /// How long it is remembered that somebody was let in.
    pub const TRUST: Duration = Duration::from_secs(24 * 3600);

    /// How many times the failures of a name that are a ban within one network tell of guessing from many.
    pub(crate) const SIEGE: u32 = 10;

    pub(crate) fn flow(&self) -> Flow {
        Flow { rate: self.arrival_rate.into(), burst: self.arrival_burst.into() }
    }
}

impl Default for Limits {
    /// Of a gateway for some thousands of devices, hundreds of which may share an address.
    fn default() -> Self {
        Self {
            exempt: Vec::new(),
            arrival_rate: 20,
            arrival_burst: 1000,
            connections_per_address: 1000,
            connections_per_identity: 5000,
            strangers_per_address: 128,
            failures_per_name: 10,
            failures_per_address: 20,
            failure_window: Duration::from_secs(600),
            failure_delay: Duration::from_secs(5),
            connects_per_client: 30,
            connects_per_address: 2000,
            flapping_window: Duration::from_secs(60),
            ban_time: Duration::from_secs(900),
            tracked: 16_384,
            bans: 4096,
        }
    }
}

pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

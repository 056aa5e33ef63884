//! `[limits]`: what one address or name may do before the gateway has had enough of it, and what the process may use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::network::{self, Network};
use crate::section::Section;

/// Limits against abuse. `gateway/ABUSE.md` says what they count and what happens beyond them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses that none of this counts.
    pub exempt: Vec<Network>,
    /// New connections of an address a second, in the long run.
    pub arrival_rate: u32,
    /// New connections of an address at once.
    pub arrival_burst: u32,
    /// Connections of an address.
    pub max_connections_per_address: u32,
    /// Connections of an identity.
    pub max_connections_per_identity: u32,
    /// Connections of an address that are not in yet.
    pub max_strangers_per_address: u32,
    /// Failures of a name within a network.
    pub max_failures_per_name: u32,
    /// Failures of an address.
    pub max_failures_per_address: u32,
    /// For how long failures are counted.
    pub failure_window: Duration,
    /// How long a refusal is kept back at most.
    pub max_failure_delay: Duration,
    /// Connects of a client identifier within a network.
    pub max_connects_per_client: u32,
    /// Connects of an address or an identity.
    pub max_connects_per_address: u32,
    /// For how long connects are counted.
    pub flapping_window: Duration,
    /// How long a ban by a rule lasts; zero for none.
    pub ban_time: Duration,
    /// Addresses, networks and names of which something is known.
    pub max_tracked: u32,
    /// Bans.
    pub max_bans: u32,
    /// Bytes of memory that the process may use; `None` where the file says nothing.
    pub memory: Option<u64>,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn read(root: &Section<'_>) -> Limits {
    let section = root.section("limits");
    let number = |key, default| section.number(key, default, 1..=1_000_000);
    let limits = Limits {
        exempt: exempt(&section),
        arrival_rate: number("arrival-rate", 20),
        arrival_burst: number("arrival-burst", 1000),
        max_connections_per_address: number("max-connections-per-address", 1000),
        max_connections_per_identity: number("max-connections-per-identity", 5000),
        max_strangers_per_address: number("max-strangers-per-address", 128),
        max_failures_per_name: number("max-failures-per-name", 10),
        max_failures_per_address: number("max-failures-per-address", 20),
        failure_window: section.duration("failure-window", 600 * SECOND, SECOND..=DAY),
        max_failure_delay: section.duration(
            "max-failure-delay",
            5 * SECOND,
            Duration::ZERO..=30 * SECOND,
        ),
        max_connects_per_client: number("max-connects-per-client", 30),
        max_connects_per_address: number("max-connects-per-address", 2000),
        flapping_window: section.duration("flapping-window", 60 * SECOND, SECOND..=HOUR),
        ban_time: section.duration("ban-time", 900 * SECOND, Duration::ZERO..=30 * DAY),
        max_tracked: section.number("max-tracked", 16_384, 16..=1_000_000),
        max_bans: section.number("max-bans", 4096, 1..=100_000),
        memory: memory(&section),
    };
    section.finish();
    limits
}

/// Less than what the gateway takes with one extension.
const LEAST_MEMORY: u64 = 32 << 20;

fn memory(section: &Section<'_>) -> Option<u64> {
    let stated = section.has("memory");
    let memory = section.size("memory", LEAST_MEMORY, LEAST_MEMORY..=1 << 44);
    stated.then_some(memory)
}

/// Those of this machine unless the file says otherwise: whoever is on it has other ways to trouble the gateway.
fn exempt(section: &Section<'_>) -> Vec<Network> {
    let stated = network::read(section, "exempt");
    if section.has("exempt") {
        return stated;
    }
    vec![
        Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ]
}

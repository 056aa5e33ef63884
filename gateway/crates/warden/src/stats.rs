/// What was counted. What begins with `limit_` counts refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections and clients that were refused because they are banned.
    pub refused_banned: u64,
    /// Connections beyond the rate of their address or network.
    pub limit_arrivals: u64,
    /// Connections beyond the number that their address or network may have.
    pub limit_connections_per_address: u64,
    /// Connections beyond the number of strangers that their address or network may have.
    pub limit_strangers_per_address: u64,
    /// Clients beyond the number of connections that their identity may have.
    pub limit_connections_per_identity: u64,
    /// Clients that came too often.
    pub limit_flapping: u64,
    /// Authentications that failed.
    pub failed_authentications: u64,
    /// Connections that used up their time without getting as far as CONNECT.
    pub stalled_connections: u64,
    /// Bans that rules made.
    pub bans_made: u64,
    /// Bans that there are.
    pub bans: u64,
    /// Addresses of which something is known.
    pub tracked_addresses: u64,
}

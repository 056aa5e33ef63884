use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::ban::{Ban, BanError, By, Guest, Whom};
use crate::bans::Bans;
use crate::limits::{Limits, ms};
use crate::names::{Kind, Names};
use crate::network::Network;
use crate::now::Now;
use crate::origins::Origins;
use crate::pass::Pass;
use crate::refusal::Refusal;
use crate::stats::Stats;

/// Keeps count of who comes, and says who may not.
///
/// A connection goes through it in this order: [`glance`](Self::glance) where its address may be forged,
/// [`knock`](Self::knock), then [`greet`](Self::greet) when its CONNECT is there, [`failed`](Self::failed) or
/// [`admit`](Self::admit) when it is known who it is, and in any case [`leave`](Self::leave).
#[derive(Debug)]
pub struct Warden {
    limits: Limits,
    origins: Origins,
    names: Names,
    /// Connections of each identity, by its hash.
    identities: BTreeMap<u64, u32>,
    bans: Bans,
    /// Bans that rules have made and nobody has fetched.
    made: Vec<Ban>,
    /// The bans are not as they were when they were asked for last.
    changed: bool,
    stats: Stats,
}

/// What is to be done with somebody who only claims to be at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glance {
    /// It may go on; it is counted when it has shown that the address is its own.
    Fine,
    /// It has to show that first.
    Prove,
    /// It gets no answer.
    Ignore(Refusal),
}

/// A client that has authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer<'a> {
    /// The user name of its CONNECT.
    pub user: Option<&'a str>,
    /// The client identifier of its CONNECT; empty where the gateway makes it one.
    pub client: &'a str,
    /// Who it is.
    pub principal: &'a str,
    /// Whether it takes the place of a connection that is counted already.
    pub takes_over: bool,
}

/// Failures that cost no delay: people mistype.
const GRACE: u32 = 2;

/// What the first delay is, in milliseconds; each further one is twice as long.
const FIRST_DELAY_MS: u64 = 100;

impl Warden {
    /// Nobody has come yet. `seed` is to be known to nobody else: names are told apart by it.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            origins: Origins::new(&limits),
            names: Names::new(&limits, seed),
            identities: BTreeMap::new(),
            bans: Bans::new(limits.bans),
            made: Vec::new(),
            changed: false,
            stats: Stats::default(),
            limits,
        }
    }

    /// Somebody wants a connection who may not be where it claims to be. Nothing is counted: it might be somebody else
    /// who would pay for it.
    pub fn glance(&mut self, now: Now, address: IpAddr) -> Glance {
        if let Some(ban) = self.bans.of_address(now, address) {
            let refusal = Refusal::Banned(ban.reason.clone());
            self.stats.refused_banned += 1;
            return Glance::Ignore(refusal);
        }
        let scarce =
            !self.is_exempt(address) && self.origins.is_scarce(now.up_ms, address, &self.limits);
        if scarce { Glance::Prove } else { Glance::Fine }
    }

    /// Somebody connects from an address that is its own, or from this machine. It is a stranger until
    /// [`admit`](Self::admit).
    ///
    /// # Errors
    /// Why it may not. Then it is not counted.
    pub fn knock(&mut self, now: Now, address: Option<IpAddr>) -> Result<Pass, Refusal> {
        let Some(address) = address else { return Ok(Pass { exempt: true, ..Pass::default() }) };
        if let Some(ban) = self.bans.of_address(now, address) {
            let refusal = Refusal::Banned(ban.reason.clone());
            return Err(self.count(refusal));
        }
        let exempt = self.is_exempt(address);
        let counted = if exempt {
            [false; 2]
        } else {
            let counted = self.origins.knock(now.up_ms, address, &self.limits);
            counted.map_err(|refusal| self.count(refusal))?
        };
        Ok(Pass { address: Some(address), exempt, counted, is_in: false, identity: None })
    }

    /// A CONNECT has come: answers how long it has to wait before it is decided about.
    ///
    /// # Errors
    /// If whoever it names is banned.
    pub fn greet(
        &mut self,
        now: Now,
        pass: &Pass,
        user: Option<&str>,
        client: &str,
    ) -> Result<Duration, Refusal> {
        let guest = Guest { address: pass.address, identity: user, client: Some(client) };
        self.check_ban(now, guest)?;
        let (Some(address), Some(user)) = (pass.origin(), user) else { return Ok(Duration::ZERO) };
        let [_, network] = Network::around(address);
        let besieged = self.names.is_besieged(now.up_ms, network, user, &self.limits);
        Ok(if besieged { self.limits.failure_delay } else { Duration::ZERO })
    }

    /// A client has not shown who it is: answers how long its refusal is to be kept back.
    pub fn failed(&mut self, now: Now, pass: &Pass, user: Option<&str>, client: &str) -> Duration {
        self.stats.failed_authentications += 1;
        let Some(address) = pass.origin() else { return Duration::ZERO };
        if self.bans.of_address(now, address).is_some() {
            // What was under way when it was banned is not held against the network around it.
            return self.limits.failure_delay;
        }
        let [_, network] = Network::around(address);
        let guest = Guest { address: None, identity: user, client: Some(client) };
        let (of_name, culprits) = self.names.blame(now.up_ms, network, guest, &self.limits);
        for (whom, count) in culprits {
            self.ban(now, whom, format!("{count} failed authentications"));
        }
        let of_address = self.blame_origin(now, address, "failed authentications");
        self.delay(of_name.max(of_address))
    }

    /// A connection has used up its time without getting as far as CONNECT.
    pub fn stalled(&mut self, now: Now, pass: &Pass) {
        self.stats.stalled_connections += 1;
        let Some(address) = pass.origin() else { return };
        if self.bans.of_address(now, address).is_none() {
            self.blame_origin(now, address, "connections that came to nothing");
        }
    }

    /// A client has shown who it is, and is a stranger no more.
    ///
    /// # Errors
    /// If it is banned, comes too often, or its identity has too many connections.
    pub fn admit(&mut self, now: Now, pass: &mut Pass, who: &Newcomer<'_>) -> Result<(), Refusal> {
        let shown = Guest {
            address: pass.address,
            identity: Some(who.principal),
            client: Some(who.client),
        };
        self.check_ban(now, shown)?;
        let Some(address) = pass.origin() else {
            pass.is_in = true;
            return Ok(());
        };
        if self.is_flapping(now, address, shown) {
            return Err(self.count(Refusal::Flapping));
        }
        let identity = self.names.hash(Kind::Identity, who.principal);
        let open = self.identities.get(&identity).copied().unwrap_or(0);
        if open >= self.limits.connections_per_identity && !who.takes_over {
            return Err(self.count(Refusal::Identity));
        }
        let [_, network] = Network::around(address);
        let named = Guest { address: None, identity: who.user, client: Some(who.client) };
        self.names.trust(now.up_ms, network, named);
        self.identities.insert(identity, open.saturating_add(1));
        self.origins.settle(address, pass.counted);
        (pass.identity, pass.is_in) = (Some(identity), true);
        Ok(())
    }

    /// A connection ends.
    #[expect(clippy::needless_pass_by_value, reason = "nobody is to hand it back twice")]
    pub fn leave(&mut self, pass: Pass) {
        if let Some(address) = pass.origin() {
            if !pass.is_in {
                self.origins.settle(address, pass.counted);
            }
            self.origins.leave(address, pass.counted);
        }
        if let Some(identity) = pass.identity
            && let Some(open) = self.identities.get_mut(&identity)
        {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.identities.remove(&identity);
            }
        }
    }

    /// Bans somebody, as the operator says or as was kept of earlier bans.
    ///
    /// # Errors
    /// If it names nobody, or there is no room.
    pub fn add(&mut self, now: Now, ban: Ban) -> Result<(), BanError> {
        self.bans.add(now, ban)?;
        self.changed = true;
        Ok(())
    }

    /// Lifts a ban; answers whether there was one.
    pub fn lift(&mut self, whom: &Whom) -> bool {
        let was_there = self.bans.remove(whom);
        self.changed |= was_there;
        was_there
    }

    /// Whether somebody is banned; nobody is counted.
    #[must_use]
    pub fn is_banned(&self, now: Now, guest: Guest<'_>) -> bool {
        self.bans.of_guest(now, guest).is_some()
    }

    /// The bans that hold: networks first, in order.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = &Ban> {
        self.bans.all(now)
    }

    /// Forgets bans that have ended; answers whether those that there are have changed since the last time.
    pub fn take_changed(&mut self, now: Now) -> bool {
        let over = self.bans.expire(now);
        std::mem::take(&mut self.changed) || over
    }

    /// What was asked for last has come to nothing: the bans are to be asked for again.
    pub fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// The bans that rules have made since the last time.
    pub fn take_made(&mut self) -> Vec<Ban> {
        std::mem::take(&mut self.made)
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            bans: self.bans.len() as u64,
            tracked_addresses: self.origins.tracked() as u64,
            ..self.stats
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.limits.exempt.iter().any(|network| network.contains(address))
    }

    fn check_ban(&mut self, now: Now, guest: Guest<'_>) -> Result<(), Refusal> {
        let ban = self.bans.of_guest(now, guest);
        match ban.map(|ban| Refusal::Banned(ban.reason.clone())) {
            Some(refusal) => Err(self.count(refusal)),
            None => Ok(()),
        }
    }

    /// Notes that a client has come, and bans whoever has come too often.
    fn is_flapping(&mut self, now: Now, address: IpAddr, guest: Guest<'_>) -> bool {
        let [_, network] = Network::around(address);
        let by_name = self.names.connected(now.up_ms, network, guest, &self.limits);
        let by_origin = self.origins.connected(now.up_ms, address, &self.limits);
        let by_origin =
            by_origin.into_iter().map(|(network, count)| (Whom::network(network), count));
        let culprits: Vec<_> = by_name.into_iter().chain(by_origin).collect();
        let seconds = self.limits.flapping_window.as_secs();
        for (whom, count) in &culprits {
            self.ban(now, whom.clone(), format!("{count} connects within {seconds} s"));
        }
        !culprits.is_empty()
    }

    /// Holds a failure against an address: answers how many there are of it.
    fn blame_origin(&mut self, now: Now, address: IpAddr, what: &str) -> u32 {
        let blame = self.origins.blame(now.up_ms, address, &self.limits);
        for (network, count) in blame.ban {
            self.ban(now, Whom::network(network), format!("{count} {what}"));
        }
        blame.count
    }

    fn ban(&mut self, now: Now, whom: Whom, reason: String) {
        let length = ms(self.limits.ban_time);
        if length == 0 {
            return;
        }
        let (since_unix_ms, until) = (now.unix_ms, now.unix_ms.saturating_add(length));
        let ban = Ban { whom, by: By::Rule, reason, since_unix_ms, until_unix_ms: Some(until) };
        // Where operators have taken all the room, what rules do besides banning has to do.
        if self.bans.add(now, ban.clone()).is_ok() {
            self.changed = true;
            self.stats.bans_made += 1;
            self.made.push(ban);
        }
    }

    fn delay(&self, failures: u32) -> Duration {
        let Some(beyond) = failures.checked_sub(GRACE + 1) else { return Duration::ZERO };
        let delay = FIRST_DELAY_MS.checked_shl(beyond).filter(|_| beyond < 32);
        Duration::from_millis(delay.unwrap_or(u64::MAX)).min(self.limits.failure_delay)
    }

    fn count(&mut self, refusal: Refusal) -> Refusal {
        let counter = match refusal {
            Refusal::Banned(_) => &mut self.stats.refused_banned,
            Refusal::Arrivals => &mut self.stats.limit_arrivals,
            Refusal::Connections => &mut self.stats.limit_connections_per_address,
            Refusal::Strangers => &mut self.stats.limit_strangers_per_address,
            Refusal::Identity => &mut self.stats.limit_connections_per_identity,
            Refusal::Flapping => &mut self.stats.limit_flapping,
        };
        *counter += 1;
        refusal
    }
}

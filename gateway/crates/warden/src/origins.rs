use core::net::IpAddr;

use crate::bucket::Bucket;
use crate::limits::{Limits, ms};
use crate::network::Network;
use crate::refusal::Refusal;
use crate::table::Table;
use crate::window::Window;

/// How many times as much as an address each width may do.
const SHARES: [u32; 2] = [1, Limits::PREFIX_SHARE];

/// Where connections come from, at two widths: addresses, and the networks around them.
///
/// A network is counted whether or not there is room for the address, so that it holds what was forgotten of its
/// addresses. Networks for which there is no room either share one bucket.
#[derive(Debug)]
pub(crate) struct Origins {
    widths: [Table<Network, Record>; 2],
    others: Bucket,
}

/// What is known of one address or network.
#[derive(Debug)]
struct Record {
    arrivals: Bucket,
    failures: Window,
    connects: Window,
    /// Connections, and those of them that are not in yet.
    open: u32,
    strangers: u32,
    /// When somebody was let in last, in milliseconds.
    proven: Option<u64>,
}

/// What a failure has led to.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    /// How often the address has failed by now.
    pub(crate) count: u32,
    /// What is to be banned, and after how many failures.
    pub(crate) ban: Vec<(Network, u32)>,
}

impl Record {
    fn new(now: u64, limits: &Limits, share: u32) -> Self {
        Self {
            arrivals: Bucket::full(now, limits.flow().times(share)),
            failures: Window::default(),
            connects: Window::default(),
            open: 0,
            strangers: 0,
            proven: None,
        }
    }

    /// Whether a new one would be as good; that somebody was let in does not count.
    fn is_idle(&self, now: u64, limits: &Limits, share: u32) -> bool {
        self.open == 0
            && self.failures.count(now, ms(limits.failure_window)) == 0
            && self.connects.count(now, ms(limits.flapping_window)) == 0
            && self.arrivals.is_full(now, limits.flow().times(share))
    }

    /// Whether one more connection is too many, and why.
    fn is_crowded(&self, limits: &Limits, share: u32) -> Option<Refusal> {
        let most = |limit: u32| limit.saturating_mul(share);
        if self.open >= most(limits.connections_per_address) {
            Some(Refusal::Connections)
        } else if self.strangers >= most(limits.strangers_per_address) {
            Some(Refusal::Strangers)
        } else {
            None
        }
    }

    fn is_proven(&self, now: u64) -> bool {
        self.proven.is_some_and(|at| now.saturating_sub(at) < ms(Limits::TRUST))
    }
}

impl Origins {
    pub(crate) fn new(limits: &Limits) -> Self {
        let flow = limits.flow().times(Limits::PREFIX_SHARE);
        Self {
            widths: [Table::new(limits.tracked), Table::new(limits.tracked)],
            others: Bucket::full(0, flow),
        }
    }

    /// A connection comes: answers which of its two widths count it.
    pub(crate) fn knock(
        &mut self,
        now: u64,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<[bool; 2], Refusal> {
        let networks = Network::around(address);
        let mut counted = [false; 2];
        for (((table, network), share), counted) in
            self.widths.iter_mut().zip(networks).zip(SHARES).zip(&mut counted)
        {
            let record = place(table, network, now, limits, share);
            if let Some(refusal) = record.as_ref().and_then(|it| it.is_crowded(limits, share)) {
                return Err(refusal);
            }
            *counted = record.is_some();
        }
        for ((table, network), share) in self.widths.iter_mut().zip(networks).zip(SHARES) {
            let flow = limits.flow().times(share);
            let taken = match table.get_mut(network) {
                Some(record) => record.arrivals.take(now, flow),
                None if share > 1 => self.others.take(now, flow),
                // The network around it counts.
                None => true,
            };
            if !taken {
                return Err(Refusal::Arrivals);
            }
        }
        self.each(address, counted, |record| {
            record.open = record.open.saturating_add(1);
            record.strangers = record.strangers.saturating_add(1);
        });
        Ok(counted)
    }

    /// Whether somebody who only claims the address is to show that it is its own: half of what it may do is used up.
    pub(crate) fn is_scarce(&self, now: u64, address: IpAddr, limits: &Limits) -> bool {
        let networks = Network::around(address);
        let mut records = self.widths.iter().zip(networks).zip(SHARES);
        records.any(|((table, network), share)| {
            table.get(network).is_some_and(|record| {
                record.arrivals.is_low(now, limits.flow().times(share))
                    || record.strangers >= limits.strangers_per_address.saturating_mul(share) / 2
                    || record.is_crowded(limits, share).is_some()
            })
        })
    }

    /// A connection is no stranger any more.
    pub(crate) fn settle(&mut self, address: IpAddr, counted: [bool; 2]) {
        self.each(address, counted, |record| {
            record.strangers = record.strangers.saturating_sub(1);
        });
    }

    /// A connection ends.
    pub(crate) fn leave(&mut self, address: IpAddr, counted: [bool; 2]) {
        self.each(address, counted, |record| record.open = record.open.saturating_sub(1));
    }

    /// A connection has failed. Failures beyond those for which the address is to be banned are not held against the
    /// network: it takes several addresses to have a network banned.
    pub(crate) fn blame(&mut self, now: u64, address: IpAddr, limits: &Limits) -> Blame {
        let (networks, window) = (Network::around(address), ms(limits.failure_window));
        let mut blame = Blame::default();
        for ((table, network), share) in self.widths.iter_mut().zip(networks).zip(SHARES) {
            let Some(record) = place(table, network, now, limits, share) else { continue };
            let trusted = if record.is_proven(now) { Limits::PROVEN_SHARE } else { 1 };
            let most = limits.failures_per_address.saturating_mul(share).saturating_mul(trusted);
            let count = record.failures.add(now, window);
            if share == 1 {
                blame.count = count;
            }
            if count >= most {
                record.failures = Window::default();
                blame.ban.push((network, count));
            }
        }
        blame
    }

    /// A client has authenticated: answers what it has come from too often by now.
    pub(crate) fn connected(
        &mut self,
        now: u64,
        address: IpAddr,
        limits: &Limits,
    ) -> Vec<(Network, u32)> {
        let (networks, window) = (Network::around(address), ms(limits.flapping_window));
        let mut often = Vec::new();
        for ((table, network), share) in self.widths.iter_mut().zip(networks).zip(SHARES) {
            let Some(record) = place(table, network, now, limits, share) else { continue };
            let count = record.connects.add(now, window);
            if count > limits.connects_per_address.saturating_mul(share) {
                record.connects = Window::default();
                often.push((network, count));
            } else {
                record.proven = Some(now);
            }
        }
        often
    }

    pub(crate) fn tracked(&self) -> usize {
        let [addresses, _] = &self.widths;
        addresses.len()
    }

    fn each(&mut self, address: IpAddr, counted: [bool; 2], change: impl Fn(&mut Record)) {
        let networks = Network::around(address);
        for ((table, network), counted) in self.widths.iter_mut().zip(networks).zip(counted) {
            if counted && let Some(record) = table.get_mut(network) {
                change(record);
            }
        }
    }
}

fn place<'a>(
    table: &'a mut Table<Network, Record>,
    network: Network,
    now: u64,
    limits: &Limits,
    share: u32,
) -> Option<&'a mut Record> {
    let idle = |record: &Record| record.is_idle(now, limits, share);
    table.place(network, || Record::new(now, limits, share), idle)
}

//! Attackers with many addresses and ever new names beside devices that do what devices do, for an hour.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test, and its figures")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use portcullis_warden::{Limits, Newcomer, Now, Pass, Warden};

/// A generator of Marsaglia's (xorshift64): the same run from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

const STEP_MS: u64 = 100;
const STEPS: u64 = 36_000;

/// Devices: as many behind one address as have one of their own.
const DEVICES: u64 = 100;
/// Attackers' addresses, so many in a network.
const ATTACKERS: u64 = 600;
const PER_NETWORK: u64 = 12;

struct Run {
    warden: Warden,
    now: Now,
    dice: Dice,
    /// Devices that are in.
    inside: BTreeMap<u64, Pass>,
    refused: u64,
    /// Passwords that each attacker's address got looked at.
    guesses: BTreeMap<IpAddr, u64>,
}

impl Run {
    /// A device comes, or comes back: once in a minute or so its connection breaks.
    fn device(&mut self, number: u64) {
        if let Some(pass) = self.inside.remove(&number) {
            self.warden.leave(pass);
        }
        // Every other one is behind a router.
        let host = if number.is_multiple_of(2) { 1 } else { 10 + number };
        let address = Ipv4Addr::from_bits(0xC633_6400 | u32::try_from(host).expect("a host"));
        let (user, client) = (format!("device{number}"), format!("d{number}"));
        let entered = self.warden.knock(self.now, Some(address.into())).and_then(|mut pass| {
            let greeted = self.warden.greet(self.now, &pass, Some(&user), &client);
            let who = Newcomer {
                user: Some(&user),
                client: &client,
                principal: &user,
                takes_over: false,
            };
            let admitted = greeted.and_then(|_| self.warden.admit(self.now, &mut pass, &who));
            match admitted {
                Ok(()) => Ok(pass),
                Err(refusal) => {
                    self.warden.leave(pass);
                    Err(refusal)
                }
            }
        });
        match entered {
            Ok(pass) => drop(self.inside.insert(number, pass)),
            Err(_) => self.refused += 1,
        }
    }

    /// An attacker tries a password under a name that it has not used, or under that of a device.
    fn attack(&mut self) {
        let number = self.dice.below(ATTACKERS);
        let (network, host) = (number / PER_NETWORK, 1 + number % PER_NETWORK);
        let bits = 0x0A00_0000 | (network << 8) | host;
        let address = IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).expect("an address")));
        let user = match self.dice.below(2) {
            0 => format!("device{}", self.dice.below(DEVICES)),
            _ => format!("guess{}", self.dice.below(u64::MAX)),
        };
        let client = format!("c{}", self.dice.below(u64::MAX));
        let Ok(pass) = self.warden.knock(self.now, Some(address)) else { return };
        if self.warden.greet(self.now, &pass, Some(&user), &client).is_ok() {
            self.warden.failed(self.now, &pass, Some(&user), &client);
            *self.guesses.entry(address).or_default() += 1;
        }
        self.warden.leave(pass);
    }
}

#[test]
fn attackers_are_held_off_and_devices_notice_nothing() {
    let limits = Limits { tracked: 1024, bans: 2048, ..Limits::default() };
    let now = Now { up_ms: 0, unix_ms: 1_700_000_000_000 };
    let mut run = Run {
        warden: Warden::new(limits, 42),
        now,
        dice: Dice(0x9E37_79B9_7F4A_7C15),
        inside: BTreeMap::new(),
        refused: 0,
        guesses: BTreeMap::new(),
    };
    let mut attempts = 0;
    for step in 0..STEPS {
        run.now = run.now.after_ms(STEP_MS);
        // The whole site comes back at once now and then.
        if step % 6000 == 0 {
            (0..DEVICES).for_each(|number| run.device(number));
        } else if run.dice.below(10) < 2 {
            let number = run.dice.below(DEVICES);
            run.device(number);
        }
        for _ in 0..run.dice.below(40) {
            run.attack();
            attempts += 1;
        }
        run.warden.take_made();
        let stats = run.warden.stats();
        assert!(stats.bans <= 2048 && stats.tracked_addresses <= 1024, "{stats:?}");
    }
    let (total, most) = (run.guesses.values().sum::<u64>(), run.guesses.values().max().copied());
    println!(
        "siege attempts={attempts} looked_at={total} most_of_an_address={most:?} refused_devices={}",
        run.refused
    );
    assert_eq!(run.refused, 0, "devices notice nothing");
    // Twenty failures, then a ban of a quarter of an hour, four times in an hour and once at its beginning; for the most
    // part the network around an address is banned before it has had all of them.
    assert!(most.is_some_and(|most| most <= 20 * 5), "{most:?}");
    assert!(total * 10 < attempts, "{total} of {attempts}");
    // Whoever has gone is counted nowhere.
    std::mem::take(&mut run.inside).into_values().for_each(|pass| run.warden.leave(pass));
    for number in 0..DEVICES {
        run.device(number);
    }
    assert_eq!(run.inside.len() as u64, DEVICES);
}

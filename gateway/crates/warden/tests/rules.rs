//! What the warden says to one guest after another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use std::net::IpAddr;
use std::time::Duration;

use portcullis_warden::{
    Ban, By, Glance, Limits, Newcomer, Now, Pass, Refusal, Stats, Warden, Whom,
};

const START: Now = Now { up_ms: 1_000, unix_ms: 1_700_000_000_000 };
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

fn small() -> Limits {
    Limits {
        arrival_rate: 1,
        arrival_burst: 10,
        connections_per_address: 8,
        connections_per_identity: 6,
        strangers_per_address: 4,
        failures_per_name: 3,
        failures_per_address: 5,
        connects_per_client: 3,
        connects_per_address: 6,
        ..Limits::default()
    }
}

/// A warden with a clock that the test turns.
struct Stage {
    warden: Warden,
    now: Now,
}

impl Stage {
    fn of(limits: Limits) -> Self {
        Self { warden: Warden::new(limits, 7), now: START }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    fn knock(&mut self, address: &str) -> Result<Pass, Refusal> {
        self.warden.knock(self.now, Some(ip(address)))
    }

    /// Comes with a wrong password, and goes: how long its refusal was kept back.
    fn fails(&mut self, address: &str, user: &str, client: &str) -> Result<Duration, Refusal> {
        let pass = self.knock(address)?;
        let greeted = self.warden.greet(self.now, &pass, Some(user), client);
        let delay = greeted.map(|_| self.warden.failed(self.now, &pass, Some(user), client));
        self.warden.leave(pass);
        delay
    }

    /// Comes with the right one.
    fn enters(&mut self, address: &str, user: &str, client: &str) -> Result<Pass, Refusal> {
        let mut pass = self.knock(address)?;
        let who = Newcomer { user: Some(user), client, principal: user, takes_over: false };
        let greeted = self.warden.greet(self.now, &pass, Some(user), client).map(drop);
        let outcome = greeted.and_then(|()| self.warden.admit(self.now, &mut pass, &who));
        match outcome {
            Ok(()) => Ok(pass),
            Err(refusal) => {
                self.warden.leave(pass);
                Err(refusal)
            }
        }
    }

    fn visits(&mut self, address: &str, user: &str, client: &str) -> Result<(), Refusal> {
        self.enters(address, user, client).map(|pass| self.warden.leave(pass))
    }

    fn banned(&self) -> Vec<String> {
        self.warden.bans(self.now).map(|ban| ban.whom.to_string()).collect()
    }

    fn stats(&self) -> Stats {
        self.warden.stats()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn is_banned<T>(outcome: &Result<T, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::Banned(_)))
}

#[test]
fn arrivals_are_limited_for_an_address_and_for_the_network_around_it() {
    let mut stage = Stage::of(small());
    let arrives = |stage: &mut Stage, address: &str| {
        let outcome = stage.knock(address);
        outcome.map(|pass| stage.warden.leave(pass))
    };
    for _ in 0..10 {
        assert_eq!(arrives(&mut stage, "192.0.2.1"), Ok(()));
    }
    assert_eq!(arrives(&mut stage, "192.0.2.1"), Err(Refusal::Arrivals));
    assert_eq!(arrives(&mut stage, "192.0.2.2"), Ok(()), "a neighbour is not concerned");
    stage.wait(2 * SECOND);
    assert_eq!(arrives(&mut stage, "192.0.2.1"), Ok(()));
    // Each has its own, and all together four times as much.
    let come =
        (3..=250).filter(|host| arrives(&mut stage, &format!("192.0.2.{host}")).is_ok()).count();
    assert!((25..=40).contains(&come), "{come}");
    assert_eq!(arrives(&mut stage, "192.0.3.1"), Ok(()), "another network is not concerned");
    // A host has a /64, and a site a /48.
    let come = (0..50).filter(|low| arrives(&mut stage, &format!("2001:db8::{low}")).is_ok());
    assert_eq!(come.count(), 10);
    let come = (1..250).filter(|net| arrives(&mut stage, &format!("2001:db8:0:{net}::1")).is_ok());
    assert_eq!(come.count(), 30);
    assert!(stage.stats().limit_arrivals > 200);
}

#[test]
fn a_flood_of_addresses_neither_grows_nor_flushes_the_tables() {
    let mut stage = Stage::of(Limits { tracked: 64, ..small() });
    while stage.knock("192.0.2.1").map(|pass| stage.warden.leave(pass)).is_ok() {}
    // One connection from each of many networks: those for which there is no room share a bucket.
    let mut come = 0;
    for high in 0..100 {
        for low in 0..100 {
            let outcome = stage.knock(&format!("10.{high}.{low}.1"));
            come += u32::from(outcome.map(|pass| stage.warden.leave(pass)).is_ok());
        }
    }
    assert!(come < 64 + 40 + 1, "{come} of 10000");
    assert!(stage.stats().tracked_addresses <= 64);
    assert_eq!(stage.knock("192.0.2.1"), Err(Refusal::Arrivals), "it is not forgotten");
}

#[test]
fn an_address_has_so_many_connections_and_strangers() {
    let mut stage = Stage::of(small());
    let mut strangers: Vec<_> =
        (0..4).map(|_| stage.knock("192.0.2.1").expect("a place")).collect();
    assert_eq!(stage.knock("192.0.2.1"), Err(Refusal::Strangers));
    stage.warden.leave(strangers.pop().expect("one"));
    let mut inside = Vec::new();
    for user in ["a", "b", "c", "d", "e"] {
        inside.push(stage.enters("192.0.2.1", user, user).expect("room"));
    }
    assert_eq!(stage.knock("192.0.2.1"), Err(Refusal::Connections), "three and five are eight");
    strangers.into_iter().chain(inside).for_each(|pass| stage.warden.leave(pass));
    stage.wait(MINUTE);
    let again: Vec<_> = (0..4).map(|_| stage.knock("192.0.2.1")).collect();
    assert!(again.iter().all(Result::is_ok), "all have left: {again:?}");
}

#[test]
fn an_identity_has_so_many_connections_wherever_they_come_from() {
    let mut stage = Stage::of(small());
    let mut inside: Vec<_> = (0..6)
        .map(|host| stage.enters(&format!("10.0.{host}.1"), "fleet", &format!("c{host}")).unwrap())
        .collect();
    assert_eq!(stage.visits("10.1.0.1", "fleet", "c9"), Err(Refusal::Identity));
    // Whoever takes the place of an earlier connection adds none.
    let mut pass = stage.knock("10.1.0.1").unwrap();
    let who = Newcomer { user: None, client: "c0", principal: "fleet", takes_over: true };
    assert_eq!(stage.warden.admit(stage.now, &mut pass, &who), Ok(()));
    stage.warden.leave(pass);
    stage.warden.leave(inside.pop().unwrap());
    assert_eq!(stage.visits("10.1.0.1", "fleet", "c9"), Ok(()));
    inside.into_iter().for_each(|pass| stage.warden.leave(pass));
}

#[test]
fn failures_are_answered_later_and_later() {
    let mut stage = Stage::of(Limits {
        failures_per_name: 100,
        failures_per_address: 100,
        ..Limits::default()
    });
    let delays: Vec<_> = (0..10)
        .map(|n| stage.fails("192.0.2.1", "alice", &format!("c{n}")).unwrap().as_millis())
        .collect();
    assert_eq!(delays, [0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    stage.wait(11 * MINUTE);
    assert_eq!(stage.fails("192.0.2.1", "alice", "c"), Ok(Duration::ZERO));
}

#[test]
fn rotating_names_do_not_save_an_address_from_its_ban() {
    let mut stage = Stage::of(small());
    for n in 0..5 {
        assert!(stage.fails("192.0.2.1", &format!("user{n}"), &format!("client{n}")).is_ok());
    }
    assert!(is_banned(&stage.knock("192.0.2.1")));
    assert_eq!(stage.banned(), ["network 192.0.2.1"]);
    assert_eq!(stage.warden.take_made().len(), 1);
    assert_eq!(stage.visits("192.0.2.2", "alice", "a"), Ok(()), "its neighbour gets in");
    stage.wait(15 * MINUTE);
    assert!(stage.knock("192.0.2.1").map(|pass| stage.warden.leave(pass)).is_ok());
}

#[test]
fn what_is_under_way_when_an_address_is_banned_is_not_held_against_its_network() {
    let limits = Limits {
        strangers_per_address: 100,
        arrival_burst: 1000,
        connections_per_address: 100,
        ..small()
    };
    let mut stage = Stage::of(limits);
    let passes: Vec<_> = (0..100).map(|_| stage.knock("192.0.2.1").unwrap()).collect();
    for pass in &passes {
        stage.warden.failed(stage.now, pass, None, "");
    }
    assert_eq!(stage.banned(), ["network 192.0.2.1"]);
    // It takes four addresses that fail as often.
    for host in 2..=4 {
        let address = format!("192.0.2.{host}");
        let failed =
            (0..9).take_while(|n| stage.fails(&address, &format!("u{host}{n}"), "").is_ok());
        assert_eq!(failed.count(), 5);
    }
    assert!(stage.banned().contains(&"network 192.0.2.0/24".to_owned()), "{:?}", stage.banned());
    passes.into_iter().for_each(|pass| stage.warden.leave(pass));
}

#[test]
fn a_name_is_banned_where_it_fails_and_nowhere_else() {
    let mut stage = Stage::of(small());
    for host in 1..=3 {
        assert!(stage.fails(&format!("192.0.2.{host}"), "alice", "").is_ok());
    }
    assert_eq!(stage.banned(), ["network 192.0.2.0/24, identity \"alice\""]);
    assert!(is_banned(&stage.fails("192.0.2.9", "alice", "x")));
    assert_eq!(stage.visits("198.51.100.1", "alice", "a"), Ok(()), "the rightful one is elsewhere");
    assert_eq!(stage.visits("192.0.2.9", "bob", "b"), Ok(()));
    // The same for a client identifier under which many names are tried.
    let mut stage = Stage::of(small());
    for host in 1..=3 {
        assert!(stage.fails(&format!("192.0.2.{host}"), &format!("user{host}"), "pump").is_ok());
    }
    assert_eq!(stage.banned(), ["network 192.0.2.0/24, client \"pump\""]);
}

#[test]
fn nobody_can_lock_out_a_client_that_has_been_in_from_there() {
    let mut stage = Stage::of(small());
    assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Ok(()));
    for host in 10..20 {
        assert!(stage.fails(&format!("192.0.2.{host}"), "alice", "pump").is_ok());
    }
    assert_eq!(stage.banned(), [""; 0]);
    assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Ok(()));
    // Nor is its address banned as soon as that of a stranger.
    let mut stage = Stage::of(Limits { failures_per_name: 1000, arrival_burst: 1000, ..small() });
    assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Ok(()));
    let failed = (0..100).take_while(|_| stage.fails("192.0.2.1", "eve", "").is_ok()).count();
    assert_eq!(failed, 50);
    // A day later it is a stranger's again.
    stage.wait(25 * 60 * MINUTE);
    let failed = (0..100).take_while(|_| stage.fails("192.0.2.1", "eve", "").is_ok()).count();
    assert_eq!(failed, 5);
}

#[test]
fn an_identity_that_is_guessed_from_everywhere_waits_where_it_is_not_known() {
    let mut stage = Stage::of(small());
    assert_eq!(stage.visits("198.51.100.1", "alice", "pump"), Ok(()));
    for network in 0..30 {
        assert!(stage.fails(&format!("10.0.{network}.1"), "alice", "").is_ok());
    }
    assert_eq!(stage.banned(), [""; 0], "one attempt from each network is no reason");
    let mut greets = |address: &str, user: &str| {
        let pass = stage.knock(address).unwrap();
        let wait = stage.warden.greet(stage.now, &pass, Some(user), "c");
        stage.warden.leave(pass);
        wait
    };
    assert_eq!(greets("203.0.113.1", "alice"), Ok(Duration::from_secs(5)));
    assert_eq!(greets("198.51.100.9", "alice"), Ok(Duration::ZERO), "it is known here");
    assert_eq!(greets("203.0.113.1", "bob"), Ok(Duration::ZERO));
}

#[test]
fn who_comes_and_goes_all_the_time_is_banned() {
    let mut stage = Stage::of(small());
    for _ in 0..3 {
        assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Ok(()));
    }
    assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Err(Refusal::Flapping));
    assert!(is_banned(&stage.visits("192.0.2.1", "alice", "pump")));
    assert_eq!(stage.banned(), ["network 192.0.2.0/24, client \"pump\""]);
    assert_eq!(stage.visits("192.0.2.1", "alice", "valve"), Ok(()), "others under its name go on");
    // Once a minute is no flapping.
    for _ in 0..20 {
        stage.wait(MINUTE);
        assert_eq!(stage.visits("198.51.100.1", "bob", "meter"), Ok(()));
    }
    // Identifiers that change do not help: the identity and the address have their own limit.
    let mut stage = Stage::of(Limits { arrival_burst: 100, ..small() });
    let came = (0..50)
        .take_while(|n| stage.visits("192.0.2.1", &format!("u{n}"), &format!("c{n}")).is_ok())
        .count();
    assert_eq!((came, stage.banned()), (6, vec!["network 192.0.2.1".to_owned()]));
    let mut stage = Stage::of(small());
    let came = (0..50)
        .take_while(|n| stage.visits(&format!("192.0.2.{n}"), "alice", &format!("c{n}")).is_ok())
        .count();
    let expected = vec!["network 192.0.2.0/24, identity \"alice\"".to_owned()];
    assert_eq!((came, stage.banned()), (6, expected));
}

#[test]
fn who_is_exempt_is_not_counted_and_banned_by_nobody_but_the_operator() {
    let exempt = vec!["192.0.2.0/24".parse().unwrap()];
    let mut stage = Stage::of(Limits { exempt, ..small() });
    let passes: Vec<_> = (0..100).map(|_| stage.knock("192.0.2.1").unwrap()).collect();
    for _ in 0..100 {
        assert_eq!(stage.fails("192.0.2.1", "alice", "c"), Ok(Duration::ZERO));
        assert_eq!(stage.visits("192.0.2.1", "alice", "c"), Ok(()));
    }
    assert_eq!((stage.banned(), stage.stats().tracked_addresses), (vec![], 0));
    passes.into_iter().for_each(|pass| stage.warden.leave(pass));
    let ban = Ban {
        whom: Whom::network("192.0.2.1".parse().unwrap()),
        by: By::Operator(None),
        reason: "out".to_owned(),
        since_unix_ms: stage.now.unix_ms,
        until_unix_ms: None,
    };
    stage.warden.add(stage.now, ban.clone()).unwrap();
    assert!(is_banned(&stage.knock("192.0.2.1")));
    assert!(stage.warden.lift(&ban.whom));
    assert!(stage.visits("192.0.2.1", "alice", "c").is_ok());
    // What comes by a Unix socket is of this machine; names that are banned are so there too.
    let local = stage.warden.knock(stage.now, None).unwrap();
    let whom = Whom { client: Some("c".to_owned()), ..Whom::default() };
    stage.warden.add(stage.now, Ban { whom, ..ban }).unwrap();
    let (now, warden) = (stage.now, &mut stage.warden);
    assert!(is_banned(&warden.greet(now, &local, None, "c")));
    assert_eq!(warden.greet(now, &local, None, "d"), Ok(Duration::ZERO));
}

#[test]
fn a_forged_address_costs_its_owner_nothing() {
    let mut stage = Stage::of(small());
    for _ in 0..1000 {
        assert_eq!(stage.warden.glance(stage.now, ip("192.0.2.1")), Glance::Fine);
    }
    assert_eq!(stage.visits("192.0.2.1", "alice", "pump"), Ok(()), "it has all of its tokens");
    for _ in 0..6 {
        let pass = stage.knock("192.0.2.1").unwrap();
        stage.warden.leave(pass);
    }
    // When its owner has used half of them, whoever comes in its name has to show that it is the owner.
    assert_eq!(stage.warden.glance(stage.now, ip("192.0.2.1")), Glance::Prove);
    assert_eq!(stage.warden.glance(stage.now, ip("192.0.2.2")), Glance::Fine);
    for n in 0..5 {
        stage.wait(2 * SECOND);
        let failed = stage.fails("198.51.100.1", &format!("u{n}"), "");
        assert!(failed.is_ok(), "{failed:?}");
    }
    let glance = stage.warden.glance(stage.now, ip("198.51.100.1"));
    assert!(matches!(glance, Glance::Ignore(Refusal::Banned(_))), "{glance:?}");
}

#[test]
fn who_holds_a_place_to_the_end_of_its_time_is_banned() {
    let mut stage = Stage::of(small());
    for _ in 0..5 {
        let pass = stage.knock("192.0.2.1").unwrap();
        stage.warden.stalled(stage.now, &pass);
        stage.warden.leave(pass);
    }
    assert!(is_banned(&stage.knock("192.0.2.1")));
    assert_eq!(stage.stats().stalled_connections, 5);
}

#[test]
fn without_a_time_for_bans_there_are_none() {
    let mut stage = Stage::of(Limits { ban_time: Duration::ZERO, ..small() });
    for _ in 0..8 {
        assert!(stage.fails("192.0.2.1", "alice", "c").is_ok());
    }
    assert_eq!((stage.banned(), stage.stats().bans_made), (vec![], 0));
    assert_eq!(stage.stats().failed_authentications, 8);
}

//! New versions of an extension: tried beside the running one, taken back if they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{ABSTAIN, ACCEPT, Fallback, Guest, TRAP, allow, provoked};
use portcullis_extension_host::{
    AuthenticationOutcome, Extension, ExtensionSpec, Facilities, LoadError, Mode,
};
use support::{client, host, identity, load, spec};

const TRIAL: Mode = Mode::Trial(Duration::from_secs(3600));

fn introduce(extension: &Extension, guest: &Guest, mode: Mode) -> Result<(), LoadError> {
    extension.introduce(host(), spec(guest), mode)
}

/// Who decided about a client, and whether it was accepted.
fn decided(extension: &Extension, client_id: &str) -> (String, bool) {
    let answer = extension.authenticate(&client(client_id), None);
    let accepted = matches!(answer.result, Ok(AuthenticationOutcome::Accept(_)));
    (answer.by.to_string(), accepted)
}

#[test]
fn a_new_version_decides_at_once_and_stays_when_its_trial_is_over() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let (first, _) = decided(&extension, "c1");
    introduce(&extension, &Guest::authenticator(ABSTAIN), Mode::Trial(Duration::from_millis(50)))
        .unwrap();
    let (second, accepted) = decided(&extension, "c1");
    assert!(!accepted && second.ends_with(".2") && first != second, "{first} {second}");
    assert_eq!((&*extension.id(), &*extension.running()), (&*second, &*first));
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(decided(&extension, "c1").0, second);
    assert_eq!(&*extension.running(), second);
    assert_eq!(extension.candidate(), None);
    assert_eq!(extension.stats().instances, 1, "the old version is gone");
}

#[test]
fn a_version_that_traps_is_taken_back_and_no_client_notices() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let first = extension.id();
    introduce(&extension, &Guest::authenticator(TRAP), TRIAL).unwrap();
    for call in 0..5 {
        assert_eq!(decided(&extension, "c1"), (first.to_string(), true), "call {call}");
    }
    assert_eq!(extension.id(), first);
    assert_eq!(extension.candidate(), None);
    let stats = extension.stats();
    assert_eq!((stats.traps, stats.rolled_back), (3, 1));
}

#[test]
fn a_fault_that_both_versions_have_takes_nothing_back() {
    let body = provoked(TRAP, ACCEPT);
    let extension = load(&Guest::authenticator(&body));
    introduce(&extension, &Guest::authenticator(&body).granting(&[], Fallback::Deny), TRIAL)
        .unwrap();
    let second = extension.id();
    for _ in 0..5 {
        assert!(!decided(&extension, "!").1, "a client that provokes a trap is refused");
    }
    assert_eq!(decided(&extension, "c1"), (second.to_string(), true));
    assert_eq!(extension.candidate().unwrap().regressions, 0);
}

#[test]
fn a_version_that_cannot_start_changes_nothing() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let first = extension.id();
    let broken = [
        Guest::authenticator(ACCEPT).init(TRAP),
        Guest::authenticator(ACCEPT).version("0.2.0"),
        Guest::authorizer(),
    ];
    for guest in broken {
        let error = introduce(&extension, &guest, TRIAL).unwrap_err();
        let says = error.to_string();
        assert!(says.starts_with("extension \"test\": "), "{says}");
    }
    let error = introduce(&extension, &Guest::authorizer(), TRIAL).unwrap_err();
    assert!(matches!(error, LoadError::LostHook { hook: "authenticator", .. }), "{error}");
    let pinned =
        ExtensionSpec { sha256_pin: Some([7; 32]), ..spec(&Guest::authenticator(ABSTAIN)) };
    assert!(extension.introduce(host(), pinned, TRIAL).is_err());
    assert_eq!(decided(&extension, "c1"), (first.to_string(), true));
}

#[test]
fn a_canary_decides_for_its_share_of_clients_and_always_for_the_same() {
    let extension = load(&Guest::authenticator(ACCEPT));
    introduce(&extension, &Guest::authenticator(ABSTAIN), Mode::Canary(30)).unwrap();
    let clients: Vec<String> = (0..300).map(|n| format!("device-{n}")).collect();
    let of_canary = || -> Vec<bool> {
        clients.iter().map(|client_id| decided(&extension, client_id).0.ends_with(".2")).collect()
    };
    let chosen = of_canary();
    let share = chosen.iter().filter(|chosen| **chosen).count();
    assert!((60..=120).contains(&share), "{share} of 300");
    assert_eq!(of_canary(), chosen);
    assert_eq!(extension.candidate().unwrap().decisions, 2 * share as u64);
    assert!(extension.promote());
    assert!(clients.iter().all(|client_id| !decided(&extension, client_id).1));
    assert!(!extension.promote(), "there is none any more");
}

#[test]
fn a_shadow_decides_nothing_and_reports_what_it_would_have_decided() {
    let running = Guest::authenticator(ACCEPT).granting(&[allow("a/#")], Fallback::Deny);
    let extension = load(&running);
    let stricter = Guest::authenticator(&provoked(ABSTAIN, ACCEPT))
        .granting(&[allow("a/b/#")], Fallback::Deny);
    introduce(&extension, &stricter, Mode::Shadow).unwrap();
    for client_id in ["c1", "!old-device", "c2"] {
        assert!(decided(&extension, client_id).1, "the running version decides");
    }
    let answer = extension.permissions(&identity(), &client("c1"));
    assert_eq!(answer.result.unwrap().unwrap().rules[0].filter, "a/#");
    let status = settled(&extension, 4);
    assert_eq!((status.differences, status.skipped, status.regressions), (2, 0, 0));
    let [refused, narrowed] = &status.latest[..] else { panic!("{:?}", status.latest) };
    assert_eq!((&*refused.client_id, refused.hook), ("!old-device", "authenticate"));
    assert_eq!((&*refused.running, &*refused.candidate), ("accept as \"!old-device\"", "abstain"));
    assert_eq!(narrowed.hook, "permissions");
    assert!(narrowed.candidate.contains("allow publish,subscribe a/b/#"), "{narrowed:?}");

    assert!(extension.abandon().unwrap().ends_with(".2"));
    assert_eq!(extension.candidate(), None);
    let gone = Instant::now() + Duration::from_secs(10);
    while extension.stats().instances > 1 {
        assert!(Instant::now() < gone, "the shadow's instances are still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The shadow's report, once it has made so many decisions.
fn settled(extension: &Extension, decisions: u64) -> portcullis_extension_host::CandidateStatus {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let status = extension.candidate().unwrap();
        if status.decisions >= decisions {
            return status;
        }
        assert!(Instant::now() < until, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_new_configuration_is_a_version_of_its_own() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let (hash, first) = (extension.hash(), extension.id());
    extension
        .reconfigure(
            BTreeMap::from([("k".into(), "v".into())]),
            Arc::default(),
            Facilities::default(),
        )
        .unwrap();
    assert_eq!(extension.hash(), hash);
    assert_eq!(*extension.id(), format!("{first}.2"));
}

#[test]
fn calls_go_on_while_versions_come_and_go() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (extension, stop) = (&extension, &stop);
                scope.spawn(move || {
                    let mut calls = 0_u32;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        assert!(decided(extension, &format!("c{caller}")).1, "call {calls}");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        let mut marked = Guest::authenticator(ACCEPT);
        for round in 0..10 {
            marked.put(&[round]);
            introduce(&extension, &marked, TRIAL).unwrap();
            introduce(&extension, &Guest::authenticator(TRAP), TRIAL).unwrap();
            introduce(&extension, &Guest::authenticator(ACCEPT).init(TRAP), TRIAL).unwrap_err();
            std::thread::sleep(Duration::from_millis(5));
            extension.abandon();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for caller in callers {
            assert!(caller.join().unwrap() > 0);
        }
    });
}

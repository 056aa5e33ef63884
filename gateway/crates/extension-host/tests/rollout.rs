//! New versions of an extension: tried beside the running one, taken back if they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{ABSTAIN, ACCEPT, ENDLESS, Fallback, Guest, TRAP, allow, provoked};
use portcullis_extension_host::{
    AuthenticationOutcome, Extension, ExtensionSpec, Facilities, LoadError, Mode, Publication,
    Verdicts,
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

/// A hook that only publishes which come together reach is tried with the others: nobody is refused, and the version goes.
#[test]
fn a_version_whose_bulk_hook_traps_is_taken_back_before_it_counts() {
    let extension = load(&Guest::authorizer().with_bulk(""));
    let first = extension.id();
    introduce(&extension, &Guest::authorizer().with_bulk(TRAP), TRIAL).unwrap();
    let (who, conn) = (identity(), client("c1"));
    for fault in 1..=3 {
        assert!(becomes_quick(&extension), "fault {fault}");
        let mut sitting = extension.sit(&who, &conn).unwrap();
        assert!(sitting.by().ends_with(".2"), "the version that is tried is asked");
        assert_eq!(sitting.authorize_publishes(&[PUBLICATION]), None, "others are asked instead");
        drop(sitting);
        assert!(extension.authorize_publish(&who, &conn, &PUBLICATION).result.is_ok());
        let faults = extension.candidate().map(|candidate| candidate.regressions);
        assert_eq!(faults, (fault < 3).then_some(fault));
    }
    assert_eq!((extension.id(), extension.is_rolled_back()), (first, true));
    assert_eq!(extension.stats().rolled_back, 1);
    assert!(becomes_quick(&extension));
    let mut sitting = extension.sit(&who, &conn).unwrap();
    assert_eq!(sitting.authorize_publishes(&[PUBLICATION]), Some(Ok(Verdicts::AllAllowed)));
}

/// What a version that is tried answers at once is counted as its decisions; one that only watches is not asked so.
#[test]
fn a_version_that_is_tried_answers_at_once_where_it_decides() {
    let extension = load(&Guest::authorizer());
    introduce(&extension, &Guest::authorizer().with_bulk(""), TRIAL).unwrap();
    assert!(becomes_quick(&extension));
    let before = extension.candidate().unwrap().decisions;
    let (who, conn) = (identity(), client("c1"));
    let mut sitting = extension.sit(&who, &conn).unwrap();
    assert!(sitting.authorize_publishes(&[PUBLICATION; 4]).unwrap().is_ok());
    drop(sitting);
    assert_eq!(extension.candidate().unwrap().decisions - before, 4);
    introduce(&extension, &Guest::authorizer().with_bulk(""), Mode::Shadow).unwrap();
    assert!(!becomes_quick(&extension), "a shadow is to be asked the same");
}

const PUBLICATION: Publication<'static> =
    Publication { topic: "a/b", qos: mqtt::QoS::AtLeastOnce, retain: false, payload_len: 4 };

/// Asks until the version whose turn it is answers at once.
fn becomes_quick(extension: &Extension) -> bool {
    let (who, conn) = (identity(), client("c1"));
    (0..5000).any(|_| {
        extension.authorize_publish(&who, &conn, &PUBLICATION).result.unwrap();
        extension.sit(&who, &conn).is_some()
    })
}

/// Trying another version beside one that decides for all does not bring back the one below.
#[test]
fn a_shadow_that_begins_during_a_trial_leaves_the_trial_s_version_in_place() {
    let extension = load(&Guest::authenticator(ACCEPT));
    introduce(&extension, &Guest::authenticator(ABSTAIN), TRIAL).unwrap();
    let second = extension.id();
    introduce(&extension, &Guest::authenticator(ACCEPT), Mode::Shadow).unwrap();
    assert_eq!(decided(&extension, "c1"), (second.to_string(), false));
    extension.abandon();
    assert_eq!(decided(&extension, "c1"), (second.to_string(), false));
}

fn reconfigure(extension: &Extension) {
    let config = BTreeMap::from([("k".into(), "v".into())]);
    extension.reconfigure(config, Arc::default(), Facilities::default()).unwrap();
}

/// New settings during a trial are no reason to believe that the version is good.
#[test]
fn a_trial_goes_on_with_new_settings_and_can_still_be_taken_back() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let first = extension.id();
    introduce(&extension, &Guest::authenticator(&provoked(TRAP, ABSTAIN)), TRIAL).unwrap();
    assert!(!decided(&extension, "c1").1);
    reconfigure(&extension);
    assert!(!decided(&extension, "c1").1, "the version that is tried decides");
    let status = extension.candidate().expect("it is still tried");
    assert_eq!((status.mode, status.decisions), (TRIAL, 2));
    for fault in 0..3 {
        assert!(decided(&extension, "!c1").1, "fault {fault}: the other answers");
    }
    assert_eq!((extension.candidate(), extension.is_rolled_back()), (None, true));
    let (by, accepted) = decided(&extension, "c1");
    assert!(
        accepted && by.starts_with(&*first) && by.ends_with(".4"),
        "{by}: with the new settings"
    );
}

/// What a shadow has not decided yet when it takes over was decided by the other version.
#[test]
fn a_shadow_that_takes_over_decides_nothing_of_what_was() {
    let extension = load(&Guest::authenticator(ACCEPT));
    // Each decision takes the candidate until its deadline.
    introduce(&extension, &Guest::authenticator(ENDLESS), Mode::Shadow).unwrap();
    for n in 0..50 {
        assert!(decided(&extension, &format!("c{n}")).1);
    }
    settled(&extension, 1);
    assert!(extension.promote());
    let exceeded = extension.stats().deadline_exceeded;
    assert!((1..50).contains(&exceeded), "{exceeded}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(extension.stats().deadline_exceeded, exceeded, "nothing was decided since");
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

//! New settings for instances that run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guest::{ACCEPT, Guest, TRAP};
use portcullis_extension_host::{
    AuthenticationOutcome, Capability, Extension, ExtensionSpec, Facilities, Hooks, LoadError, Mode,
};
use support::{client, host, spec};

/// Reads the key "mode" to 2048: whether it is there, its address, its length.
fn get(guest: &mut Guest) -> String {
    let key = guest.put(b"mode");
    format!("(call $get (i32.const {key}) (i32.const 4) (i32.const 2048))")
}

/// Accepts as the digits of a counter that each instance has, behind the setting that was read last, which is kept at 3072.
/// `reconfigure` is what that does when it has read the setting.
fn counting(reconfigure: &str) -> Guest {
    let mut guest = Guest::default();
    let get = get(&mut guest);
    let keep = "(if (i32.load8_u (i32.const 2048)) (then \
        (i32.store8 (i32.const 3072) (i32.load8_u (i32.load (i32.const 2052))))))";
    guest
        .import("portcullis:host/config", "get", "$get", "(param i32 i32 i32)")
        .item("(global $count (mut i32) (i32.const 48))")
        .init(&format!("{get} {keep}"))
        .with_authenticate(
            "(global.set $count (i32.add (global.get $count) (i32.const 1))) \
             (i32.store8 (i32.const 3073) (global.get $count)) \
             (i32.store (i32.const 1040) (i32.const 3072)) \
             (i32.store (i32.const 1044) (i32.const 2))",
        )
        .with_reconfigure(&format!("{get} {keep} {reconfigure}"))
}

fn settings(mode: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("mode".to_owned(), mode.to_owned())])
}

fn counting_spec(reconfigure: &str) -> ExtensionSpec {
    let mut spec = spec(&counting(reconfigure));
    spec.grants.insert(Capability::Config);
    spec.config = settings("a");
    spec
}

fn name(extension: &Extension) -> String {
    match extension.authenticate(&client("c1"), None).result.unwrap() {
        AuthenticationOutcome::Accept(grant) => grant.principal.to_string(),
        other => panic!("{other:?}"),
    }
}

fn reconfigure(extension: &Extension, mode: &str) -> Result<(), LoadError> {
    extension.reconfigure(settings(mode), Arc::default(), Facilities::default())
}

#[test]
fn what_an_instance_has_in_memory_survives_new_settings() {
    let extension = host().load(counting_spec("")).unwrap();
    let hooks = Hooks { authenticator: true, reconfiguration: true, ..Hooks::default() };
    assert_eq!(extension.hooks(), hooks);
    assert_eq!([name(&extension), name(&extension)], ["a1", "a2"]);
    let first = extension.id();
    reconfigure(&extension, "b").unwrap();
    assert_eq!(*extension.id(), format!("{first}.2"), "decisions name another version");
    assert_eq!([name(&extension), name(&extension)], ["b3", "b4"]);
    let stats = extension.stats();
    assert_eq!((stats.rebuilt, stats.instances), (0, 1), "it is the instance from before");
}

#[test]
fn an_error_or_a_trap_keeps_the_settings_that_were_in_a_fresh_instance() {
    // The text is the key, the first that the guest has in memory.
    let refuse = "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1028) (i32.const 4096)) \
        (i32.store (i32.const 1032) (i32.const 4))";
    for (body, says) in
        [(refuse, "refuses its configuration: mode"), (TRAP, "reconfigure: the extension trapped")]
    {
        let extension = host().load(counting_spec(body)).unwrap();
        assert_eq!([name(&extension), name(&extension)], ["a1", "a2"]);
        let id = extension.id();
        let error = reconfigure(&extension, "b").unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(extension.id(), id);
        assert_eq!(name(&extension), "a1", "an instance that has seen nothing of it");
        assert_eq!(extension.stats().instances, 1, "the other one is gone");
    }
}

#[test]
fn an_interest_and_methods_are_those_of_the_new_settings() {
    let mut guest = Guest::default();
    let get = get(&mut guest);
    let at = guest.put(b"old/#new/#");
    // The filter that is kept at 3072 and 3076: the second after `reconfigure`.
    let kept = |offset: u32| {
        format!(
            "(i32.store (i32.const 3072) (i32.const {})) (i32.store (i32.const 3076) (i32.const 5))",
            at + offset
        )
    };
    let guest = guest
        .import("portcullis:host/config", "get", "$get", "(param i32 i32 i32)")
        .init(&format!("{get} {}", kept(0)))
        .with_reconfigure(&format!("{get} {}", kept(5)))
        .with_publish_interceptor(&["unused"], 0, "")
        .with_interest(
            "(i32.store (i32.const 1024) (i32.const 3072)) (i32.store (i32.const 1028) (i32.const 1))",
        );
    let mut spec = spec(&guest);
    spec.grants.insert(Capability::Config);
    let extension = host().load(spec).unwrap();
    let filter = |extension: &Extension| {
        extension.publish_interest().unwrap().filters[0].as_str().to_owned()
    };
    assert_eq!(filter(&extension), "old/#");
    reconfigure(&extension, "b").unwrap();
    assert_eq!(filter(&extension), "new/#");
}

#[test]
fn all_that_are_idle_are_taken_over_and_those_that_are_busy_are_not() {
    let body = "(if (i32.eq (i32.load8_u (local.get $client)) (i32.const 33)) (then \
        (local.set $secret_len (i32.const 200000000)) \
        (loop $again (local.set $secret_len (i32.sub (local.get $secret_len) (i32.const 1))) \
          (br_if $again (local.get $secret_len)))))";
    let guest = counting("");
    let busy = guest.clone().with_authenticate(&format!("{body} {}", guest.authenticate_body()));
    let mut spec = spec(&busy);
    spec.grants.insert(Capability::Config);
    spec.config = settings("a");
    spec.limits.instances = 3;
    spec.limits.deadline_authenticate = Duration::from_secs(30);
    let extension = host().load(spec).unwrap();
    let slow = || extension.authenticate(&client("!"), None).result.unwrap();
    // Three at a time make three instances.
    while extension.stats().instances < 3 {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(slow);
            }
        });
    }
    let before = extension.stats();
    reconfigure(&extension, "b").unwrap();
    assert_eq!(extension.stats().instances, 3, "all of them have gone over");
    std::thread::scope(|scope| {
        let call = scope.spawn(slow);
        while extension.stats().calls == before.calls {
            std::thread::sleep(Duration::from_millis(1));
        }
        reconfigure(&extension, "c").unwrap();
        assert!(matches!(call.join().unwrap(), AuthenticationOutcome::Accept(_)));
    });
    assert!(name(&extension).starts_with('c'));
    let after = extension.stats();
    assert_eq!((after.rebuilt, after.instances), (before.rebuilt, 2), "the busy one is gone");
}

#[test]
fn a_new_version_may_begin_anew_with_each_setting_again() {
    let extension = host().load(counting_spec("")).unwrap();
    let without = spec(&Guest::authenticator(ACCEPT));
    extension.introduce(host(), without, Mode::Trial(Duration::from_secs(3600))).unwrap();
    assert_eq!(name(&extension), "c1");
    let with_batches = Guest::authorizer().with_batch("");
    let extension = host().load(spec(&with_batches)).unwrap();
    let singly = spec(&Guest::authorizer());
    extension.introduce(host(), singly, Mode::Trial(Duration::from_secs(3600))).unwrap();
}

#[test]
fn reconfiguration_alone_is_no_extension() {
    let error = host().load(spec(&Guest::default().with_reconfigure(""))).unwrap_err();
    assert!(matches!(error, LoadError::NoHook { .. }), "{error}");
}

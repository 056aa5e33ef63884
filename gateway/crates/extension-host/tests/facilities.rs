//! What guests reach beyond their instances (`key-value`, `http`, `broker`), each only with its grant, and with a facility
//! behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{ACCEPT, Guest};
use portcullis_extension_host::{
    Attestation, Capability, Extension, Facilities, Failure, KeyValue, KeyValueFault, LoadError,
    MetricValue, Mode, Order,
};
use support::outside::{
    AT, DISCONNECT, SEND, SET, Store, Taken, asking, case, disconnecting, granted, importing,
    judged, keeping, load, ordering, reading, replacing, served, setting,
};
use support::{client, host, identity, refused};

/// Bytes that a guest repeats in keys that are too long.
const LONG_KEY: u32 = 257;

#[test]
fn what_is_not_granted_is_not_there() {
    for (import, grant) in
        [(SET, Capability::KeyValue), (SEND, Capability::Http), (DISCONNECT, Capability::Broker)]
    {
        let guest = importing(Guest::authenticator(ACCEPT), import);
        let error = refused(&guest);
        let wanted = LoadError::ForbiddenImport {
            extension: "test".into(),
            import: format!("{}@0.1.0", import.0),
            grant: Some(grant),
        };
        assert_eq!(error, wanted);
        assert!(error.to_string().contains(&format!("add \"{grant}\"")), "{error}");
        assert_eq!(case(&load(&guest, &[grant], Facilities::default())), None);
    }
}

/// The interface is named as it is in the contract, where one capability is in the package of the hooks.
#[test]
fn what_a_signature_does_not_name_is_refused_by_its_name() {
    for (import, grant) in [(SET, Capability::KeyValue), (DISCONNECT, Capability::Broker)] {
        let guest = importing(Guest::authenticator(ACCEPT), import);
        let mut spec = granted(&guest, &[grant], Facilities::default());
        let hooks = ["authenticator".to_owned()].into();
        let attestation = Attestation { by: "site".into(), hooks, grants: [].into() };
        spec.attestation = Some(attestation.clone());
        let said = host().load(spec.clone()).unwrap_err().to_string();
        assert!(said.contains(&format!("imports {}, which the signature", import.0)), "{said}");
        let grants = [grant.name().to_owned()].into();
        spec.attestation = Some(Attestation { grants, ..attestation });
        host().load(spec).unwrap();
    }
}

#[test]
fn a_kind_of_server_that_is_not_built_in_is_refused_by_name_whatever_is_granted() {
    for (interface, name, signature) in [
        ("sql", "query", "(param i32 i32 i32 i32 i32 i32 i32)"),
        ("redis", "command", "(param i32 i32 i32 i32 i32 i32 i32)"),
        ("ldap", "check-password", "(param i32 i32 i32 i32 i32 i32 i32)"),
    ] {
        let import = format!("portcullis:host/{interface}");
        let guest = importing(Guest::authenticator(ACCEPT), (&import, name, signature));
        let error = host().load(granted(&guest, &Capability::ALL, Facilities::default()));
        let error = error.unwrap_err();
        assert!(matches!(error, LoadError::NotBuiltIn { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains(&import) && said.contains("not built into this gateway"), "{said}");
    }
}

#[test]
fn what_is_set_reaches_the_store_and_the_wait_ends_within_the_deadline() {
    let store = Arc::new(Store::default());
    let mut spec = granted(&setting(), &[Capability::KeyValue], keeping(&store));
    spec.limits.deadline_authenticate = Duration::from_secs(8);
    let extension = host().load(spec).unwrap();
    assert_eq!(case(&extension), None);
    assert_eq!(store.get("k").as_deref(), Some(&b"c1"[..]));
    let wait = store.waits.lock().unwrap()[0];
    assert!(wait <= Duration::from_secs(7) && wait > Duration::from_secs(6), "{wait:?}");
}

#[test]
fn faults_of_the_store_are_cases_of_the_contract() {
    let why = || "why".to_owned();
    for (fault, expected) in [
        (KeyValueFault::Invalid(why()), 0),
        (KeyValueFault::Quota(why()), 1),
        (KeyValueFault::Unavailable(why()), 2),
    ] {
        let store = Arc::new(Store { fails: Some(fault), ..Store::default() });
        let extension = load(&setting(), &[Capability::KeyValue], keeping(&store));
        assert_eq!(case(&extension), Some(expected));
    }
    let nothing = load(&setting(), &[Capability::KeyValue], Facilities::default());
    assert_eq!(case(&nothing), Some(2), "granted, and nothing behind it");
}

#[test]
fn keys_and_values_have_bounds() {
    let mut guest = Guest::authenticator("");
    let key = guest.put(&[b'k'; LONG_KEY as usize]);
    let call = |key_len: u32, value_len: u32| {
        judged(&format!(
            "(call $set (i32.const {key}) (i32.const {key_len}) (i32.const 0) (i32.const {value_len}) (i32.const {AT}))"
        ))
    };
    let (most, too_much) = (64 << 10, (64 << 10) + 1);
    for (key_len, value_len, expected) in
        [(256, most, None), (LONG_KEY, 0, Some(0)), (0, 0, Some(0)), (1, too_much, Some(0))]
    {
        let store = Arc::new(Store::default());
        let guest = importing(guest.clone().with_authenticate(&call(key_len, value_len)), SET);
        let extension = load(&guest, &[Capability::KeyValue], keeping(&store));
        assert_eq!(case(&extension), expected, "{key_len} {value_len}");
        assert_eq!(store.waits.lock().unwrap().len(), usize::from(expected.is_none()));
    }
}

#[test]
fn who_may_wait_is_never_asked_on_the_thread_of_a_connection() {
    let guest = Guest::authorizer();
    let publication = portcullis_extension_host::Publication {
        topic: "t",
        qos: mqtt::QoS::AtMostOnce,
        retain: false,
        payload_len: 0,
    };
    for (grant, sits) in [
        (Capability::Cache, true),
        (Capability::Broker, true),
        (Capability::KeyValue, false),
        (Capability::Http, false),
    ] {
        let extension = load(&guest, &[grant], Facilities::default());
        for _ in 0..200 {
            extension.authorize_publish(&identity(), &client("c1"), &publication).result.unwrap();
        }
        assert_eq!(extension.sit(&identity(), &client("c1")).is_some(), sits, "{grant}");
    }
}

#[test]
fn a_request_goes_to_a_connection_of_the_grant_and_to_no_other() {
    let (facilities, server) = served(Duration::ZERO);
    let extension = load(&asking("auth"), &[Capability::Http], facilities.clone());
    assert_eq!(case(&extension), None);
    let asked = server.asked.lock().unwrap().pop().unwrap();
    assert_eq!((&*asked.method, &*asked.path, &asked.headers[..]), ("GET", "/x", &[][..]));
    let other = load(&asking("other"), &[Capability::Http], facilities);
    assert_eq!(case(&other), Some(0), "unknown connection");
    assert!(server.asked.lock().unwrap().is_empty());
    // Taken away while it runs.
    extension.reconfigure(BTreeMap::new(), Arc::default(), Facilities::default()).unwrap();
    assert_eq!(case(&extension), Some(0));
}

#[test]
fn a_server_that_is_slow_costs_the_answer_and_not_the_instance() {
    let (facilities, _) = served(Duration::from_secs(30));
    let mut spec = granted(&asking("auth"), &[Capability::Http], facilities);
    spec.limits.deadline_authenticate = Duration::from_millis(400);
    let extension = host().load(spec).unwrap();
    let began = Instant::now();
    assert_eq!(case(&extension), Some(2), "a time-out, told to the guest");
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    let stats = extension.stats();
    assert_eq!((stats.deadline_exceeded, stats.rebuilt), (0, 0));
}

#[test]
fn the_time_of_a_request_counts_towards_the_deadline() {
    let (facilities, _) = served(Duration::from_millis(60));
    // Asks until it is stopped.
    let guest = asking("auth");
    let body = guest.authenticate_body();
    let endless = format!("(loop $again {body} (br $again))");
    let guest = guest.with_authenticate(&endless);
    let mut spec = granted(&guest, &[Capability::Http], facilities);
    spec.limits.deadline_authenticate = Duration::from_millis(300);
    let extension = host().load(spec).unwrap();
    let began = Instant::now();
    let result = extension.authenticate(&client("c1"), None).result;
    assert_eq!(result.unwrap_err(), Failure::Deadline);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[test]
fn orders_are_taken_where_they_make_sense_and_are_granted() {
    let taken = Arc::new(Taken::default());
    let told = |guest: Guest, facilities: Facilities| {
        case(&load(&guest, &[Capability::Broker], facilities))
    };
    assert_eq!(told(disconnecting("c2", 0x98), ordering(&taken)), None);
    assert_eq!(told(replacing("a/#", 0), ordering(&taken)), None);
    let orders = std::mem::take(&mut *taken.0.lock().unwrap());
    let [first, second] = &orders[..] else { panic!("{orders:?}") };
    assert!(
        matches!(first, Order::Disconnect { client_id, code, reason: Some(why) }
            if client_id == "c2" && code.as_u8() == 0x98 && why == "c2"),
        "{first:?}"
    );
    let Order::ReplacePermissions { client_id, permissions } = second else { panic!("{second:?}") };
    assert_eq!((&**client_id, permissions.fallback), ("c9", auth::Fallback::Deny));
    assert_eq!(permissions.rules[0].filter, "a/#");
    assert!(permissions.source.starts_with("test@"), "{}", permissions.source);
    for (guest, expected) in [
        (disconnecting("no", 0x98), 2),
        (disconnecting("c2", 0x00), 1),
        (disconnecting("c2", 0x85), 1),
        (disconnecting("c2", 0xfe), 1),
        (replacing("a/#/b", 0), 1),
        (replacing("a/#", 2), 1),
    ] {
        assert_eq!(told(guest, ordering(&taken)), Some(expected));
    }
    assert_eq!(told(disconnecting("c2", 0x98), Facilities::default()), Some(0), "not granted");
    assert!(taken.0.lock().unwrap().is_empty());
}

#[test]
fn what_is_reached_is_counted() {
    let (store, taken) = (Arc::new(Store::default()), Arc::new(Taken::default()));
    let (served, _) = served(Duration::from_millis(20));
    let facilities =
        Facilities { orders: ordering(&taken).orders, http: served.http, ..keeping(&store) };
    let counted = |guest: Guest, calls: usize| {
        let grants = [Capability::KeyValue, Capability::Http, Capability::Broker];
        let extension = load(&guest, &grants, facilities.clone());
        for _ in 0..calls {
            extension.authenticate(&client("c1"), None).result.unwrap();
        }
        extension.stats()
    };
    let stats = counted(setting(), 3);
    assert_eq!((stats.key_value_writes, stats.key_value_bytes_written), (3, 6));
    assert_eq!((stats.key_value_reads, stats.key_value_failures), (0, 0));
    let stats = counted(reading(), 2);
    assert_eq!((stats.key_value_reads, stats.key_value_bytes_read), (2, 4));
    let stats = counted(asking("auth"), 2);
    assert_eq!((stats.http_requests, stats.http_failures), (2, 0));
    assert!(stats.http_us >= 40_000, "{stats:?}");
    let orders = |guest| {
        let stats = counted(guest, 1);
        [stats.orders_taken, stats.orders_refused, stats.orders_undone]
    };
    assert_eq!(orders(disconnecting("c2", 0x98)), [1, 0, 0]);
    assert_eq!(orders(disconnecting("gone", 0x98)), [1, 0, 1]);
    assert_eq!(orders(disconnecting("no", 0x98)), [0, 1, 0]);
    assert_eq!(orders(disconnecting("c2", 0x00)), [0, 1, 0], "not even asked for");
    let fails = Some(KeyValueFault::Unavailable("why".to_owned()));
    let broken = Arc::new(Store { fails, ..Store::default() });
    let extension = load(&setting(), &[Capability::KeyValue], keeping(&broken));
    assert_eq!(case(&extension), Some(2));
    let stats = extension.stats();
    assert_eq!((stats.key_value_failures, stats.key_value_writes), (1, 0));
    let slow = support::outside::served(Duration::from_secs(30)).0;
    let mut spec = granted(&asking("auth"), &[Capability::Http], slow);
    spec.limits.deadline_authenticate = Duration::from_millis(200);
    let extension = host().load(spec).unwrap();
    assert_eq!(case(&extension), Some(2));
    assert_eq!((extension.stats().http_requests, extension.stats().http_failures), (1, 1));
}

#[test]
fn of_a_version_that_only_watches_nothing_comes() {
    let (store, taken) = (Arc::new(Store::default()), Arc::new(Taken::default()));
    let facilities = Facilities { orders: ordering(&taken).orders, ..keeping(&store) };
    let grants = [Capability::KeyValue, Capability::Broker];
    for (candidate, changes) in [(setting(), 1), (disconnecting("c2", 0x98), 0)] {
        let running = Guest::authenticator(ACCEPT);
        let extension = load(&running, &grants, facilities.clone());
        let spec = granted(&candidate, &grants, facilities.clone());
        extension.introduce(host(), spec, Mode::Shadow).unwrap();
        extension.authenticate(&client("c1"), None).result.unwrap();
        decides(&extension, 1);
        assert_eq!(
            extension.candidate().unwrap().differences,
            0,
            "it is told what would come of it"
        );
        assert_eq!((store.waits.lock().unwrap().len(), taken.0.lock().unwrap().len()), (0, 0));
        let stats = extension.stats();
        assert_eq!((stats.key_value_writes, stats.orders_taken), (0, 0), "nothing is counted");
        assert!(extension.promote());
        assert_eq!(case(&extension), None);
        assert_eq!(std::mem::take(&mut *store.waits.lock().unwrap()).len(), changes);
    }
    assert_eq!(taken.0.lock().unwrap().len(), 1, "as soon as it decides it does");
}

/// Waits until the shadow has made so many decisions.
fn decides(extension: &Extension, decisions: u64) {
    let until = Instant::now() + Duration::from_secs(20);
    while extension.candidate().unwrap().decisions < decisions {
        assert!(Instant::now() < until, "the shadow does not decide");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Counts clients in the cache and in a metric, and refuses all after the third.
fn counting() -> Guest {
    let mut guest = Guest::authenticator("");
    let name = guest.put(b"clients");
    let text = format!("(i32.const {name}) (i32.const 7)");
    let body = format!(
        "(call $add {text} (i64.const 1) (i32.const 0) (i32.const 0)) \
         (if (i64.gt_s (call $increment {text} (i64.const 1) (i32.const 3600000)) (i64.const 3)) \
           (then (i32.store8 (i32.const 1032) (i32.const 1)) (i32.store8 (i32.const 1040) (i32.const 0x87))) \
           (else {ACCEPT}))"
    );
    let guest = importing(
        guest.with_authenticate(&body),
        ("portcullis:host/cache", "increment", "(param i32 i32 i64 i32) (result i64)"),
    );
    guest.import("portcullis:host/metrics", "counter-add", "$add", "(param i32 i32 i64 i32 i32)")
}

/// A shadow that counts failures would otherwise count each twice, and the running version would lock out those who
/// have failed half as often as they may.
#[test]
fn a_version_that_only_watches_counts_for_itself() {
    let grants = [Capability::Cache, Capability::Metrics];
    let extension = load(&counting(), &grants, Facilities::default());
    let counted = || match extension.metrics().first() {
        Some(metric) => metric.value,
        None => MetricValue::Counter(0),
    };
    assert_eq!(case(&extension), None, "the first, counted before there is a shadow");
    let spec = granted(&counting(), &grants, Facilities::default());
    extension.introduce(host(), spec, Mode::Shadow).unwrap();
    assert_eq!((case(&extension), case(&extension)), (None, None));
    decides(&extension, 2);
    assert_eq!(extension.candidate().unwrap().differences, 0);
    assert_eq!(counted(), MetricValue::Counter(3));
    assert_eq!(case(&extension), Some(7), "the fourth");
    decides(&extension, 3);
    let candidate = extension.candidate().unwrap();
    assert_eq!(candidate.differences, 1, "the third that it sees: its cache began empty");
    assert_eq!(counted(), MetricValue::Counter(4));

    assert!(extension.promote());
    assert_eq!(case(&extension), Some(7), "it has the extension's cache as soon as it decides");
    assert_eq!(counted(), MetricValue::Counter(5), "and counts for the extension");
}

//! What is recorded of an extension, and what comes of it in another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use guest::{ACCEPT, Fallback, Guest, allow};
use mqtt::QoS;
use portcullis_extension_host::{
    Capability, CertificateInfo, Connecting, Extension, Publication, RecordedCall, RecordingPart,
    SubscriptionRequest, Verdict,
};
use support::{client, host, identity, load, spec};

const KEY: [u8; 32] = [7; 32];
const HOUR: Duration = Duration::from_secs(3600);
const PASSWORD: &[u8] = b"correct horse battery staple";

const DENY: &str =
    "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))";

/// Denies a publish where the clock says an odd number of milliseconds.
fn by_the_clock() -> Extension {
    let body = format!("(if (i32.wrap_i64 (i64.and (call $now) (i64.const 1))) (then {DENY}))");
    let guest = Guest::authorizer().authorize_publish(&body).import(
        "portcullis:host/clock",
        "now-ms",
        "$now",
        "(result i64)",
    );
    let mut spec = spec(&guest);
    spec.grants.insert(Capability::Clock);
    host().load(spec).unwrap()
}

fn publish(extension: &Extension, topic: &str) -> bool {
    let what = Publication { topic, qos: QoS::AtLeastOnce, retain: true, payload_len: 7 };
    let answer = extension.authorize_publish(&identity(), &client("c1"), &what);
    matches!(answer.result, Ok(Verdict::Allow { .. }))
}

fn taken(extension: &Extension) -> Vec<RecordedCall> {
    let RecordingPart { lines, lost, .. } = extension.take_recording(usize::MAX).unwrap();
    assert_eq!(lost, 0);
    lines.iter().map(|line| RecordedCall::parse(line).unwrap()).collect()
}

#[test]
fn a_replay_gets_the_same_from_the_gateway_as_the_call_did() {
    let extension = by_the_clock();
    let header = extension.record(HOUR, Some(KEY)).unwrap();
    assert_eq!((header.extension.as_str(), header.secrets), ("test", false));
    assert!(extension.record(HOUR, None).is_none(), "one at a time");
    assert!(extension.sit(&identity(), &client("c1")).is_none(), "nothing passes by the recorder");
    let until = Instant::now() + Duration::from_secs(10);
    let mut verdicts = Vec::new();
    while !(verdicts.contains(&true) && verdicts.contains(&false)) || verdicts.len() < 20 {
        assert!(Instant::now() < until, "the clock says odd and even");
        verdicts.push(publish(&extension, &format!("topic/{}", verdicts.len())));
        sleep(Duration::from_micros(700));
    }
    let calls = taken(&extension);
    assert_eq!(calls.len(), verdicts.len());
    for _ in 0..2 {
        for (at, (call, allowed)) in calls.iter().zip(&verdicts).enumerate() {
            let replayed = extension.replay(call);
            assert!(replayed.same && replayed.improvised == 0, "{replayed:?}");
            assert_eq!(
                (replayed.now == "allow", &*replayed.what),
                (*allowed, &*format!("topic/{at}"))
            );
        }
    }
    let stricter = load(&Guest::authorizer().authorize_publish(DENY));
    let differences = calls.iter().filter(|call| !stricter.replay(call).same).count();
    assert_eq!(differences, verdicts.iter().filter(|allowed| **allowed).count());
}

/// A client with everything that a client can have.
fn elaborate() -> Arc<Connecting> {
    let plain = client("c/1 ä");
    Arc::new(Connecting {
        user_properties: vec![("a".into(), "b\n".into())],
        will_topic: Some("will".into()),
        certificates: vec![vec![0x30, 0x82, 0xFF]],
        certificate: Some(CertificateInfo {
            sha256: "ab".into(),
            common_name: Some("cn".into()),
            not_after_unix_s: u64::MAX,
            san_dns: vec!["one".into(), "two".into()],
            ..CertificateInfo::default()
        }),
        peer_address: "2001:db8::1".parse().unwrap(),
        session_expiry: u32::MAX,
        ..Connecting::clone(&plain)
    })
}

/// Asks everything that can be recorded.
fn ask_all(extension: &Extension, connection: &Arc<Connecting>) {
    let who = identity();
    let topic = "a/b";
    let what = Publication { topic, qos: QoS::ExactlyOnce, retain: false, payload_len: u32::MAX };
    let entry =
        |share_group| SubscriptionRequest { filter: "a/#", share_group, qos: QoS::AtMostOnce };
    extension.authenticate(connection, Some(PASSWORD)).result.unwrap();
    extension.authenticate(connection, None).result.unwrap();
    extension.permissions(&who, connection).result.unwrap();
    extension.authorize_publish(&who, connection, &what).result.unwrap();
    extension
        .authorize_subscribe(&who, connection, &[entry(None), entry(Some("g"))])
        .result
        .unwrap();
}

fn everything() -> Guest {
    // Two verdicts: the first allows, the second denies with 0x87.
    let verdicts = "(i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const 2)) \
        (i32.store8 (i32.const 2088) (i32.const 1)) (i32.store8 (i32.const 2089) (i32.const 0x87))";
    Guest::authenticator(ACCEPT)
        .granting(&[allow("a/#"), allow("${client-id}")], Fallback::Ask)
        .authorize_publish(DENY)
        .authorize_subscribe(verdicts)
}

#[test]
fn every_question_and_answer_comes_back_from_a_line() {
    let extension = load(&everything());
    extension.record(HOUR, Some(KEY)).unwrap();
    let connection = elaborate();
    ask_all(&extension, &connection);
    let part = extension.take_recording(usize::MAX).unwrap();
    assert_eq!((part.lines.len(), part.is_last), (5, false));
    for line in &part.lines {
        let call = RecordedCall::parse(line).unwrap();
        let replayed = extension.replay(&call);
        assert!(replayed.same, "{replayed:?}");
        assert_eq!(replayed.before, replayed.now);
        assert_eq!(replayed.client_id, "c/1 ä");
        let shown = format!("{call:?}");
        for detail in
            ["2001:db8::1", "not_after_unix_s: 18446744073709551615", "[48, 130, 255]", "\"b\\n\""]
        {
            assert!(shown.contains(detail), "{detail}: {shown}");
        }
    }
    assert!(part.lines[0].contains("secret-") && !part.lines[1].contains("secret-"));
    for line in part.lines {
        assert!(!line.contains("correct horse"), "{line}");
        for broken in ["{}", "[]", "", &line[1..], &line.replace("\"hook\":\"", "\"hook\":\"x")] {
            assert!(RecordedCall::parse(broken).is_err(), "{broken}");
        }
    }
}

#[test]
fn a_recording_ends_and_secrets_are_in_it_where_somebody_says_so() {
    let extension = load(&everything());
    assert!(extension.take_recording(usize::MAX).is_none());
    extension.record(Duration::from_millis(300), None).unwrap();
    ask_all(&extension, &client("c1"));
    let part = extension.take_recording(1).unwrap();
    assert_eq!(part.lines.len(), 1, "about so many bytes");
    assert!(part.lines[0].contains("correct horse battery staple"), "{part:?}");
    sleep(Duration::from_millis(350));
    ask_all(&extension, &client("c1"));
    let rest = extension.take_recording(usize::MAX).unwrap();
    assert_eq!((rest.lines.len(), rest.is_last, rest.lost), (4, true, 0), "none after its end");
    assert!(extension.take_recording(usize::MAX).is_none());
    assert!(extension.record(HOUR, None).is_some(), "there can be another");
}

#[test]
fn limits_are_recorded_and_compared() {
    let ten = "(i32.store8 (i32.const 1040) (i32.const 1)) (i32.store (i32.const 1044) (i32.const 10)) \
        (i32.store (i32.const 1048) (i32.const 20))";
    let extension = load(&Guest::default().with_limits(ten));
    extension.record(HOUR, Some(KEY)).unwrap();
    assert!(extension.limits(&identity(), &client("c1")).result.is_ok());
    let [call] = &taken(&extension)[..] else { panic!("one call") };
    let replayed = extension.replay(call);
    assert!(replayed.same, "{replayed:?}");
    assert_eq!((replayed.hook, &*replayed.now), ("limit", "bytes=10/s bytes-burst=20"));
    let replayed = load(&Guest::default().with_limits("")).replay(call);
    assert!(!replayed.same, "{replayed:?}");
    assert_eq!((&*replayed.before, &*replayed.now), ("bytes=10/s bytes-burst=20", "none"));
}

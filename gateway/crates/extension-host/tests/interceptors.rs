//! Messages before the interceptors of an extension.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::time::{Duration, Instant};

use guest::{ENDLESS, Guest, TRAP};
use mqtt::{QoS, ReasonCode};
use portcullis_extension_host::{
    BreakerSettings, DeliveryAction, Extension, Failure, Hooks, Intercepted, LoadError,
    MessageChange, Mode, PublishAction, RecordedCall,
};
use support::{client, host, identity, load, refused, spec};

const WHOLE: u32 = u32::MAX;
const DISCARD: &str = "(i32.store8 (i32.const 1028) (i32.const 1))";
/// What an interceptor of deliveries says with the number with which one of publishes refuses.
const REPLACE_DELIVERY: &str = "(i32.store8 (i32.const 1028) (i32.const 2))";

fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Intercepted<'a> {
    Intercepted {
        topic,
        qos: QoS::AtLeastOnce,
        retain: true,
        payload,
        content_type: Some("text/plain"),
        response_topic: None,
        correlation_data: None,
        user_properties: vec![("place", "cellar")],
        expiry_seconds: Some(7),
    }
}

fn publish(extension: &Extension, topic: &str, payload: &[u8]) -> Result<PublishAction, Failure> {
    let what = message(topic, payload);
    extension.intercept_publish(&identity(), &client("c1"), &what).result
}

fn deliver(extension: &Extension, topic: &str) -> Result<DeliveryAction, Failure> {
    let what = message(topic, b"payload");
    extension.intercept_delivery(&identity(), &client("c1"), &what).result
}

/// Replaces by so many changes, all of them what `change` writes to `$at`, an address.
fn replacing(count: u32, change: &str) -> String {
    format!(
        "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 1024)) \
         (i32.store8 (i32.const 1028) (i32.const 3)) \
         (i32.store (i32.const 1032) (i32.const 2048)) \
         (i32.store (i32.const 1036) (i32.const {count})) {change}"
    )
}

#[test]
fn what_a_guest_is_shown_is_what_it_asked_for() {
    // Discards a message of exactly this kind.
    let expected = [
        ("$payload_len", 4),
        ("$size", 7),
        ("$topic_len", 3),
        ("$qos", 1),
        ("$retain", 1),
        ("$type_some", 1),
        ("$type_len", 10),
        ("$properties_len", 1),
        ("$expiry_some", 1),
        ("$expiry", 7),
        ("$principal_some", 1),
    ];
    let all = expected.iter().fold("(i32.const 1)".to_owned(), |all, (name, value)| {
        format!("(i32.and {all} (i32.eq (local.get {name}) (i32.const {value})))")
    });
    let guest = Guest::publish_interceptor(&["a/#"], 4, &format!("(if {all} (then {DISCARD}))"));
    let extension = load(&guest);
    assert_eq!(extension.hooks(), Hooks { publish_interceptor: true, ..Hooks::default() });
    let interest = extension.publish_interest().unwrap();
    assert_eq!((interest.filters[0].as_str(), interest.payload_bytes), ("a/#", 4));
    assert_eq!(extension.delivery_interest(), None);
    assert_eq!(publish(&extension, "a/b", b"payload"), Ok(PublishAction::Discard));
    assert_eq!(publish(&extension, "a/b", b"other"), Ok(PublishAction::Pass));
    let calls = extension.stats().calls;
    assert_eq!(publish(&extension, "b", b"payload"), Ok(PublishAction::Pass));
    assert_eq!(deliver(&extension, "a/b"), Ok(DeliveryAction::Pass));
    assert_eq!(extension.stats().calls, calls, "what is of no interest costs no call");
}

#[test]
fn a_publish_becomes_what_the_guest_says() {
    let mut guest = Guest::default();
    let (topic, payload, kind) = (guest.put(b"c/d"), guest.put(b"other"), guest.put(b"x/y"));
    let (name, value) = (guest.put(b"key"), guest.put(b"value"));
    let mut pair = Vec::new();
    for word in [name, 3, value, 5] {
        pair.extend(word.to_le_bytes());
    }
    let pair = guest.put(&pair);
    let store = |offset: u32, value: u32| {
        format!("(i32.store offset={offset} (i32.const 2048) (i32.const {value})) ")
    };
    let flags = |offset: u32, value: u32| {
        format!(
            "(i32.store8 offset={offset} (i32.const 2048) (i32.const 1)) \
                 (i32.store8 offset={} (i32.const 2048) (i32.const {value})) ",
            offset + 1
        )
    };
    let text = |offset: u32, at: u32, len: u32| {
        store(offset, 1) + &store(offset + 4, at) + &store(offset + 8, len)
    };
    let change = text(0, topic, 3)
        + &flags(12, 2)
        + &flags(14, 0)
        + &text(16, payload, 5)
        + &text(28, kind, 3)
        + &text(40, pair, 1)
        + &store(52, 1)
        + &store(56, 60);
    let guest = guest.with_publish_interceptor(&["#"], WHOLE, &replacing(2, &change));
    let action = publish(&load(&guest), "a", b"").unwrap();
    let first = MessageChange {
        topic: Some(mqtt::TopicNameBuf::new("c/d").unwrap()),
        qos: Some(QoS::ExactlyOnce),
        retain: Some(false),
        payload: Some(b"other".to_vec()),
        content_type: Some("x/y".into()),
        user_properties: Some(vec![("key".into(), "value".into())]),
        expiry_seconds: Some(60),
    };
    assert_eq!(action, PublishAction::Replace(vec![first, MessageChange::default()]));

    let refuse = "(i32.store8 (i32.const 1028) (i32.const 2)) (i32.store8 (i32.const 1032) (i32.const 0x99))";
    let action = publish(&load(&Guest::publish_interceptor(&["#"], 0, refuse)), "a", b"x");
    let code = ReasonCode::PayloadFormatInvalid;
    assert_eq!(action, Ok(PublishAction::Refuse { code, reason: None }));
}

#[test]
fn a_delivery_becomes_what_the_guest_says() {
    let mut guest = Guest::default();
    let stars = guest.put(b"***");
    let body = format!(
        "{REPLACE_DELIVERY} (i32.store8 (i32.const 1044) (i32.const 1)) \
         (i32.store (i32.const 1048) (i32.const {stars})) (i32.store (i32.const 1052) (i32.const 3))"
    );
    let extension = load(&guest.with_delivery_interceptor(&["secret/#"], 0, &body));
    assert_eq!(extension.hooks(), Hooks { delivery_interceptor: true, ..Hooks::default() });
    let change = MessageChange { payload: Some(b"***".to_vec()), ..MessageChange::default() };
    assert_eq!(deliver(&extension, "secret/x"), Ok(DeliveryAction::Replace(Box::new(change))));
    assert_eq!(deliver(&extension, "open"), Ok(DeliveryAction::Pass));
    let discarding = load(&Guest::default().with_delivery_interceptor(&["#"], 0, DISCARD));
    assert_eq!(deliver(&discarding, "x"), Ok(DeliveryAction::Discard));
}

#[test]
fn an_answer_outside_of_the_contract_is_a_failure() {
    let mut guest = Guest::default();
    let (wildcard, nul) = (guest.put(b"a/+"), guest.put(b"a\0b"));
    let text = |offset: u32, at: u32| {
        format!(
            "(i32.store offset={offset} (i32.const 2048) (i32.const 1)) \
             (i32.store offset={} (i32.const 2048) (i32.const {at})) \
             (i32.store offset={} (i32.const 2048) (i32.const 3))",
            offset + 4,
            offset + 8
        )
    };
    let refuse = |code: u32| {
        format!(
            "(i32.store8 (i32.const 1028) (i32.const 2)) (i32.store8 (i32.const 1032) (i32.const {code}))"
        )
    };
    for (why, body) in [
        ("0 messages in the place of one", replacing(0, "")),
        ("17 messages in the place of one", replacing(17, "")),
        ("no topic", replacing(1, &text(0, wildcard))),
        ("no topic", replacing(1, &text(0, nul))),
        ("a content type contains U+0000", replacing(1, &text(28, nul))),
        ("0x10 cannot refuse in PUBACK", refuse(0x10)),
        ("0x8c cannot refuse in PUBACK", refuse(0x8C)),
    ] {
        let guest = guest.clone().with_publish_interceptor(&["#"], WHOLE, &body);
        let failure = publish(&load(&guest), "a", b"").unwrap_err();
        assert!(
            matches!(&failure, Failure::InvalidAnswer(text) if text.contains(why)),
            "{why}: {failure:?}"
        );
    }
    let most = replacing(16, "");
    let most = load(&Guest::publish_interceptor(&["#"], WHOLE, &most));
    assert!(matches!(publish(&most, "a", b""), Ok(PublishAction::Replace(all)) if all.len() == 16));
}

#[test]
fn payloads_together_are_no_larger_than_an_answer_may_be() {
    // Two changes with the first 40 KiB of memory as their payloads.
    let payload = |offset: u32| {
        format!(
            "(i32.store offset={offset} (i32.const 2048) (i32.const 1)) \
             (i32.store offset={} (i32.const 2048) (i32.const 40960))",
            offset + 8
        )
    };
    let body = replacing(2, &(payload(16) + &payload(76)));
    let guest = Guest::publish_interceptor(&["#"], WHOLE, &body);
    assert!(publish(&load(&guest), "a", b"").is_ok());
    let mut small = spec(&guest);
    small.limits.transfer_bytes = 64 << 10;
    let failure = publish(&host().load(small).unwrap(), "a", b"").unwrap_err();
    assert!(matches!(failure, Failure::InvalidAnswer(_)), "{failure:?}");
}

#[test]
fn an_interest_is_checked_when_the_extension_is_loaded() {
    let many = ["a"; 65];
    for (filters, why) in [
        (&[][..], "0 filters"),
        (&many[..], "65 filters, not 1 to 64"),
        (&["a", "b/#/c"][..], "\"b/#/c\" is not a topic filter"),
        (&["$share/g/a"][..], "names a group"),
    ] {
        let error = refused(&Guest::publish_interceptor(filters, 0, ""));
        assert!(matches!(error, LoadError::BadInterest { hook: "publish-interceptor", .. }));
        let says = error.to_string();
        assert!(says.contains("publish-interceptor.wants") && says.contains(why), "{says}");
        let error = refused(&Guest::default().with_delivery_interceptor(filters, 0, ""));
        assert!(matches!(error, LoadError::BadInterest { hook: "delivery-interceptor", .. }));
    }
}

#[test]
fn a_message_has_a_deadline_and_each_kind_of_interceptor_a_breaker() {
    let slow = Guest::publish_interceptor(&["#"], 0, ENDLESS);
    let mut slow = spec(&slow);
    slow.limits.deadline_intercept = Duration::from_millis(20);
    slow.limits.deadline_authorize = Duration::from_secs(60);
    let began = Instant::now();
    assert_eq!(publish(&host().load(slow).unwrap(), "a", b""), Err(Failure::Deadline));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    let guest =
        Guest::publish_interceptor(&["#"], 0, TRAP).with_delivery_interceptor(&["#"], 0, "");
    let mut failing = spec(&guest);
    failing.limits.breaker = BreakerSettings { failures: 2, ..BreakerSettings::default() };
    let failing = host().load(failing).unwrap();
    for _ in 0..2 {
        assert!(matches!(publish(&failing, "a", b""), Err(Failure::Trap(_))));
    }
    assert!(matches!(publish(&failing, "a", b""), Err(Failure::BreakerOpen { .. })));
    let resting: Vec<_> =
        failing.versions().running.resting.iter().map(|(hook, _)| *hook).collect();
    assert_eq!(resting, ["intercept-publish"]);
    assert_eq!(deliver(&failing, "a"), Ok(DeliveryAction::Pass));
    assert!(failing.sit_to_intercept(&identity(), &client("c1")).is_none(), "not while it rests");
}

#[test]
fn an_interceptor_that_is_quick_answers_where_nobody_can_wait() {
    // Takes for ever over what begins with "s".
    let body = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 115)) (then (loop $again (br $again))))";
    let guest = Guest::publish_interceptor(&["+"], WHOLE, body).with_delivery_interceptor(
        &["d"],
        0,
        DISCARD,
    );
    let extension = load(&guest);
    let (who, conn) = (identity(), client("c1"));
    assert!(extension.sit_to_intercept(&who, &conn).is_none(), "nobody knows yet how quick it is");
    let quick = (0..5000).any(|_| {
        publish(&extension, "a", b"x").unwrap();
        extension.sit_to_intercept(&who, &conn).is_some()
    });
    assert!(quick);
    assert!(extension.sit(&who, &conn).is_none(), "it is no authorizer");
    let before = extension.stats().calls;
    let mut sitting = extension.sit_to_intercept(&who, &conn).unwrap();
    assert_eq!(sitting.intercept_publish(&message("a", b"x")), Some(Ok(PublishAction::Pass)));
    assert_eq!(sitting.intercept_publish(&message("a/b", b"x")), Some(Ok(PublishAction::Pass)));
    assert_eq!(sitting.intercept_delivery(&message("d", b"x")), Some(Ok(DeliveryAction::Discard)));
    assert_eq!(sitting.intercept_delivery(&message("e", b"x")), Some(Ok(DeliveryAction::Pass)));
    assert_eq!(sitting.intercept_publish(&message("s", b"x")), None);
    assert_eq!(sitting.intercept_publish(&message("a", b"x")), None, "the instance is gone");
    assert_eq!(sitting.intercept_delivery(&message("e", b"x")), Some(Ok(DeliveryAction::Pass)));
    drop(sitting);
    assert_eq!(extension.stats().calls - before, 3, "two of no interest, and two after the end");
    assert!(extension.sit_to_intercept(&who, &conn).is_none(), "it has to prove itself anew");
}

#[test]
fn while_a_version_is_tried_each_is_asked_about_what_it_wants_to_see() {
    let extension = load(&Guest::publish_interceptor(&["old/#", "both/#"], 10, ""));
    let newer = Guest::publish_interceptor(&["new/#", "both/#"], 20, DISCARD)
        .with_delivery_interceptor(&["#"], 0, DISCARD);
    extension.introduce(host(), spec(&newer), Mode::Canary(0)).unwrap();
    let interest = extension.publish_interest().unwrap();
    let filters: Vec<_> = interest.filters.iter().map(|filter| filter.as_str()).collect();
    assert_eq!((&filters[..], interest.payload_bytes), (&["old/#", "both/#", "new/#"][..], 20));
    assert!(extension.delivery_interest().is_some(), "one of them has the hook");
    for topic in ["old/x", "new/x", "both/x"] {
        assert_eq!(publish(&extension, topic, b""), Ok(PublishAction::Pass), "{topic}");
    }
    assert_eq!(deliver(&extension, "x"), Ok(DeliveryAction::Pass));
    assert!(extension.sit_to_intercept(&identity(), &client("c1")).is_none());
    extension.promote();
    assert_eq!(publish(&extension, "both/x", b""), Ok(PublishAction::Discard));
    assert_eq!(publish(&extension, "old/x", b""), Ok(PublishAction::Pass));
    assert_eq!(deliver(&extension, "x"), Ok(DeliveryAction::Discard));
    let without = Guest::publish_interceptor(&["#"], 0, "");
    let error = extension.introduce(host(), spec(&without), Mode::Canary(0)).unwrap_err();
    assert!(matches!(error, LoadError::LostHook { hook: "delivery-interceptor", .. }), "{error}");
}

#[test]
fn a_shadow_says_what_it_would_have_made_of_a_message() {
    let extension = load(&Guest::publish_interceptor(&["#"], WHOLE, ""));
    let newer = Guest::publish_interceptor(&["a/#"], 0, DISCARD);
    extension.introduce(host(), spec(&newer), Mode::Shadow).unwrap();
    assert_eq!(publish(&extension, "a/b", b"hunter22"), Ok(PublishAction::Pass));
    assert_eq!(publish(&extension, "b", b"hunter22"), Ok(PublishAction::Pass));
    let until = Instant::now() + Duration::from_secs(10);
    let status = loop {
        let status = extension.candidate().unwrap();
        if status.decisions >= 2 {
            break status;
        }
        assert!(Instant::now() < until, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let [difference] = &status.latest[..] else { panic!("{:?}", status.latest) };
    assert_eq!((difference.hook, &*difference.what), ("intercept-publish", "a/b"));
    assert_eq!((&*difference.running, &*difference.candidate), ("pass", "discard"));
}

/// Puts the payload into a message of its own, beside a message without one.
fn repeating() -> Extension {
    let change = "(i32.store offset=16 (i32.const 2048) (i32.const 1)) \
        (i32.store offset=20 (i32.const 2048) (local.get $payload)) \
        (i32.store offset=24 (i32.const 2048) (local.get $payload_len))";
    let guest = Guest::publish_interceptor(&["#"], 8, &replacing(2, change));
    load(&guest.with_delivery_interceptor(&["#"], 0, DISCARD))
}

#[test]
fn what_is_in_messages_is_in_a_recording_only_where_somebody_says_so() {
    let hour = Duration::from_secs(3600);
    for key in [Some([7; 32]), None] {
        let extension = repeating();
        extension.record(hour, key).unwrap();
        assert!(extension.sit_to_intercept(&identity(), &client("c1")).is_none());
        publish(&extension, "a/b", b"hunter22 and more").unwrap();
        deliver(&extension, "a/b").unwrap();
        let lines = extension.take_recording(usize::MAX).unwrap().lines;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].contains("hunter22"), key.is_none(), "{}", lines[0]);
        assert_eq!(lines[0].contains("cellar"), key.is_none(), "{}", lines[0]);
        assert!(!lines[0].contains("and more"), "it was not shown: {}", lines[0]);
        assert!(lines[0].contains("\"payload_bytes\":17"), "{}", lines[0]);
        for line in &lines {
            let call = RecordedCall::parse(line).unwrap();
            let replayed = extension.replay(&call);
            assert!(replayed.same && replayed.improvised == 0, "{replayed:?}");
            assert!(!format!("{call:?}{replayed:?}").contains("hunter22"));
            let other = load(&Guest::publish_interceptor(&["#"], 0, "").with_delivery_interceptor(
                &["#"],
                0,
                "",
            ));
            let replayed = other.replay(&call);
            assert!(!replayed.same && replayed.now == "pass", "{replayed:?}");
            for (good, bad) in [("\"retain\"", "\"remain\""), ("\"qos\":1", "\"qos\":3")] {
                assert!(RecordedCall::parse(&line.replace(good, bad)).is_err(), "{bad}");
            }
        }
    }
}

//! The table: what a client shows and wants, and what it hears.

use mqtt::{QoS, ReasonCode};
use serde_json::{Value, json};

use crate::issuer::{Issuer, now, payload, unsigned};
use crate::scene::{Case, Shown, Wants};

const YES: ReasonCode = ReasonCode::Success;
const NOT_AUTHORIZED: ReasonCode = ReasonCode::NotAuthorized;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let (mut cases, stranger) = (passwords(), Issuer::new(9));
    let forged = stranger.signed(r#"{"alg":"EdDSA","kid":"k1"}"#, &payload(&north()));
    cases.extend([
        refused_password("a stranger's key", stranger.token(&north()), "\"k9\""),
        refused_password("a stranger's key under another name", forged, "signature"),
    ]);
    cases.extend(claims());
    cases.extend(names());
    cases.extend(wills());
    cases.extend(publishes());
    cases.extend(publishes_of_administrators());
    cases.extend(subscriptions());
    cases.extend(subscriptions_of_administrators());
    cases
}

fn north() -> Value {
    json!({ "tenant": "north" })
}

fn refused_password(what: &'static str, password: impl Into<Vec<u8>>, words: &'static str) -> Case {
    let (shown, code) = (Shown::Bytes(password.into()), ReasonCode::BadUserNameOrPassword);
    Case { what, shown, prefix: "north-", wants: Wants::In, code, words }
}

fn passwords() -> Vec<Case> {
    let nothing = Case {
        what: "no password",
        shown: Shown::Nothing,
        prefix: "north-",
        wants: Wants::In,
        code: NOT_AUTHORIZED,
        words: "no extension of the chain accepted the client",
    };
    vec![
        nothing,
        refused_password("a password that is no token", "hunter2", "malformed"),
        refused_password("an empty password", "", "malformed"),
        refused_password(
            "no UTF-8",
            b"\xff\xfe\x00".to_vec(),
            "the password is no token: it is not UTF-8",
        ),
        refused_password("UTF-8 that is cut off", "é".as_bytes()[..1].to_vec(), "it is not UTF-8"),
        refused_password("a surrogate", b"\xed\xa0\x80".to_vec(), "it is not UTF-8"),
        refused_password("an overlong form", b"\xc0\xae".to_vec(), "it is not UTF-8"),
        refused_password(
            "a character beyond Unicode",
            b"\xf4\x90\x80\x80".to_vec(),
            "it is not UTF-8",
        ),
        refused_password("60,000 bytes", "x".repeat(60_000), "at most 16384"),
        refused_password("no algorithm", unsigned(&north()), "\"none\""),
    ]
}

/// A token with these claims, in CONNECT; refused if there are words for the log.
fn with(what: &'static str, claims: Value, code: ReasonCode, words: &'static str) -> Case {
    Case { what, shown: Shown::Claims(claims), prefix: "north-", wants: Wants::In, code, words }
}

fn claims() -> Vec<Case> {
    let bad = ReasonCode::BadUserNameOrPassword;
    let of_north = |more: Value| {
        let mut claims = north();
        if let (Some(all), Value::Object(more)) = (claims.as_object_mut(), more) {
            all.extend(more);
        }
        claims
    };
    let not_one = "the token has not exactly one value of \"tenant\"";
    vec![
        with("as it should be", north(), YES, ""),
        with("expired", of_north(json!({ "exp": now() - 5 })), bad, "expired"),
        with("another issuer", of_north(json!({ "iss": "mallory" })), bad, "\"mallory\""),
        with("another audience", of_north(json!({ "aud": "http" })), bad, "\"http\""),
        with("too early", of_north(json!({ "nbf": now() + 60 })), bad, "nbf"),
        with("without an end", of_north(json!({ "exp": null })), bad, "exp"),
        with(
            "no subject",
            of_north(json!({ "sub": null })),
            NOT_AUTHORIZED,
            "\"sub\" of the token is no name",
        ),
        with(
            "an empty subject",
            of_north(json!({ "sub": "" })),
            NOT_AUTHORIZED,
            "\"sub\" of the token is no name",
        ),
        with(
            "a subject with a line end",
            of_north(json!({ "sub": "a\nb" })),
            NOT_AUTHORIZED,
            "is no name",
        ),
        with(
            "a subject with a control character",
            of_north(json!({ "sub": "a\u{85}b" })),
            NOT_AUTHORIZED,
            "is no name",
        ),
        with(
            "a subject of 1025 bytes",
            of_north(json!({ "sub": "x".repeat(1025) })),
            NOT_AUTHORIZED,
            "1 to 1024 bytes",
        ),
        with("no tenant", json!({}), NOT_AUTHORIZED, not_one),
        with("two tenants", json!({ "tenant": ["north", "south"] }), NOT_AUTHORIZED, not_one),
        with(
            "a tenant that is no text",
            json!({ "tenant": { "north": true } }),
            NOT_AUTHORIZED,
            not_one,
        ),
        with("a list of one tenant", json!({ "tenant": ["north"] }), YES, ""),
        with(
            "a long list of another claim",
            of_north(json!({ "more": vec!["x".repeat(60); 120] })),
            YES,
            "",
        ),
    ]
}

fn names() -> Vec<Case> {
    let tenant = |what, tenant: &str, prefix, words: &'static str| {
        let code = if words.is_empty() { YES } else { NOT_AUTHORIZED };
        Case { prefix, ..with(what, json!({ "tenant": tenant }), code, words) }
    };
    let long = "x".repeat(65);
    let no_tenant = "\"tenant\" of the token is no tenant: one has 1 to 64 bytes without /, +, # and control \
                     characters, does not begin with $, and is not \"notices\"";
    let mut cases: Vec<Case> = [
        ("a tenant of two levels", "north/south"),
        ("a wildcard for a tenant", "+"),
        ("all tenants", "#"),
        ("a tenant of the gateway's topics", "$SYS"),
        ("a tenant of everybody's topics", "notices"),
        ("an empty tenant", ""),
        ("a tenant with U+0000", "no\0rth"),
        ("a tenant of 65 bytes", &long),
    ]
    .map(|(what, name)| tenant(what, name, "north-", no_tenant))
    .into();
    let another = Case {
        prefix: "south-",
        code: ReasonCode::ClientIdentifierNotValid,
        words: "does not begin with \"north-\"",
        ..with("another tenant's client identifier", north(), YES, "")
    };
    cases.extend([
        another,
        tenant("a tenant beyond ASCII", "nörd €", "nörd €-", ""),
        tenant("a tenant beyond the basic plane", "𝄞", "𝄞-", ""),
        tenant(
            "a tenant of 64 bytes in 32 characters",
            "éééééééééééééééééééééééééééééééé",
            "éééééééééééééééééééééééééééééééé-",
            "",
        ),
        Case { prefix: "7-", ..with("a number for a tenant", json!({ "tenant": 7 }), YES, "") },
    ]);
    cases
}

fn wills() -> Vec<Case> {
    let will = |what, topic, code, words| Case {
        wants: Wants::Will(topic),
        ..with(what, north(), code, words)
    };
    vec![
        will("a will in its own topics", "north/gone", YES, ""),
        will(
            "a will in another's",
            "south/gone",
            NOT_AUTHORIZED,
            "topic \"south/gone\" is of \"south\"",
        ),
    ]
}

/// A publish or subscribe of a client of north.
fn wanting(what: &'static str, wants: Wants, code: ReasonCode, words: &'static str) -> Case {
    Case { wants, ..with(what, json!({ "tenant": "north", "roles": ["reader"] }), code, words) }
}

/// The same of one that is an administrator.
fn administrator(what: &'static str, wants: Wants, code: ReasonCode, words: &'static str) -> Case {
    let claims = json!({ "tenant": "north", "roles": ["reader", "site-admin"] });
    Case { shown: Shown::Claims(claims), ..wanting(what, wants, code, words) }
}

fn publishes() -> Vec<Case> {
    let publish =
        |what, topic, code, words| wanting(what, Wants::Publish(topic, false), code, words);
    let of = "is of \"south\", and the client is of \"north\"";
    vec![
        publish("to its own topics", "north/a/b", YES, ""),
        publish("to the root of its own topics", "north", YES, ""),
        wanting("retained, to its own topics", Wants::Publish("north/kept", true), YES, ""),
        publish("to another's topics", "south/a", NOT_AUTHORIZED, of),
        publish("to the root of another's topics", "south", NOT_AUTHORIZED, of),
        publish(
            "to what only begins like its own",
            "northern/a",
            NOT_AUTHORIZED,
            "is of \"northern\"",
        ),
        publish("to its own in other letters", "North/a", NOT_AUTHORIZED, "is of \"North\""),
        publish("below an empty level", "/north/a", NOT_AUTHORIZED, "is of \"\""),
        publish("to what everybody reads", "notices/a", NOT_AUTHORIZED, "is of \"notices\""),
        publish(
            "beyond ASCII",
            "südén/ключ",
            NOT_AUTHORIZED,
            "topic \"südén/ключ\" is of \"südén\"",
        ),
    ]
}

fn publishes_of_administrators() -> Vec<Case> {
    let publish =
        |what, topic, code, words| administrator(what, Wants::Publish(topic, false), code, words);
    vec![
        publish("an administrator, to another's topics", "south/a", YES, ""),
        publish("an administrator, to what everybody reads", "notices/a", YES, ""),
        administrator(
            "an administrator, retained at another's",
            Wants::Publish("south/kept", true),
            NOT_AUTHORIZED,
            "an administrator leaves no retained messages with \"south\"",
        ),
        publish(
            "an administrator, to a control topic",
            "$CONTROL/broker/disconnect",
            NOT_AUTHORIZED,
            "topics below \"$CONTROL\" are the gateway's",
        ),
        Case {
            shown: Shown::Claims(json!({ "tenant": "north", "roles": ["site-administrator"] })),
            ..publish("a role that is another", "south/a", NOT_AUTHORIZED, "is of \"south\"")
        },
        Case {
            shown: Shown::Claims(json!({ "tenant": "north", "roles": "site-admin" })),
            ..publish("a role that is no list", "south/a", YES, "")
        },
    ]
}

fn subscriptions() -> Vec<Case> {
    let subscribe =
        |what, filter, qos, code, words| wanting(what, Wants::Subscribe(filter, qos), code, words);
    let two = QoS::ExactlyOnce;
    vec![
        subscribe("its own topics", "north/#", two, ReasonCode::GrantedQos2, ""),
        subscribe("some of its own topics", "north/+/b", QoS::AtMostOnce, YES, ""),
        subscribe("its own topics, shared", "$share/g/north/a", two, ReasonCode::GrantedQos2, ""),
        subscribe("what everybody reads", "notices/#", two, ReasonCode::GrantedQos1, ""),
        subscribe(
            "another's topics",
            "south/#",
            two,
            NOT_AUTHORIZED,
            "filter \"south/#\" is of \"south\"",
        ),
        subscribe(
            "another's topics, shared",
            "$share/g/south/a",
            two,
            NOT_AUTHORIZED,
            "\"south/a\" is of \"south\"",
        ),
        subscribe(
            "everything",
            "#",
            two,
            NOT_AUTHORIZED,
            "filter \"#\" reaches others than \"north\"",
        ),
        subscribe(
            "a level of everybody",
            "+/a",
            two,
            NOT_AUTHORIZED,
            "filter \"+/a\" reaches others than \"north\"",
        ),
        subscribe(
            "the gateway's topics",
            "$SYS/#",
            two,
            NOT_AUTHORIZED,
            "topics below \"$SYS\" are the gateway's",
        ),
    ]
}

fn subscriptions_of_administrators() -> Vec<Case> {
    let subscribe = |what, filter, code, words| {
        administrator(what, Wants::Subscribe(filter, QoS::ExactlyOnce), code, words)
    };
    vec![
        subscribe("an administrator, everything", "#", ReasonCode::GrantedQos2, ""),
        subscribe("an administrator, another's topics", "south/+", ReasonCode::GrantedQos2, ""),
        subscribe(
            "an administrator, the gateway's topics",
            "$SYS/#",
            NOT_AUTHORIZED,
            "topics below \"$SYS\" are the gateway's",
        ),
    ]
}

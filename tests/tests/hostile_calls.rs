//! What a guest can do in a call, one case each, against one gateway that runs all of these guests: whoever provokes
//! the guest hears a refusal, the log tells why, and nobody else notices.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::time::{Duration, Instant};

use guest::{
    ACCEPT, ENDLESS, Fallback, Function, Guest, HOG, OVERFLOW, Rule, TRAP, allow, provoked,
};
use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site, free_port};
use serde_json::Value;

/// Time of the guests for a call.
const DEADLINE: Duration = Duration::from_millis(300);

/// What a busy machine may take for an answer besides.
const SLACK: Duration = Duration::from_secs(5);

/// One guest and what it does when it is provoked.
struct Case {
    name: &'static str,
    guest: Guest,
    grants: &'static [&'static str],
    by: Provocation,
    /// What becomes of the client.
    ends: End,
}

/// How a guest is provoked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provocation {
    /// By a client whose identifier is `!`.
    Connect,
    /// By a publish on the topic `!`.
    Publish,
    /// By a subscription to `!`.
    Subscribe,
}

/// What comes of it.
#[derive(Clone, Copy)]
enum End {
    /// A refusal; the log gives these words as the reason.
    Refused(&'static str),
    /// Nothing that the client notices; this counter of the extension tells.
    Counted(&'static str),
    /// Nothing at all: the guest has harmed itself.
    Unnoticed,
}

use End::{Counted, Refused, Unnoticed};
use Provocation::{Connect, Publish, Subscribe};

/// The text at this address begins with `!`.
fn begins(address: &str) -> String {
    format!("(i32.eq (i32.load8_u {address}) (i32.const 33))")
}

/// Misbehaves in `authenticate`.
fn connecting(name: &'static str, body: &str, says: &'static str) -> Case {
    let guest = Guest::authenticator(&provoked(body, ACCEPT));
    Case { name, guest, grants: &[], by: Connect, ends: Refused(says) }
}

/// Has an import, and misbehaves in `authenticate`.
fn importing(
    name: &'static str,
    (interface, function, signature): (&str, &str, &str),
    body: &str,
    ends: End,
) -> Case {
    let grants = match interface {
        "cache" => &["cache"],
        "clock" => &["clock"],
        "credentials" => &["credentials"],
        "log" => &["log"],
        "metrics" => &["metrics"],
        "random" => &["random"],
        _ => &[][..],
    };
    let package = if grants.is_empty() { "portcullis:gateway" } else { "portcullis:host" };
    let interface = format!("{package}/{interface}");
    let guest = Guest::authenticator(&provoked(body, ACCEPT))
        .import(&interface, function, "$call", signature);
    Case { name, guest, grants, by: Connect, ends }
}

/// Misbehaves when it is asked about a publish or a subscription.
fn asked(name: &'static str, by: Provocation, body: &str, says: &'static str) -> Case {
    let verdicts = "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 40)) \
        (i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (local.get $count))";
    let (function, condition) = match by {
        Publish => (Function::Publish, begins("(local.get $topic)")),
        Connect | Subscribe => (Function::Subscribe, begins("(i32.load (local.get $list))")),
    };
    let guest = Guest::authenticator(ACCEPT)
        .granting(&[], Fallback::Ask)
        .authorize_subscribe(verdicts)
        .provoked_in(function, &condition, body);
    Case { name, guest, grants: &[], by, ends: Refused(says) }
}

/// Misbehaves when the host wants memory for the identifier `!`.
fn allocating(name: &'static str, body: &str, says: &'static str) -> Case {
    let guest = Guest::authenticator(ACCEPT)
        .import("portcullis:host/clock", "now-ms", "$now", "(result i64)")
        .realloc(&format!("(if (i32.eq (local.get $new) (i32.const 1)) (then {body}))"));
    Case { name, guest, grants: &["clock"], by: Connect, ends: Refused(says) }
}

/// Misbehaves when the host has read the answer.
fn afterwards(name: &'static str, body: &str, says: &'static str) -> Case {
    let guest = Guest::authenticator(&format!(
        "(global.set $evil {}) {ACCEPT}",
        begins("(local.get $client)")
    ))
    .item("(global $evil (mut i32) (i32.const 0))")
    .after(&format!("(if (global.get $evil) (then {body}))"));
    Case { name, guest, grants: &[], by: Connect, ends: Refused(says) }
}

const NOW: (&str, &str, &str) = ("clock", "now-ms", "(result i64)");
const EVENT: (&str, &str, &str) = ("log", "event", "(param i32 i32 i32 i32 i32)");
const BYTES: (&str, &str, &str) = ("random", "bytes", "(param i32 i32)");
const PUT: (&str, &str, &str) = ("cache", "put", "(param i32 i32 i32 i32 i32)");
const ADD: (&str, &str, &str) = ("metrics", "counter-add", "(param i32 i32 i64 i32 i32)");
const VERIFY: (&str, &str, &str) =
    ("credentials", "verify-password", "(param i32 i32 i32 i32) (result i32)");
const TRANSPORT: (&str, &str, &str) = ("types", "[method]connection.transport", "(param i32 i32)");

/// Does `body` so many times, with `$secret` counting down.
fn times(count: u32, body: &str) -> String {
    format!(
        "(local.set $secret (i32.const {count})) (loop $next {body} \
         (br_if $next (local.tee $secret (i32.sub (local.get $secret) (i32.const 1)))))"
    )
}

const LATE: &str = "did not answer within its deadline";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(loops());
    cases.extend(traps());
    cases.extend(answers());
    cases.extend(host_calls());
    cases.extend(handles());
    cases
}

/// Guests that do not come back, or not as they should.
fn loops() -> Vec<Case> {
    let grant = Guest::authenticator(ACCEPT).granting(&[allow("#")], Fallback::Deny);
    let permissions =
        grant.provoked_in(Function::Permissions, &begins("(local.get $client)"), ENDLESS);
    let calls = format!("(loop $again (drop (call $call)) (br $again)) {ACCEPT}");
    vec![
        connecting("loop-authenticate", ENDLESS, LATE),
        Case {
            name: "loop-permissions",
            guest: permissions,
            grants: &[],
            by: Connect,
            ends: Refused(LATE),
        },
        asked("loop-publish", Publish, ENDLESS, LATE),
        asked("loop-subscribe", Subscribe, ENDLESS, LATE),
        importing("loop-host-calls", NOW, &calls, Refused(LATE)),
        allocating("loop-realloc", ENDLESS, LATE),
        afterwards("loop-post-return", ENDLESS, LATE),
    ]
}

/// Guests that break.
fn traps() -> Vec<Case> {
    let grow = "(loop $again \
        (if (i32.eq (table.grow $grows (ref.null func) (i32.const 1000)) (i32.const -1)) \
        (then unreachable)) (br $again))";
    let mut table = connecting("table-hog", grow, "memory limit");
    table.guest = table.guest.item("(table $grows 0 funcref)");
    let call = "(call_indirect $empty (type $nothing) (i32.const 0))";
    let mut null = connecting("null-call", call, "trapped");
    null.guest = null.guest.item("(type $nothing (func)) (table $empty 1 funcref)");
    vec![
        connecting("memory-hog", HOG, "memory limit"),
        table,
        null,
        connecting("stack-overflow", OVERFLOW, "stack"),
        connecting("unreachable", TRAP, "unreachable"),
        connecting("divide-by-zero", "(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide"),
        connecting("out-of-bounds", "(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds"),
        asked("trap-publish", Publish, TRAP, "unreachable"),
        asked("trap-subscribe", Subscribe, TRAP, "unreachable"),
        allocating("trap-realloc", TRAP, "unreachable"),
        allocating("realloc-outside", "(return (i32.const 0x7ffffff0))", "beyond end of memory"),
        allocating("re-entry", "(drop (call $now))", "cannot leave component instance"),
        afterwards("trap-post-return", TRAP, "unreachable"),
    ]
}

/// Guests whose answers are outside of the contract.
fn answers() -> Vec<Case> {
    let store =
        |at: u32, value: u64| format!("{ACCEPT} (i32.store (i32.const {at}) (i32.const {value}))");
    let byte =
        |at: u32, value: u8| format!("{ACCEPT} (i32.store8 (i32.const {at}) (i32.const {value}))");
    let mut list = connecting("list-of-400000", &store(1052, 400_000), "invalid answer");
    list.guest = list.guest.pages(128);
    let bad = Rule { filter: "a/${nobody}", ..allow("") };
    let all = Guest::authenticator(ACCEPT).granting(&[allow("#"), bad], Fallback::Deny);
    let but_bad = format!(
        "(if (i32.eqz {}) (then (i32.store (i32.const 1036) (i32.const 1))))",
        begins("(local.get $client)")
    );
    let deny = |code: u8| {
        format!(
            "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const {code}))"
        )
    };
    vec![
        connecting("string-outside", &store(1044, 0x7fff_ffff), "invalid answer"),
        connecting(
            "string-not-utf-8",
            "(i32.store8 (i32.const 2048) (i32.const 0xff)) \
             (i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 1))",
            "utf-8",
        ),
        list,
        connecting("list-outside", &store(1052, 0x0200_0000), "invalid answer"),
        connecting("no-such-outcome", &byte(1032, 9), "invalid answer"),
        connecting("reject-with-success", &byte(1032, 1), "0x"),
        connecting("nobody", &store(1044, 0), "principal"),
        Case {
            name: "bad-rule",
            guest: all.and_in(Function::Permissions, &but_bad),
            grants: &[],
            by: Connect,
            ends: Refused("nobody"),
        },
        asked("refusal-that-puback-cannot-say", Publish, &deny(0x8b), "0x8b"),
        asked(
            "three-verdicts-for-one",
            Subscribe,
            "(i32.store (i32.const 1028) (i32.const 2048)) \
            (i32.store (i32.const 1032) (i32.const 3))",
            "3 verdicts for 1",
        ),
    ]
}

/// Guests that misuse what the host gives.
fn host_calls() -> Vec<Case> {
    let line = |bytes: u32| {
        format!(
            "(call $call (i32.const 4) (i32.const 0) (i32.const {bytes}) (i32.const 0) (i32.const 0))"
        )
    };
    let flood = format!("{} {ACCEPT}", times(2000, &line(500)));
    let outside = format!("{} {ACCEPT}", line(0x7fff_ffff));
    let random = format!("(call $call (i32.const 0x7fffffff) (i32.const 2048)) {ACCEPT}");
    // Each under a key of its own, 100 KiB of whatever is there.
    let value = "(i32.store (i32.const 2048) (i32.add (local.get $secret) (i32.const 0x20202020))) \
        (call $call (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 100000) (i32.const 1000000))";
    let fill = format!("{} {ACCEPT}", times(90, value));
    let series = "(i32.store (i32.const 2048) (i32.const 0x61616161)) \
        (i32.store8 (i32.const 2049) (i32.add (i32.const 97) (i32.rem_u (local.get $secret) (i32.const 26)))) \
        (i32.store8 (i32.const 2050) (i32.add (i32.const 97) (i32.div_u (local.get $secret) (i32.const 26)))) \
        (call $call (i32.const 2048) (i32.const 4) (i64.const 1) (i32.const 0) (i32.const 0))";
    let many = format!("{} {ACCEPT}", times(600, series));
    let hash = b"$argon2id$v=19$m=8,t=1,p=1$cG9ydGN1bGxpcy1iZW5jaA$2k/sZT3iqiLlDsPCxbfaFx6Q5VxGJX/onhaf22QUtSA";
    let mut guessing = Guest::authenticator("");
    let at = guessing.put(hash);
    let guess = format!(
        "(if (i32.eq (i32.const 3) (call $call (i32.const {at}) (i32.const 3) (i32.const {at}) (i32.const {}))) \
         (then unreachable))",
        hash.len()
    );
    let guess = provoked(&format!("{} {ACCEPT}", times(5, &guess)), ACCEPT);
    let (_, function, signature) = VERIFY;
    let guessing = guessing.with_authenticate(&guess).import(
        "portcullis:host/credentials",
        function,
        "$call",
        signature,
    );
    vec![
        importing("log-flood", EVENT, &flood, Counted("log_dropped")),
        importing("log-outside", EVENT, &outside, Refused("out of bounds of memory")),
        importing("random-2-GiB", BYTES, &random, Refused("4096")),
        importing("cache-flood", PUT, &fill, Unnoticed),
        importing("metrics-flood", ADD, &many, Counted("metrics_refused")),
        Case {
            name: "password-guessing",
            guest: guessing,
            grants: &["credentials"],
            by: Connect,
            // The fifth check is not made, and the guest traps over that.
            ends: Refused("unreachable"),
        },
    ]
}

/// Guests that misuse the handle of the connection.
fn handles() -> Vec<Case> {
    let of = |handle: &str| format!("(call $call {handle} (i32.const 2048)) {ACCEPT}");
    vec![
        connecting("handle-kept", &format!("{ACCEPT} (return (i32.const 1024))"), "borrow"),
        connecting(
            "handle-dropped-twice",
            &format!("{ACCEPT} (call $drop (local.get $conn))"),
            "unknown handle index",
        ),
        importing("handle-forged", TRANSPORT, &of("(i32.const 12345)"), Refused("handle")),
    ]
}

#[test]
fn whoever_provokes_a_guest_is_refused_and_nobody_else_notices() {
    let cases = cases();
    let site = Site::new();
    let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
    site.configure(&configuration(&site, &cases, &ports));
    let mut gateway = Gateway::start_with(&site, 2 + cases.len());
    let mut bystander = gateway.client("bystander");
    assert_eq!(bystander.subscribe("demo/loop", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    for (case, port) in cases.iter().zip(&ports) {
        behaves(&gateway, case, *port, "before");
        let mark = gateway.log.mark();
        let begin = Instant::now();
        let code = provoke(&gateway, case, *port);
        let took = begin.elapsed();
        bystander.round_trip("demo/loop");
        println!(
            "case {}: {code} after {} ms; {}",
            case.name,
            took.as_millis(),
            outcome(&gateway, case, mark, code)
        );
        assert!(took < DEADLINE + SLACK, "{}: {took:?}", case.name);
        behaves(&gateway, case, *port, "after");
    }
    println!("{} cases", cases.len());
    gateway.assert_sound();
}

/// Holds what came of it to what was to come of it, and says it.
fn outcome(gateway: &Gateway<'_>, case: &Case, mark: usize, code: ReasonCode) -> String {
    let name = case.name;
    match case.ends {
        Refused(says) => {
            let refusal = match case.by {
                Connect => ReasonCode::ServerUnavailable,
                Publish | Subscribe => ReasonCode::ImplementationSpecificError,
            };
            assert_eq!(code, refusal, "{name}:\n{}", gateway.log.tail(20));
            let by = format!("{name}@");
            let is_it = |event: &Value| {
                event["message"] == "extension failed"
                    && event["extension"].as_str().is_some_and(|text| text.starts_with(&by))
            };
            let said = gateway.log.wait(mark, PATIENCE, is_it);
            let said = said.unwrap_or_else(|| panic!("{name}:\n{}", gateway.log.tail(20)));
            let failure = said["failure"].as_str().unwrap_or_default().to_owned();
            assert!(failure.contains(says), "{name}: \"{says}\" is not in \"{failure}\"");
            failure
        }
        Counted(counter) => {
            assert!(!code.is_error(), "{name}: {code}");
            let count = gateway.counters().of_extension(name, counter);
            assert!(count > 0, "{name}: {counter}");
            format!("{counter}={count}")
        }
        Unnoticed => {
            assert!(!code.is_error(), "{name}: {code}");
            "harmless".to_owned()
        }
    }
}

fn provoke(gateway: &Gateway<'_>, case: &Case, port: u16) -> ReasonCode {
    match case.by {
        Connect => {
            let (_, answer) = gateway.options("!").plain_at(port).try_connect().expect("an answer");
            match answer {
                Received::ConnAck(code, _) => code,
                other => panic!("{}: {other:?} instead of CONNACK", case.name),
            }
        }
        Publish => well_behaved(gateway, port).publish_and_wait("!", b"", false),
        Subscribe => well_behaved(gateway, port).subscribe("!", QoS::AtLeastOnce),
    }
}

/// The guest serves those who do not provoke it.
fn behaves(gateway: &Gateway<'_>, case: &Case, port: u16, when: &str) {
    let mut client = well_behaved(gateway, port);
    let fine = match case.by {
        Connect => client.pings(),
        Publish => !client.publish_and_wait("fine", b"", false).is_error(),
        Subscribe => !client.subscribe("fine", QoS::AtMostOnce).is_error(),
    };
    assert!(fine, "{} {when}:\n{}", case.name, gateway.log.tail(20));
}

fn well_behaved(gateway: &Gateway<'_>, port: u16) -> Client {
    gateway.options("fine").plain_at(port).connect()
}

/// A listener and an extension for each guest.
fn configuration(site: &Site, cases: &[Case], ports: &[u16]) -> String {
    let mut text = String::new();
    for (Case { name, guest, grants, .. }, port) in cases.iter().zip(ports) {
        fs::write(site.path(format!("{name}.wasm")), guest.build()).expect("written");
        let chain = if guest.has_authorizer() { "" } else { ", \"acl\"" };
        text += &format!(
            "[listeners.{name}]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"{name}\"{chain}]\n\
             [extensions.{name}]\ncomponent = \"{name}.wasm\"\ngrants = {grants:?}\n\
             deadline.authenticate = \"{ms}ms\"\ndeadline.authorize = \"{ms}ms\"\n",
            ms = DEADLINE.as_millis(),
        );
    }
    text
}

//! How pieces of the museum were made that are no extensions of this repository.

use std::fmt::Write as _;
use std::fs;

use crate::guest::{ACCEPT, Fallback, Guest, TWO_STEPS, allow};
use crate::museum;

/// Adds what is written here to the museum. Run once when a version is frozen, after giving its folder below:
/// `cargo test --workspace --test museum -- --ignored`.
#[test]
#[ignore = "writes into tests/museum"]
fn lay_down() {
    let folder = museum().join("0.1.0");
    for (name, guest) in [
        ("capabilities", of_capabilities()),
        ("authorization", of_authorization()),
        ("enhanced-authentication", Guest::enhanced(&["ASK"], TWO_STEPS)),
        ("client-limits", Guest::default().with_limits(ALL_LIMITS)),
    ] {
        let path = folder.join(format!("{name}.wasm"));
        // What is laid down stays as it is.
        if !path.exists() {
            fs::write(path, guest.build()).unwrap();
        }
    }
}

/// 10 messages a second and 20 at once, 1000 bytes and 2000, 3 in flight, 4 subscriptions.
const ALL_LIMITS: &str = "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store (i32.const 1032) (i32.const 10)) \
    (i32.store (i32.const 1036) (i32.const 20)) (i32.store8 (i32.const 1040) (i32.const 1)) \
    (i32.store (i32.const 1044) (i32.const 1000)) (i32.store (i32.const 1048) (i32.const 2000)) \
    (i32.store8 (i32.const 1052) (i32.const 1)) (i32.store16 (i32.const 1054) (i32.const 3)) \
    (i32.store8 (i32.const 1056) (i32.const 1)) (i32.store (i32.const 1060) (i32.const 4))";

fn of_authorization() -> Guest {
    let deny_x = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 120)) (then \
        (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))))";
    // One verdict that abstains, for one question.
    let abstain = "(i32.store8 (i32.const 2048) (i32.const 2)) \
        (i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (local.get $count))";
    Guest::authorizer()
        .granting(&[allow("up/${client-id}/#")], Fallback::Ask)
        .authorize_publish(deny_x)
        .authorize_subscribe(abstain)
}

/// Every function of `portcullis:host` 0.1.0 and every getter of a connection, once.
fn of_capabilities() -> Guest {
    let mut guest = Guest::authenticator("");
    let (key, name) = (guest.put(b"key"), guest.put(b"total"));
    let words = [
        ("TEXT", format!("(i32.const {key}) (i32.const 3)")),
        ("NAME", format!("(i32.const {name}) (i32.const 5)")),
        ("NONE", "(i32.const 0) (i32.const 0)".to_owned()),
        ("RET", "(i32.const 2048)".to_owned()),
        ("CONN", "(local.get $conn)".to_owned()),
    ];
    let spelt = |text: &str| {
        words.iter().fold(text.to_owned(), |text, (word, means)| text.replace(word, means))
    };
    let mut body = String::new();
    for (interface, function, signature, call, condition) in CALLS.iter().chain(GETTERS) {
        let local = format!("${}{function}", if *interface == CACHE { "cache-" } else { "" });
        let method = match *interface {
            TYPES => format!("[method]connection.{function}"),
            _ => (*function).to_owned(),
        };
        guest = guest.import(interface, &method, &local, signature);
        writeln!(body, "{}", spelt(call)).unwrap();
        if !condition.is_empty() {
            writeln!(body, "(if (i32.eqz {}) (then unreachable))", spelt(condition)).unwrap();
        }
    }
    guest.with_authenticate(&format!("{body} {ACCEPT}"))
}

const LOG: &str = "portcullis:host/log";
const CONFIG: &str = "portcullis:host/config";
const CREDENTIALS: &str = "portcullis:host/credentials";
const CLOCK: &str = "portcullis:host/clock";
const RANDOM: &str = "portcullis:host/random";
const CACHE: &str = "portcullis:host/cache";
const METRICS: &str = "portcullis:host/metrics";
const TYPES: &str = "portcullis:gateway/types";

/// Interface, function, its core signature, how it is called, and what must be true then.
type Call = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CALLS: &[Call] = &[
    (LOG, "enabled", "(param i32) (result i32)", "(drop (call $enabled (i32.const 2)))", ""),
    (LOG, "event", "(param i32 i32 i32 i32 i32)", "(call $event (i32.const 2) TEXT NONE)", ""),
    (CONFIG, "get", "(param i32 i32 i32)", "(call $get TEXT RET)", "(i32.load8_u RET)"),
    (CONFIG, "keys", "(param i32)", "(call $keys RET)", "(i32.load offset=4 RET)"),
    (
        CREDENTIALS,
        "verify-password",
        "(param i32 i32 i32 i32) (result i32)",
        "",
        "(i32.eq (call $verify-password TEXT TEXT) (i32.const 2))",
    ),
    (
        CREDENTIALS,
        "verify-token",
        "(param i32 i32 i32 i32 i32)",
        "(call $verify-token TEXT TEXT RET)",
        "(i32.load8_u RET)",
    ),
    (
        CREDENTIALS,
        "hmac-sha256",
        "(param i32 i32 i32 i32 i32)",
        "(call $hmac-sha256 TEXT TEXT RET)",
        "(i32.eqz (i32.load8_u RET))",
    ),
    (CREDENTIALS, "equal", "(param i32 i32 i32 i32) (result i32)", "", "(call $equal TEXT TEXT)"),
    (CLOCK, "now-ms", "(result i64)", "", "(i64.gt_u (call $now-ms) (i64.const 1700000000000))"),
    (CLOCK, "monotonic-ns", "(result i64)", "(drop (call $monotonic-ns))", ""),
    (
        RANDOM,
        "bytes",
        "(param i32 i32)",
        "(call $bytes (i32.const 9) RET)",
        "(i32.eq (i32.load offset=4 RET) (i32.const 9))",
    ),
    (
        CACHE,
        "put",
        "(param i32 i32 i32 i32 i32)",
        "(call $cache-put TEXT TEXT (i32.const 60000))",
        "",
    ),
    (
        CACHE,
        "increment",
        "(param i32 i32 i64 i32) (result i64)",
        "",
        "(i64.eq (call $cache-increment TEXT (i64.const 7) (i32.const 60000)) (i64.const 7))",
    ),
    (CACHE, "remove", "(param i32 i32)", "(call $cache-remove TEXT)", ""),
    (
        CACHE,
        "get",
        "(param i32 i32 i32)",
        "(call $cache-get TEXT RET)",
        "(i32.eqz (i32.load8_u RET))",
    ),
    (
        METRICS,
        "counter-add",
        "(param i32 i32 i64 i32 i32)",
        "(call $counter-add TEXT (i64.const 1) NONE)",
        "",
    ),
    (
        METRICS,
        "gauge-set",
        "(param i32 i32 f64 i32 i32)",
        "(call $gauge-set NAME (f64.const 1.5) NONE)",
        "",
    ),
];

const GETTERS: &[Call] = &[
    (
        TYPES,
        "protocol-level",
        "(param i32) (result i32)",
        "",
        "(i32.eq (call $protocol-level CONN) (i32.const 5))",
    ),
    (
        TYPES,
        "transport",
        "(param i32 i32)",
        "(call $transport CONN RET)",
        "(i32.eq (i32.load offset=4 RET) (i32.const 3))",
    ),
    (
        TYPES,
        "listener",
        "(param i32 i32)",
        "(call $listener CONN RET)",
        "(i32.eq (i32.load offset=4 RET) (i32.const 5))",
    ),
    (
        TYPES,
        "peer-address",
        "(param i32 i32)",
        "(call $peer-address CONN RET)",
        "(i32.eq (i32.load offset=4 RET) (i32.const 9))",
    ),
    (TYPES, "server-name", "(param i32 i32)", "(call $server-name CONN RET)", "(i32.load8_u RET)"),
    (TYPES, "alpn", "(param i32 i32)", "(call $alpn CONN RET)", "(i32.eqz (i32.load8_u RET))"),
    (
        TYPES,
        "keep-alive",
        "(param i32) (result i32)",
        "",
        "(i32.eq (call $keep-alive CONN) (i32.const 60))",
    ),
    (
        TYPES,
        "clean-start",
        "(param i32) (result i32)",
        "",
        "(i32.eq (call $clean-start CONN) (i32.const 1))",
    ),
    (
        TYPES,
        "session-expiry",
        "(param i32) (result i32)",
        "",
        "(i32.eqz (call $session-expiry CONN))",
    ),
    (
        TYPES,
        "user-properties",
        "(param i32 i32)",
        "(call $user-properties CONN RET)",
        "(i32.eqz (i32.load offset=4 RET))",
    ),
    (
        TYPES,
        "will-topic",
        "(param i32 i32)",
        "(call $will-topic CONN RET)",
        "(i32.eqz (i32.load8_u RET))",
    ),
    (
        TYPES,
        "peer-certificate",
        "(param i32 i32)",
        "(call $peer-certificate CONN RET)",
        "(i32.eqz (i32.load8_u RET))",
    ),
    (
        TYPES,
        "certificate-chain",
        "(param i32 i32)",
        "(call $certificate-chain CONN RET)",
        "(i32.eqz (i32.load offset=4 RET))",
    ),
    (
        TYPES,
        "attribute",
        "(param i32 i32 i32 i32)",
        "(call $attribute CONN TEXT RET)",
        "(i32.eqz (i32.load8_u RET))",
    ),
];

//! Tokens that a guest has verified, and codes that it has made, with keys that it never sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::jwt::{Algorithm, Expected, KeySet, Policy};
use guest::{ACCEPT, Guest};
use mqtt::ReasonCode;
use portcullis_extension_host::{
    AuthenticationOutcome, Capability, Extension, Facilities, KeySource, Keyring, Look, Miss,
    Nature, Secret, TokenKeys,
};
use support::{client, host, spec};

const NOW_S: u64 = 1_700_000_000;
const KEY: &[u8] = b"a secret of two and thirty bytes";
const OTHER: &[u8] = b"another one of 32 bytes, or more";

/// Half a second past `NOW_S`.
#[derive(Debug)]
struct Still;

impl Nature for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(NOW_S) + Duration::from_millis(500)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn fill(&self, _: &mut [u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Keys that change when the script says so.
#[derive(Debug)]
struct Scripted {
    keys: Mutex<Result<Arc<KeySet>, String>>,
    /// What comes of a miss, and the keys after it.
    then: (Look, Option<&'static [u8]>),
    misses: Mutex<Vec<Miss>>,
}

impl KeySource for Scripted {
    fn current(&self) -> Result<Arc<KeySet>, String> {
        self.keys.lock().unwrap().clone()
    }

    fn missed(&self, miss: Miss) -> Look {
        self.misses.lock().unwrap().push(miss);
        if let Some(key) = self.then.1 {
            *self.keys.lock().unwrap() = Ok(Arc::new(set("k2", key)));
        }
        self.then.0.clone()
    }
}

fn policy() -> Policy {
    let one = |text: &str| Expected::OneOf(vec![text.to_owned()]);
    Policy { leeway_s: 10, ..Policy::new(vec![Algorithm::Hs256], one("plant"), one("mqtt")) }
}

fn set(kid: &str, key: &[u8]) -> KeySet {
    let text = format!(r#"{{"keys":[{{"kty":"oct","kid":"{kid}","k":"{}"}}]}}"#, base64url(key));
    KeySet::parse(&text, &policy()).unwrap()
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn token(kid: &str, key: &[u8], claims: &str) -> String {
    let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let code = auth::hmac::sha256(key, signed.as_bytes());
    format!("{signed}.{}", base64url(&code))
}

const CLAIMS: &str =
    r#"{"aud":"mqtt","exp":1700000060,"iss":"plant","sub":"meter-7","tenant":"north"}"#;

/// Accepts with `sub` as the principal, the last claim as an attribute, and the validity; rejects with 0x80 and
/// the number of the error's kind, and its sentence. Verifies `times` times.
fn guest(times: u32) -> Guest {
    let mut guest = Guest::authenticator("");
    let name = guest.put(b"plant");
    let verify = format!(
        "(call $verify (i32.const {name}) (i32.const 5) (local.get $secret) (local.get $secret_len) (i32.const 2048))"
    );
    let last = "(i32.add (i32.load (i32.const 2064)) \
                (i32.mul (i32.const 16) (i32.sub (i32.load (i32.const 2068)) (i32.const 1))))";
    let body = format!(
        "{} (if (i32.load8_u (i32.const 2048)) \
         (then \
           (i32.store8 (i32.const 1032) (i32.const 1)) \
           (i32.store8 (i32.const 1040) (i32.add (i32.const 0x80) (i32.load8_u (i32.const 2056)))) \
           (i32.store8 (i32.const 1044) (i32.const 1)) \
           (i64.store align=4 (i32.const 1048) (i64.load align=4 (i32.const 2060)))) \
         (else \
           (i64.store (i32.const 1040) (i64.load align=4 (i32.const 2076))) \
           (i64.store align=4 (i32.const 2200) (i64.load align=4 {last})) \
           (i64.store align=4 (i32.const 2208) (i64.load align=4 (i32.load offset=8 {last}))) \
           (i32.store (i32.const 1048) (i32.const 2200)) \
           (i32.store (i32.const 1052) (i32.const 1)) \
           (i32.store8 (i32.const 1072) (i32.load8_u (i32.const 2088))) \
           (i64.store (i32.const 1080) (i64.load (i32.const 2096)))))",
        verify.repeat(times as usize)
    );
    guest.with_authenticate(&body).import(
        "portcullis:host/credentials",
        "verify-token",
        "$verify",
        "(param i32 i32 i32 i32 i32)",
    )
}

fn load(guest: &Guest, keyring: Keyring) -> Extension {
    let mut spec = spec(guest);
    spec.grants = [Capability::Credentials].into();
    spec.keyring = Arc::new(keyring);
    host().clone().with_nature(Arc::new(Still)).load(spec).unwrap()
}

fn scripted(
    keys: Result<KeySet, &str>,
    then: (Look, Option<&'static [u8]>),
) -> (Keyring, Arc<Scripted>) {
    let source = Arc::new(Scripted {
        keys: Mutex::new(keys.map(Arc::new).map_err(str::to_owned)),
        then,
        misses: Mutex::default(),
    });
    let keys = TokenKeys { policy: policy(), source: Arc::clone(&source) as _ };
    (Keyring { key_sets: BTreeMap::from([("plant".into(), keys)]), ..Keyring::default() }, source)
}

fn fixed() -> Keyring {
    scripted(Ok(set("k1", KEY)), (Look::Same, None)).0
}

/// The kind of the error and its sentence, or nothing for a token that is accepted.
fn refused(extension: &Extension, token: &str) -> Option<(u8, String)> {
    match extension.authenticate(&client("c1"), Some(token.as_bytes())).result.unwrap() {
        AuthenticationOutcome::Accept(_) => None,
        AuthenticationOutcome::Reject { code, reason } => {
            Some((code as u8 - ReasonCode::UnspecifiedError as u8, reason.unwrap_or_default()))
        }
        AuthenticationOutcome::Abstain => panic!("it never abstains"),
    }
}

const UNKNOWN_SET: u8 = 0;
const MALFORMED: u8 = 1;
const WRONG: u8 = 2;
const EXPIRED: u8 = 3;
const NOT_YET_VALID: u8 = 4;
const UNAVAILABLE: u8 = 5;

#[test]
fn a_guest_hears_what_a_token_says() {
    let extension = load(&guest(1), fixed());
    let token = token("k1", KEY, CLAIMS);
    let answer = extension.authenticate(&client("c1"), Some(token.as_bytes())).result.unwrap();
    let AuthenticationOutcome::Accept(grant) = answer else { panic!("accepted") };
    assert_eq!(&*grant.principal, "meter-7");
    assert_eq!(grant.attributes, [("tenant".into(), "north".into())]);
    // 60 s to `exp` and 10 of leeway, half a second of which is over.
    assert_eq!(grant.valid_for_ms, Some(69_500));
}

#[test]
fn a_guest_hears_why_a_token_is_refused() {
    let extension = load(&guest(1), fixed());
    let with = |from: &str, to: &str| token("k1", KEY, &CLAIMS.replace(from, to));
    let unsigned = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(CLAIMS.as_bytes()));
    for (what, token, kind, words) in [
        ("no token", "hello".to_owned(), MALFORMED, "malformed"),
        ("17 KiB", "x".repeat(17 << 10), MALFORMED, "at most 16384"),
        ("alg none", unsigned, WRONG, "\"none\""),
        ("another key", token("k1", OTHER, CLAIMS), WRONG, "signature"),
        ("another key's name", token("k2", KEY, CLAIMS), WRONG, "\"k2\""),
        ("another issuer", with("plant", "mallory"), WRONG, "\"mallory\""),
        ("another audience", with("mqtt", "http"), WRONG, "\"http\""),
        ("no exp", with(r#""exp":1700000060,"#, ""), WRONG, "exp"),
        ("expired", with("1700000060", "1699999990"), EXPIRED, "expired"),
        ("too early", with("sub", r#"nbf":1700000020,"x"#), NOT_YET_VALID, "nbf"),
    ] {
        let (found, sentence) = refused(&extension, &token).expect(what);
        assert_eq!(found, kind, "{what}: {sentence}");
        assert!(sentence.contains(words), "{what}: {sentence}");
        assert!(!sentence.contains("meter-7"), "{what}: {sentence}");
    }
    let nothing = load(&guest(1), Keyring::default());
    assert_eq!(refused(&nothing, &token("k1", KEY, CLAIMS)).unwrap().0, UNKNOWN_SET);
}

#[test]
fn a_key_that_is_missing_is_looked_for() {
    let (new, unknown) = (token("k2", OTHER, CLAIMS), token("k3", OTHER, CLAIMS));
    let (keyring, source) = scripted(Ok(set("k1", KEY)), (Look::Changed, Some(OTHER)));
    let extension = load(&guest(1), keyring);
    assert_eq!(refused(&extension, &token("k1", KEY, CLAIMS)), None);
    assert_eq!(refused(&extension, &new), None, "with the keys that are there now");
    assert_eq!(refused(&extension, &unknown).unwrap().0, WRONG);
    assert_eq!(refused(&extension, &token("k2", KEY, CLAIMS)).unwrap().0, WRONG);
    let misses = source.misses.lock().unwrap().clone();
    assert_eq!(misses, [Miss::UnknownKey, Miss::UnknownKey, Miss::WrongSignature]);

    let (keyring, _) = scripted(Ok(set("k1", KEY)), (Look::UnderWay, None));
    let (kind, sentence) = refused(&load(&guest(1), keyring), &new).unwrap();
    assert!(kind == UNAVAILABLE && sentence.contains("fetched again"), "{sentence}");

    let down = Look::Failed("the issuer does not answer".into());
    let extension = load(&guest(1), scripted(Ok(set("k1", KEY)), (down, None)).0);
    for _ in 0..2 {
        let (kind, sentence) = refused(&extension, &new).unwrap();
        let said = sentence.contains("could not be fetched again: the issuer does not answer");
        assert!(kind == UNAVAILABLE && said, "{sentence}");
    }
    assert_eq!(refused(&extension, &token("k1", KEY, CLAIMS)), None, "what is known is known");
}

#[test]
fn without_keys_there_is_no_verdict() {
    let (keyring, source) = scripted(Err("nobody has fetched it"), (Look::Same, None));
    let extension = load(&guest(1), keyring);
    let good = token("k1", KEY, CLAIMS);
    assert_eq!(refused(&extension, &good), Some((UNAVAILABLE, "nobody has fetched it".into())));
    *source.keys.lock().unwrap() = Ok(Arc::new(set("k1", KEY)));
    assert_eq!(refused(&extension, &good), None);
}

#[test]
fn a_call_has_four_checks() {
    let good = token("k1", KEY, CLAIMS);
    assert_eq!(refused(&load(&guest(4), fixed()), &good), None);
    let (kind, sentence) = refused(&load(&guest(5), fixed()), &good).unwrap();
    assert!(kind == UNAVAILABLE && sentence.contains("4 checks"), "{sentence}");
}

#[test]
fn a_new_keyring_comes_with_a_new_configuration() {
    let extension = load(&guest(1), fixed());
    let (one, other) = (token("k1", KEY, CLAIMS), token("k2", OTHER, CLAIMS));
    let (keyring, _) = scripted(Ok(set("k2", OTHER)), (Look::Same, None));
    extension.reconfigure(BTreeMap::new(), Arc::new(keyring), Facilities::default()).unwrap();
    assert_eq!(refused(&extension, &other), None);
    assert_eq!(refused(&extension, &one).unwrap().0, WRONG);
}

/// Accepts clients whose password is the code of their identifier; the name of the secret is `links` unless told.
fn coded(secret: &str) -> Guest {
    let mut guest = Guest::authenticator("");
    let name = guest.put(secret.as_bytes());
    let body = format!(
        "(call $hmac (i32.const {name}) (i32.const {}) (local.get $client) (local.get $client_len) (i32.const 2048)) \
         (if (i32.eqz (i32.load8_u (i32.const 2048))) (then unreachable)) \
         (if (i32.eqz (call $equal (i32.load (i32.const 2052)) (i32.load (i32.const 2056)) \
             (local.get $secret) (local.get $secret_len))) (then unreachable)) {ACCEPT}",
        secret.len()
    );
    let host = "portcullis:host/credentials";
    guest
        .with_authenticate(&body)
        .import(host, "hmac-sha256", "$hmac", "(param i32 i32 i32 i32 i32)")
        .import(host, "equal", "$equal", "(param i32 i32 i32 i32) (result i32)")
}

#[test]
fn codes_are_made_with_secrets_that_are_never_seen() {
    let keyring = || Keyring {
        secrets: BTreeMap::from([("links".into(), Secret::new(KEY))]),
        ..Keyring::default()
    };
    assert!(!format!("{:?}", keyring()).contains("bytes"), "a log does not show them");
    let accepts = |extension: &Extension, code: &[u8]| {
        extension.authenticate(&client("c1"), Some(code)).result.is_ok()
    };
    let extension = load(&coded("links"), keyring());
    assert!(accepts(&extension, &auth::hmac::sha256(KEY, b"c1")));
    assert!(!accepts(&extension, &auth::hmac::sha256(KEY, b"c2")));
    assert!(!accepts(&extension, b""));
    assert!(!accepts(&load(&coded("other"), keyring()), &auth::hmac::sha256(KEY, b"c1")));
}

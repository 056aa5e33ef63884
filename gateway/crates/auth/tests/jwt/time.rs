//! `exp`, `nbf`, `iat` and the age of a token.

use portcullis_auth::jwt::{Algorithm, Claims, Expected, Expiry, JwtError, Policy};

use crate::signing::{NOW, set, token};

fn plain() -> Policy {
    let policy = Policy::new(vec![Algorithm::Hs256], Expected::Any, Expected::Any);
    Policy { expiry: Expiry::Optional, leeway_s: 0, ..policy }
}

fn verify(payload: &str, policy: &Policy, now: u64) -> Result<Claims, JwtError> {
    set(Algorithm::Hs256, policy).verify(&token(Algorithm::Hs256, payload), policy, now)
}

#[test]
fn the_second_of_exp_is_too_late() {
    let with = |leeway_s| Policy { leeway_s, ..plain() };
    for (exp, leeway_s, now, valid) in [
        ("100", 0, 99, true),
        ("100", 0, 100, false),
        ("100", 5, 104, true),
        ("100", 5, 105, false),
        ("100.9", 0, 99, true),
        ("100.9", 0, 100, false),
        ("1e2", 0, 99, true),
        ("1e2", 0, 100, false),
        ("0", 0, 0, false),
        ("-0", 0, 0, false),
        ("0", 1, 0, true),
        ("253402300799", 0, 253_402_300_798, true),
        ("253402300799", 0, u64::MAX, false),
        ("100", u64::MAX, u64::MAX - 1, true),
    ] {
        let verified = verify(&format!(r#"{{"exp":{exp}}}"#), &with(leeway_s), now);
        assert_eq!(verified.is_ok(), valid, "exp {exp} leeway {leeway_s} at {now}: {verified:?}");
        if let Err(error) = verified {
            assert!(matches!(error, JwtError::Expired { .. }), "{error}");
        }
    }
}

#[test]
fn the_second_of_nbf_is_early_enough() {
    let with = |leeway_s| Policy { leeway_s, ..plain() };
    for claim in ["nbf", "iat"] {
        for (from, leeway_s, now, valid) in [
            ("100", 0, 99, false),
            ("100", 0, 100, true),
            ("100", 5, 94, false),
            ("100", 5, 95, true),
            ("99.1", 0, 99, false),
            ("99.1", 0, 100, true),
            ("253402300799", 0, 253_402_300_798, false),
            ("253402300799", u64::MAX, 0, true),
            ("0", 0, 0, true),
        ] {
            let verified = verify(&format!(r#"{{"{claim}":{from}}}"#), &with(leeway_s), now);
            assert_eq!(verified.is_ok(), valid, "{claim} {from} at {now}: {verified:?}");
            if let Err(error) = verified {
                let right =
                    matches!(error, JwtError::NotYetValid { claim: found, .. } if found == claim);
                assert!(right, "{error}");
            }
        }
    }
}

/// A claim that cannot be read is not taken for missing, whatever the policy does without.
#[test]
fn what_is_no_time_is_refused() {
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            "-1",
            "-0.5",
            "-9223372036854775808",
            "253402300800",
            "1700000000000",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "\"1700003600\"",
            "\"never\"",
            "null",
            "true",
            "[1700003600]",
            "{}",
        ] {
            let error = verify(&format!(r#"{{"{claim}":{value}}}"#), &plain(), NOW).unwrap_err();
            let right = matches!(error, JwtError::BadClaim { claim: found, .. } if found == claim);
            assert!(right, "{claim} {value}: {error}");
        }
    }
}

#[test]
fn exp_is_required_unless_told_otherwise() {
    let strict = Policy { expiry: Expiry::Required, ..plain() };
    let error = verify("{}", &strict, NOW).unwrap_err();
    assert_eq!(error, JwtError::MissingClaim { claim: "exp".to_owned() });
    let claims = verify("{}", &plain(), NOW).unwrap();
    assert_eq!((claims.expires_at(), claims.subject()), (None, None));
    assert!(verify(r#"{"exp":1}"#, &plain(), NOW).is_err(), "an expiry that is there counts");
}

#[test]
fn a_token_says_until_when_it_is_accepted() {
    let aged = Policy { max_age_s: Some(60), leeway_s: 10, ..plain() };
    let leeway = Policy { leeway_s: 10, ..plain() };
    for (payload, policy, expected) in [
        ("{}", &leeway, None),
        (r#"{"exp":2000.9}"#, &leeway, Some(2010)),
        (r#"{"exp":2000,"iat":1000}"#, &aged, Some(1071)),
        (r#"{"exp":1020,"iat":1000}"#, &aged, Some(1030)),
        (r#"{"iat":1000}"#, &aged, Some(1071)),
    ] {
        let claims = verify(payload, policy, 1000).unwrap();
        assert_eq!(claims.valid_until(), expected, "{payload}");
        if let Some(end) = expected {
            assert!(verify(payload, policy, end - 1).is_ok(), "{payload}");
            assert!(verify(payload, policy, end).is_err(), "{payload}");
        }
    }
}

#[test]
fn age_is_counted_from_iat() {
    let policy = Policy { max_age_s: Some(60), leeway_s: 10, ..plain() };
    assert!(verify(r#"{"iat":1000}"#, &policy, 1070).is_ok());
    let error = verify(r#"{"iat":1000,"exp":9999}"#, &policy, 1071).unwrap_err();
    assert_eq!(error, JwtError::TooOld { age_s: 71, max_age_s: 60 });
    let error = verify(r#"{"exp":9999}"#, &policy, 1000).unwrap_err();
    assert_eq!(error, JwtError::MissingClaim { claim: "iat".to_owned() });
    let ages = Policy { max_age_s: Some(u64::MAX), ..plain() };
    assert!(verify(r#"{"iat":0}"#, &ages, u64::MAX).is_ok());
}

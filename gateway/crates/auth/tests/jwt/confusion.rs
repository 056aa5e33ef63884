//! Attacks on the choice of key and algorithm (RFC 8725, section 2).

use portcullis_auth::jwt::{Algorithm, Expected, JwtError, KeySet, Malformed, Policy};
use ring::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};

use crate::keys;
use crate::signing::{
    NOW, PAYLOAD, decode, encode, jwk, jwks, mac, policy, secret, set, signature, signed, token,
};

fn forged(header: &str, key: &[u8]) -> Vec<String> {
    let message = format!("{}.{}", encode(header), encode(PAYLOAD));
    [HMAC_SHA256, HMAC_SHA384, HMAC_SHA512]
        .map(|algorithm| format!("{message}.{}", encode(mac(algorithm, key, message.as_bytes()))))
        .into()
}

/// RFC 8725, section 2.1: what is public is taken for the secret of HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let policy = policy(&Algorithm::ALL);
    let pem = keys::RSA_PEM;
    let sets = [
        set(Algorithm::Rs256, &policy),
        KeySet::pem(pem, &policy).unwrap(),
        KeySet::parse(
            &jwks(&[jwk(Algorithm::Rs256, r#","alg":"RS256","kid":"k"}"#.trim_end_matches('}'))]),
            &policy,
        )
        .unwrap(),
    ];
    let guesses: [&[u8]; 6] = [
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        keys::RSA_PKCS1_PEM.as_bytes(),
        &decode(keys::RSA_N),
        keys::RSA_N.as_bytes(),
        b"",
    ];
    for set in &sets {
        for guess in guesses {
            for name in ["HS256", "HS384", "HS512"] {
                for header in
                    [format!(r#"{{"alg":"{name}"}}"#), format!(r#"{{"alg":"{name}","kid":"k"}}"#)]
                {
                    for token in forged(&header, guess) {
                        let error = set.verify(&token, &policy, NOW).unwrap_err();
                        let fitting = matches!(
                            error,
                            JwtError::NoFittingKey { .. } | JwtError::UnknownKid { .. }
                        );
                        assert!(fitting, "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_secret_is_no_public_key() {
    let policy = policy(&Algorithm::ALL);
    let set = set(Algorithm::Hs256, &policy);
    for algorithm in Algorithm::ALL {
        let verified = set.verify(&token(algorithm, PAYLOAD), &policy, NOW);
        assert_eq!(verified.is_ok(), algorithm.min_secret_bytes().is_some(), "{algorithm}");
    }
}

#[test]
fn none_is_no_algorithm() {
    let policy = policy(&Algorithm::ALL);
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::EdDsa] {
        let set = set(algorithm, &policy);
        for name in ["none", "None", "NONE", "nOnE", "", "null", "hs256", "rS256", "HS256\\u0000"] {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            let message = format!("{}.{}", encode(&header), encode(PAYLOAD));
            for token in [
                format!("{message}."),
                signed(algorithm, &header, PAYLOAD),
                format!("{message}.{}", encode("none")),
            ] {
                let error = set.verify(&token, &policy, NOW).unwrap_err();
                assert!(matches!(error, JwtError::AlgorithmNotAllowed { .. }), "{name}: {error}");
            }
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"ALG":"HS256"}"#] {
            let error = set.verify(&signed(algorithm, header, PAYLOAD), &policy, NOW).unwrap_err();
            assert_eq!(error, JwtError::Malformed(Malformed::HeaderMember("alg")));
        }
    }
}

/// Each signature under each other name.
#[test]
fn the_name_is_part_of_what_is_signed() {
    let policy = policy(&Algorithm::ALL);
    let public = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let public = KeySet::parse(&jwks(&public.map(|key| jwk(key, ""))), &policy).unwrap();
    let secrets = set(Algorithm::Hs256, &policy);
    for signer in Algorithm::ALL {
        for name in Algorithm::ALL {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            let token = signed(signer, &header, PAYLOAD);
            let verified = [&public, &secrets].map(|set| set.verify(&token, &policy, NOW).is_ok());
            assert_eq!(verified.contains(&true), signer == name, "{signer} as {name}");
            // Swapped after signing.
            let own = self::token(signer, PAYLOAD);
            let (_, rest) = own.split_once('.').unwrap();
            let swapped = format!("{}.{rest}", encode(&header));
            assert!(public.verify(&swapped, &policy, NOW).is_err(), "{signer} as {name}");
            assert!(secrets.verify(&swapped, &policy, NOW).is_err(), "{signer} as {name}");
        }
    }
}

#[test]
fn the_policy_limits_what_a_key_could_do() {
    for allowed in Algorithm::ALL {
        for signer in Algorithm::ALL {
            let all = policy(&Algorithm::ALL);
            let verified =
                set(signer, &all).verify(&token(signer, PAYLOAD), &policy(&[allowed]), NOW);
            assert_eq!(verified.is_ok(), allowed == signer, "{signer} where {allowed} is allowed");
        }
        let nothing =
            set(allowed, &policy(&[allowed])).verify(&token(allowed, PAYLOAD), &policy(&[]), NOW);
        assert!(matches!(nothing, Err(JwtError::AlgorithmNotAllowed { .. })));
    }
}

/// RFC 7517, section 4.4, and RFC 8725, section 3.1.
#[test]
fn the_key_limits_what_it_is_used_for() {
    let policy = policy(&Algorithm::ALL);
    let key = jwk(Algorithm::Rs256, r#","alg":"PS256""#);
    let set = KeySet::parse(&jwks(&[key]), &policy).unwrap();
    assert!(set.verify(&token(Algorithm::Ps256, PAYLOAD), &policy, NOW).is_ok());
    for other in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Ps384, Algorithm::Ps512] {
        let error = set.verify(&token(other, PAYLOAD), &policy, NOW).unwrap_err();
        assert_eq!(error, JwtError::NoFittingKey { algorithm: other, kid: None });
    }
}

/// RFC 8725, section 3.10: a header that brings its own key, or says where to get it.
#[test]
fn a_header_brings_no_key() {
    let policy = policy(&[Algorithm::Rs256, Algorithm::Es256]);
    let set = set(Algorithm::Rs256, &policy);
    let key = jwk(Algorithm::Es256, "");
    let header = format!(
        r#"{{"alg":"ES256","jwk":{key},"jku":"https://evil.example/jwks","x5u":"https://evil.example/c"}}"#
    );
    let error = set.verify(&signed(Algorithm::Es256, &header, PAYLOAD), &policy, NOW).unwrap_err();
    assert_eq!(error, JwtError::NoFittingKey { algorithm: Algorithm::Es256, kid: None });
    // Where the key is known anyway they do no harm.
    let header = header.replace("ES256", "RS256");
    assert!(set.verify(&signed(Algorithm::Rs256, &header, PAYLOAD), &policy, NOW).is_ok());
}

/// RFC 7515, section 4.1.11.
#[test]
fn what_must_be_understood_refuses() {
    let policy = policy(&[Algorithm::Hs256]);
    let set = set(Algorithm::Hs256, &policy);
    for crit in [r#"["b64"]"#, "[]", "null", r#"["exp"]"#] {
        let header = format!(r#"{{"alg":"HS256","b64":false,"exp":1,"crit":{crit}}}"#);
        let error =
            set.verify(&signed(Algorithm::Hs256, &header, PAYLOAD), &policy, NOW).unwrap_err();
        assert_eq!(error, JwtError::Malformed(Malformed::Critical));
    }
}

/// A shorter or longer code, or half a code, is none (RFC 7518, section 3.2).
#[test]
fn signatures_have_their_length() {
    let policy = policy(&Algorithm::ALL);
    for algorithm in Algorithm::ALL {
        let set = set(algorithm, &policy);
        let token = token(algorithm, PAYLOAD);
        let (message, _) = token.rsplit_once('.').unwrap();
        let whole = signature(algorithm, message.as_bytes());
        let mut others: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        others.push([&*whole, &[0]].concat());
        others.push([&[0], &*whole].concat());
        others.push([&*whole, &*whole].concat());
        others.push(vec![0; whole.len()]);
        others.push(vec![0xff; whole.len()]);
        for other in others {
            let token = format!("{message}.{}", encode(&other));
            let error = set.verify(&token, &policy, NOW).unwrap_err();
            assert!(matches!(error, JwtError::WrongSignature { .. }), "{algorithm}: {error}");
        }
    }
}

#[test]
fn a_secret_is_as_long_as_the_hash() {
    let allowed =
        |algorithms: &[Algorithm]| Policy::new(algorithms.to_vec(), Expected::Any, Expected::Any);
    let (all, hs256) = (allowed(&Algorithm::ALL), allowed(&[Algorithm::Hs256]));
    let secret = secret();
    for (bytes, for_hs256, for_all) in [
        (0, false, false),
        (31, false, false),
        (32, true, false),
        (63, true, false),
        (64, true, true),
    ] {
        assert_eq!(KeySet::symmetric(&secret[..bytes], &hs256).is_ok(), for_hs256, "{bytes}");
        assert_eq!(KeySet::symmetric(&secret[..bytes], &all).is_ok(), for_all, "{bytes}");
    }
    let set = KeySet::symmetric(&secret, &all).unwrap();
    assert!(set.is_symmetric());
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        assert!(set.verify(&token(algorithm, PAYLOAD), &all, NOW).is_ok(), "{algorithm}");
    }
    // A secret that is long enough for one of them does not verify the others.
    let text = jwks(&[format!(r#"{{"kty":"oct","k":"{}"}}"#, encode(&secret[..40]))]);
    let short = KeySet::parse(&text, &all).unwrap();
    let message = format!("{}.{}", encode(r#"{"alg":"HS512"}"#), encode(PAYLOAD));
    let code = mac(HMAC_SHA512, &secret[..40], message.as_bytes());
    let error = short.verify(&format!("{message}.{}", encode(code)), &all, NOW).unwrap_err();
    assert_eq!(error, JwtError::NoFittingKey { algorithm: Algorithm::Hs512, kid: None });
}

//! Texts that are not quite tokens, and the choice of keys by `kid`.

use portcullis_auth::jwt::{Algorithm, JwtError, KeySet, MAX_KEYS_TRIED, Malformed, Part, Policy};

use crate::keys;
use crate::signing::{
    NOW, PAYLOAD, encode, jwk, jwks, policy, secret, set, signature, signed, token,
};

const HS256: &[Algorithm] = &[Algorithm::Hs256];

fn refused(token: &str) -> JwtError {
    let policy = policy(HS256);
    set(Algorithm::Hs256, &policy).verify(token, &policy, NOW).unwrap_err()
}

#[test]
fn three_parts() {
    let token = token(Algorithm::Hs256, PAYLOAD);
    for (text, parts) in [
        (String::new(), 1),
        ("token".to_owned(), 1),
        ("a.b".to_owned(), 2),
        (format!("{token}."), 4),
        (format!(".{token}"), 4),
        (token.replace('.', ".."), 5),
    ] {
        assert_eq!(refused(&text), JwtError::Malformed(Malformed::Parts(parts)), "{text}");
    }
    assert_eq!(
        refused(".."),
        JwtError::Malformed(Malformed::Json(
            Part::Header,
            "EOF while parsing a value at line 1 column 0".to_owned(),
        ))
    );
}

/// One token has one text: no padding, no white space, no other alphabet, no bits left over.
#[test]
fn base64url_is_written_in_one_way() {
    // Signatures, headers and payloads whose encodings end in two, three and four characters.
    for filler in ["", "x", "xx"] {
        let header = format!(r#"{{"alg":"HS256","x":"{filler}"}}"#);
        let payload = PAYLOAD.replace("meter-7", &format!("meter-7{filler}"));
        let token = signed(Algorithm::Hs256, &header, &payload);
        let policy = policy(HS256);
        assert!(set(Algorithm::Hs256, &policy).verify(&token, &policy, NOW).is_ok());
        let parts: Vec<&str> = token.split('.').collect();
        for (at, part) in [Part::Header, Part::Payload, Part::Signature].into_iter().enumerate() {
            let mut others = vec![
                format!("{}=", parts[at]),
                format!("{}==", parts[at]),
                format!(" {}", parts[at]),
                format!("{}\n", parts[at]),
                format!("{}\r\n", parts[at]),
                format!("{}A", parts[at]),
                format!("{}+", &parts[at][1..]),
                format!("{}/", &parts[at][1..]),
                format!("{}%3D", parts[at]),
                format!("{}\u{0}", parts[at]),
                format!("{}é", parts[at]),
            ];
            others.extend(leftover_bits(parts[at]));
            for other in others {
                let mut parts = parts.clone();
                parts[at] = &other;
                let error = refused(&parts.join("."));
                let fits = match error {
                    JwtError::Malformed(Malformed::Base64(wrong)) => wrong == part,
                    // Another payload in good base64 is one that was not signed, and a header in
                    // good base64 no JSON.
                    JwtError::WrongSignature { .. } => part != Part::Header,
                    JwtError::Malformed(Malformed::Json(wrong, _)) => wrong == part,
                    _ => false,
                };
                assert!(fits, "{part}: {error}");
            }
        }
    }
}

/// The same bytes with other bits behind the last of them.
fn leftover_bits(part: &str) -> Vec<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = match part.len() % 4 {
        2 => 4,
        3 => 2,
        _ => return Vec::new(),
    };
    let (start, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|byte| last.as_bytes() == [*byte]).unwrap();
    (1..1 << bits).map(|more| format!("{start}{}", char::from(ALPHABET[value | more]))).collect()
}

#[test]
fn leftover_bits_are_malformed_and_not_only_unsigned() {
    let token = token(Algorithm::Hs256, PAYLOAD);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let others = leftover_bits(signature);
    assert_eq!(others.len(), 3);
    for other in others {
        let error = refused(&format!("{message}.{other}"));
        assert_eq!(error, JwtError::Malformed(Malformed::Base64(Part::Signature)));
    }
}

#[test]
fn names_occur_once() {
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":1}}"#,
    ] {
        let error = refused(&signed(Algorithm::Hs256, header, PAYLOAD));
        assert!(matches!(error, JwtError::Malformed(Malformed::Json(Part::Header, _))), "{error}");
    }
    for payload in [
        r#"{"sub":"a","sub":"a","exp":1700003600}"#,
        r#"{"exp":1,"exp":1700003600}"#,
        r#"{"exp":1700003600,"a":[{"b":1,"\u0062":2}]}"#,
    ] {
        let error = refused(&token(Algorithm::Hs256, payload));
        assert!(matches!(error, JwtError::Malformed(Malformed::Json(Part::Payload, _))), "{error}");
    }
}

#[test]
fn payloads_are_objects_in_utf_8() {
    for payload in
        [&b""[..], b"null", b"[]", b"\"x\"", b"{} {}", b"{", b"{\"a\":\"\xff\"}", b"\xff"]
    {
        let message = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(payload));
        let code = encode(signature(Algorithm::Hs256, message.as_bytes()));
        let error = refused(&format!("{message}.{code}"));
        assert!(matches!(error, JwtError::Malformed(Malformed::Json(Part::Payload, _))), "{error}");
    }
}

#[test]
fn a_token_has_a_limit() {
    let policy = policy(HS256);
    let set = set(Algorithm::Hs256, &policy);
    let sized =
        |filler: usize| token(Algorithm::Hs256, &PAYLOAD.replace("meter-7", &"m".repeat(filler)));
    let base = sized(0).len();
    let fits = (Policy::MAX_TOKEN_BYTES - base) * 3 / 4 - 2;
    assert!(set.verify(&sized(fits), &policy, NOW).is_ok());
    let error = set.verify(&sized(fits + 8), &policy, NOW).unwrap_err();
    assert!(matches!(error, JwtError::TooLong { limit: Policy::MAX_TOKEN_BYTES, .. }), "{error}");
    let small = Policy { max_token_bytes: 100, ..policy.clone() };
    let error = set.verify(&sized(0), &small, NOW).unwrap_err();
    assert_eq!(error, JwtError::TooLong { bytes: base, limit: 100 });
}

fn with_kid(kid: &str) -> String {
    signed(Algorithm::Rs256, &format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), PAYLOAD)
}

#[test]
fn a_kid_chooses() {
    let policy = policy(&[Algorithm::Rs256, Algorithm::Es256]);
    let named = |algorithm, kid: &str| jwk(algorithm, &format!(r#","kid":"{kid}""#));
    let set = KeySet::parse(
        &jwks(&[named(Algorithm::Rs256, "r"), named(Algorithm::Es256, "e")]),
        &policy,
    )
    .unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), ["r", "e"]);
    let verify = |token: &str| set.verify(token, &policy, NOW).map(|_| ());
    assert_eq!(verify(&with_kid("r")), Ok(()));
    assert_eq!(verify(&token(Algorithm::Rs256, PAYLOAD)), Ok(()));
    assert_eq!(verify(&token(Algorithm::Es256, PAYLOAD)), Ok(()));
    assert_eq!(
        verify(&with_kid("e")),
        Err(JwtError::NoFittingKey { algorithm: Algorithm::Rs256, kid: Some("e".to_owned()) })
    );
    for unknown in ["R", "", "r ", "other"] {
        let error = verify(&with_kid(unknown)).unwrap_err();
        assert_eq!(error, JwtError::UnknownKid { kid: unknown.to_owned() });
    }
    let header = r#"{"alg":"RS256","kid":7}"#;
    let error = verify(&signed(Algorithm::Rs256, header, PAYLOAD)).unwrap_err();
    assert_eq!(error, JwtError::Malformed(Malformed::HeaderMember("kid")));
}

#[test]
fn a_key_without_a_name_is_tried_on_any_token() {
    let policy = policy(&[Algorithm::Rs256, Algorithm::Es256]);
    let one = KeySet::pem(keys::RSA_PEM, &policy).unwrap();
    assert!(one.verify(&with_kid("whatever"), &policy, NOW).is_ok());
    let mut forged = with_kid("whatever");
    forged.replace_range(forged.len() - 4.., "AAAA");
    let error = one.verify(&forged, &policy, NOW).unwrap_err();
    // There is nothing to fetch anew.
    assert!(matches!(error, JwtError::WrongSignature { tried: 1, fitting: 1, .. }), "{error}");
    let both = KeySet::parse(
        &jwks(&[jwk(Algorithm::Rs256, ""), jwk(Algorithm::Es256, r#","kid":"e""#)]),
        &policy,
    )
    .unwrap();
    assert!(both.verify(&with_kid("whatever"), &policy, NOW).is_ok());
    let error = both.verify(&forged, &policy, NOW).unwrap_err();
    assert_eq!(error, JwtError::UnknownKid { kid: "whatever".to_owned() });
}

#[test]
fn few_keys_are_tried() {
    let policy = policy(HS256);
    let oct = |secret: &[u8]| format!(r#"{{"kty":"oct","k":"{}"}}"#, encode(secret));
    let right = oct(&secret());
    let wrong: Vec<_> = (0..MAX_KEYS_TRIED).map(|n| oct(&[n as u8; 64])).collect();
    let parse = |keys: &[String]| KeySet::parse(&jwks(keys), &policy).unwrap();
    let token = token(Algorithm::Hs256, PAYLOAD);
    let within = parse(&[&wrong[1..], std::slice::from_ref(&right)].concat());
    assert!(within.verify(&token, &policy, NOW).is_ok());
    let beyond = parse(&[&wrong[..], &[right]].concat());
    let error = beyond.verify(&token, &policy, NOW).unwrap_err();
    // One that is named is never beyond.
    let named = jwk(Algorithm::Hs256, r#","kid":"right""#);
    let set = parse(&[&wrong[..], &wrong, &[named]].concat());
    let header = r#"{"alg":"HS256","kid":"right"}"#;
    assert!(set.verify(&signed(Algorithm::Hs256, header, PAYLOAD), &policy, NOW).is_ok());
    assert_eq!(
        error,
        JwtError::WrongSignature { algorithm: Algorithm::Hs256, tried: 8, fitting: 9 }
    );
}

#[test]
fn errors_hold_no_token_and_stay_on_one_line() {
    let long = "k\\n\\u001b[2J".to_owned() + &"x".repeat(5_000);
    let policy = policy(&[Algorithm::Rs256]);
    let set = KeySet::parse(&jwks(&[jwk(Algorithm::Rs256, r#","kid":"r""#)]), &policy).unwrap();
    for token in [
        with_kid(&long),
        signed(Algorithm::Rs256, &format!(r#"{{"alg":"{long}"}}"#), PAYLOAD),
        signed(Algorithm::Rs256, &format!(r#"{{"alg":"RS256","{long}":1,"{long}":1}}"#), PAYLOAD),
        token(Algorithm::Rs256, &PAYLOAD.replace("https://id.example", &long)),
        token(Algorithm::Rs256, &PAYLOAD.replace("portcullis", &long)),
        token(Algorithm::Rs256, &PAYLOAD.replace(r#""portcullis""#, &format!(r#"["{long}","b"]"#))),
    ] {
        let error = set.verify(&token, &policy, NOW).unwrap_err().to_string();
        assert!(error.len() < 250 && !error.contains(char::is_control), "{error}");
        let signature = token.rsplit_once('.').unwrap().1;
        assert!(!error.contains(signature) && !error.contains("meter-7"), "{error}");
    }
}

/// A set is shared by every connection of a listener.
#[test]
fn sets_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let policy = policy(HS256);
    let set = set(Algorithm::Hs256, &policy);
    shared(&set);
    shared(&set.verify(&token(Algorithm::Hs256, PAYLOAD), &policy, NOW));
}

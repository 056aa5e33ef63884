//! Key sets that are read, in part or not at all.

use portcullis_auth::jwt::{
    Algorithm, KeySet, KeySetError, MAX_SET_BYTES, PemError, Policy, SkipReason,
};

use crate::keys;
use crate::openssl::TOKENS;
use crate::signing::{NOW, encode, jwk, jwks, policy};

const PUBLIC: &[Algorithm] = &[
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

/// RSA, 1024 bits.
const SHORT_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCorcqyc+8V74ypUnYEB3/7sDL0
2YOsNHcGItOL+r/pNLSdaclNs9mEmZenP+ae133nypc/vWIz8fgm7uTZ7IHhcyIS
gSiHmPcdcky3CRoCuYVEg0QIEb+SoRSWeeoZYcpfNgw9a64L1EOBRsAtAGSAXJVH
72V89D2XF8hwhFplRwIDAQAB
-----END PUBLIC KEY-----
";

/// On P-521.
const P521_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBFVDaWsLpRH+z6ZcMxzhXUtVq+rgI
QC3s/x6me3QlQRSdRBNNULvPToaY7qJCVTVu9CmpHiPI99uzErDcf6D35X0Ay7FY
3UQ7IKDDmghaa+NN3joK8XOTyAm3+MTaOYzB49FR1wD9MuoTfaWVqGRdoKa6SBW7
HNUiA995n1grDwun1rw=
-----END PUBLIC KEY-----
";

fn skipped(jwk: &str) -> SkipReason {
    let text = jwks(&[jwk.to_owned()]);
    match KeySet::parse(&text, &policy(&Algorithm::ALL)) {
        Err(KeySetError::NoUsableKey { skipped }) => skipped[0].reason.clone(),
        other => panic!("{jwk}: {other:?}"),
    }
}

#[test]
fn what_cannot_be_used_is_skipped_with_its_reason() {
    let rsa = |more: &str| skipped(&jwk(Algorithm::Rs256, more));
    assert_eq!(skipped("7"), SkipReason::NotAnObject);
    assert_eq!(rsa(r#","use":"enc""#), SkipReason::Use("enc".to_owned()));
    assert_eq!(rsa(r#","key_ops":["sign"]"#), SkipReason::Operations);
    assert_eq!(rsa(r#","key_ops":"verify""#), SkipReason::Operations);
    assert_eq!(rsa(r#","alg":"RSA-OAEP""#), SkipReason::Algorithm("RSA-OAEP".to_owned()));
    assert_eq!(rsa(r#","alg":"none""#), SkipReason::Algorithm("none".to_owned()));
    assert_eq!(rsa(r#","alg":"HS256""#), SkipReason::Contradiction("HS256".to_owned()));
    assert_eq!(rsa(r#","alg":"ES256""#), SkipReason::Contradiction("ES256".to_owned()));
    assert_eq!(rsa(r#","d":"AQAB""#), SkipReason::Private);
    let text = "is not a string";
    for name in ["use", "alg", "kid"] {
        assert_eq!(rsa(&format!(r#","{name}":1"#)), SkipReason::Member { name, rule: text });
    }
    let p256 = jwk(Algorithm::Es256, r#","alg":"ES384""#);
    assert_eq!(skipped(&p256), SkipReason::Contradiction("ES384".to_owned()));
    assert_eq!(skipped(r#"{"kty":"DSA"}"#), SkipReason::Type("DSA".to_owned()));
    assert_eq!(skipped("{}"), SkipReason::Member { name: "kty", rule: "is missing" });
    for (kty, crv) in [("EC", "secp256k1"), ("OKP", "Ed448"), ("OKP", "X25519"), ("EC", "Ed25519")]
    {
        let key = format!(r#"{{"kty":"{kty}","crv":"{crv}","x":"AA","y":"AA"}}"#);
        assert_eq!(skipped(&key), SkipReason::Curve(crv.to_owned()));
    }
    let oct = |bytes: usize, more: &str| {
        skipped(&format!(r#"{{"kty":"oct","k":"{}"{more}}}"#, encode(vec![7; bytes])))
    };
    assert_eq!(oct(31, ""), SkipReason::SecretBytes { bytes: 31 });
    assert_eq!(oct(32, r#","alg":"HS512""#), SkipReason::Contradiction("HS512".to_owned()));
    let short = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode([0xff; 128]));
    assert!(matches!(skipped(&short), SkipReason::RsaBits { bits: 1024, .. }));
    let even = jwk(Algorithm::Rs256, "").replace("AQAB", "AQAA");
    assert_eq!(skipped(&even), SkipReason::RsaExponent);
}

#[test]
fn members_are_base64url_of_their_length() {
    let cut = |algorithm, name: &'static str, rule| {
        let key = jwk(algorithm, "");
        let at = key.find(&format!(r#""{name}":""#)).unwrap() + name.len() + 4;
        let shorter = format!("{}{}", &key[..at], &key[at + 4..]);
        assert_eq!(skipped(&shorter), SkipReason::Member { name, rule });
        let padded = format!("{}={}", &key[..at], &key[at + 1..]);
        let rule = "is not base64url without padding";
        assert_eq!(skipped(&padded), SkipReason::Member { name, rule });
    };
    let coordinate = "is not as long as a coordinate of its curve";
    cut(Algorithm::Es256, "x", coordinate);
    cut(Algorithm::Es256, "y", coordinate);
    cut(Algorithm::Es384, "y", coordinate);
    cut(Algorithm::EdDsa, "x", "is not 32 bytes long");
}

#[test]
fn the_rest_of_a_set_serves() {
    let keys = [
        r#"{"kty":"RSA","use":"enc","kid":"1","n":"AQAB","e":"AQAB"}"#.to_owned(),
        jwk(
            Algorithm::Es256,
            r#","kid":"2","use":"sig","key_ops":["verify"],"alg":"ES256","x5c":["AAAA"],"ext":true"#,
        ),
        r#"{"kty":"NEW","kid":"3"}"#.to_owned(),
        jwk(Algorithm::EdDsa, r#","kid":"4""#),
    ];
    let es256 = policy(&[Algorithm::Es256]);
    let set = KeySet::parse(&jwks(&keys), &es256).unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), ["2"]);
    let told: Vec<_> = set.skipped().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "key 1 (\"1\") is for the use \"enc\"; only keys for \"sig\" are used",
            "key 3 (\"3\") has the type \"NEW\"; known are RSA, EC, OKP and oct",
            "key 4 (\"4\") fits no algorithm that the policy allows",
        ]
    );
}

#[test]
fn sets_that_are_none_say_why() {
    let policy = Policy { max_keys: 2, ..policy(&Algorithm::ALL) };
    let parse = |text: &str| KeySet::parse(text, &policy).unwrap_err();
    for text in ["", "{", "[]", r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kty":"a","kty":"b"}]}"#] {
        assert!(matches!(parse(text), KeySetError::Json(_)), "{text}");
    }
    for text in ["{}", r#"{"keys":{}}"#, &jwk(Algorithm::Rs256, "")] {
        assert_eq!(parse(text), KeySetError::NoKeys, "{text}");
    }
    let many = vec![jwk(Algorithm::Rs256, ""); 3];
    assert_eq!(parse(&jwks(&many)), KeySetError::TooManyKeys { keys: 3, limit: 2 });
    let long = jwks(&[jwk(Algorithm::Rs256, &format!(r#","x":"{}""#, "x".repeat(MAX_SET_BYTES)))]);
    assert!(matches!(parse(&long), KeySetError::TooLong { limit: MAX_SET_BYTES, .. }));
    let none = parse(r#"{"keys":[]}"#).to_string();
    assert_eq!(none, "the key set is empty; it must have at least one key");
    let one = parse(r#"{"keys":[{"kty":"DSA","kid":"k"}]}"#).to_string();
    assert_eq!(
        one,
        "the key set has no key that can be used: key 1 (\"k\") has the type \"DSA\"; known are RSA, \
         EC, OKP and oct"
    );
}

#[test]
fn secrets_and_public_keys_are_never_together() {
    let policy = policy(&Algorithm::ALL);
    let secret = jwk(Algorithm::Hs256, "");
    for public in [
        jwk(Algorithm::Rs256, ""),
        jwk(Algorithm::Es256, ""),
        jwk(Algorithm::EdDsa, ""),
        r#"{"kty":"RSA","use":"enc"}"#.to_owned(),
    ] {
        for keys in [[secret.clone(), public.clone()], [public, secret.clone()]] {
            assert_eq!(KeySet::parse(&jwks(&keys), &policy).unwrap_err(), KeySetError::Mixed);
        }
    }
}

#[test]
fn errors_and_debug_hold_no_secret() {
    let policy = policy(&Algorithm::ALL);
    let set = KeySet::parse(&jwks(&[jwk(Algorithm::Hs256, "")]), &policy).unwrap();
    let shown = format!("{set:?}");
    assert!(shown.contains("redacted") && !shown.contains(keys::SECRET), "{shown}");
    // The first bytes of the secret, as a list.
    assert!(!shown.contains("3, 35, 53"), "{shown}");
    let error = KeySet::symmetric(b"hunter2", &policy).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the secret has 7 bytes; HS512, which the policy allows, needs 64 (RFC 7518, section 3.2)"
    );
    let public = self::policy(PUBLIC);
    let error = KeySet::symmetric(&[7; 64], &public).unwrap_err();
    assert_eq!(error, KeySetError::NotAllowed { key: "secret" });
}

#[test]
fn a_pem_is_one_public_key() {
    let policy = policy(PUBLIC);
    for (pem, names) in [
        (keys::RSA_PEM, "RSPS"),
        (keys::RSA_PKCS1_PEM, "RSPS"),
        (keys::P256_PEM, "ES256"),
        (keys::P384_PEM, "ES384"),
        (keys::ED25519_PEM, "EdDSA Ed25519"),
    ] {
        for pem in [pem.to_owned(), format!("\n\n{}\r\n", pem.replace('\n', "\r\n"))] {
            let set = KeySet::pem(&pem, &policy).unwrap();
            for (name, token) in TOKENS {
                let of_this =
                    names.contains(name) || (names == "RSPS" && names.contains(&name[..2]));
                let verified = set.verify(token, &policy, NOW);
                assert_eq!(verified.is_ok(), of_this, "{name} with {pem}");
            }
        }
    }
    let other = self::policy(&[Algorithm::EdDsa]);
    let error = KeySet::pem(keys::RSA_PEM, &other).unwrap_err();
    assert_eq!(error, KeySetError::NotAllowed { key: "public key" });
}

#[test]
fn other_pems_say_what_they_are() {
    let read = |pem: &str| match KeySet::pem(pem, &policy(PUBLIC)) {
        Err(KeySetError::Pem(error)) => error,
        other => panic!("{other:?}"),
    };
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE"] {
        let pem = keys::P256_PEM.replace("PUBLIC KEY", label);
        assert_eq!(read(&pem), PemError::Label(label.to_owned()));
    }
    let pem = keys::P256_PEM;
    for broken in [
        String::new(),
        "PUBLIC KEY".to_owned(),
        pem.replace("-----END", "----END"),
        pem.replace("END PUBLIC", "END RSA PUBLIC"),
        pem.replace("BEGIN", "begin"),
        pem.replace("MFk", "M=k"),
        format!("{pem}{pem}"),
        format!("{pem}x"),
        pem.lines().take(2).collect::<Vec<_>>().join("\n"),
    ] {
        assert_eq!(read(&broken), PemError::Malformed, "{broken}");
    }
    for (from, to) in [("MFk", "MFo"), ("QgAE", "QgAC"), ("QgAE", "QgEE"), ("PUBLIC", "RSA PUBLIC")]
    {
        let damaged = pem.replace(from, to);
        assert_ne!(damaged, pem);
        assert_eq!(read(&damaged), PemError::Content, "{damaged}");
    }
    assert_eq!(read(P521_PEM), PemError::Unknown);
    assert!(matches!(read(SHORT_PEM), PemError::Unusable(SkipReason::RsaBits { bits: 1024, .. })));
}

//! Known answers.

use portcullis_auth::jwt::{
    Algorithm, Expected, Expiry, JwtError, KeySet, KeySetError, Malformed, Part, Policy, SkipReason,
};

use crate::openssl::{PAYLOAD, TOKENS};
use crate::signing::{AUDIENCE, ISSUER, NOW, jwk, jwks, policy, set};

/// The payload of RFC 7515, A.1 to A.3, encoded.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
    b290Ijp0cnVlfQ";

fn joes(algorithm: Algorithm) -> Policy {
    Policy::new(vec![algorithm], Expected::OneOf(vec!["joe".to_owned()]), Expected::Any)
}

fn verifies(algorithm: Algorithm, header: &str, signature: &str) {
    let policy = joes(algorithm);
    let set = set(algorithm, &policy);
    let token = format!("{header}.{JOE}.{signature}");
    let claims = set.verify(&token, &policy, 1_300_819_379).unwrap();
    assert_eq!(
        claims.json(),
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
    );
    assert_eq!(claims.issuer(), Some("joe"));
    assert_eq!(claims.subject(), None);
    assert_eq!(claims.expires_at(), Some(1_300_819_380));
    assert_eq!(claims.claim("http://example.com/is_root").unwrap().as_bool(), Some(true));
    let late = set.verify(&token, &policy, 1_300_819_380 + Policy::LEEWAY_S);
    assert!(matches!(late, Err(JwtError::Expired { expired_at: 1_300_819_380, .. })), "{late:?}");
}

#[test]
fn rfc_7515_a_1_hs256() {
    verifies(
        Algorithm::Hs256,
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
}

#[test]
fn rfc_7515_a_2_rs256() {
    verifies(
        Algorithm::Rs256,
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W\
         2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS\
         jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv\
         Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
}

#[test]
fn rfc_7515_a_3_es256() {
    verifies(
        Algorithm::Es256,
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
}

/// The back end has no P-521, and says so of the key and of the token.
#[test]
fn rfc_7515_a_4_es512_is_not_supported() {
    let key = r#"{"kty":"EC","crv":"P-521",
        "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"
    }"#;
    let policy = policy(&Algorithm::ALL);
    let error = KeySet::parse(&jwks(&[key.to_owned()]), &policy).unwrap_err();
    let KeySetError::NoUsableKey { skipped } = error else { panic!("{error}") };
    assert_eq!(skipped[0].reason, SkipReason::Curve("P-521".to_owned()));
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaR\
        I1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7i\
        KvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let refused = set(Algorithm::Es256, &policy).verify(token, &policy, NOW).unwrap_err();
    assert!(matches!(refused, JwtError::AlgorithmNotAllowed { ref found, .. } if found == "ES512"));
}

/// Its payload is a text, not claims: that this is what is wrong says that the signature is right.
#[test]
fn rfc_8037_a_4_and_a_5_eddsa() {
    let policy = policy(&[Algorithm::EdDsa]);
    let set = set(Algorithm::EdDsa, &policy);
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPO\
        t7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let error = set.verify(token, &policy, NOW).unwrap_err();
    let right = matches!(error, JwtError::Malformed(Malformed::Json(Part::Payload, _)));
    assert!(right, "{error}");
    let wrong = set.verify(&token.replace("KAg", "KAh"), &policy, NOW).unwrap_err();
    assert!(matches!(wrong, JwtError::Malformed(Malformed::Base64(Part::Signature))), "{wrong}");
    let wrong = set.verify(&token.replace("hgyY", "hgyZ"), &policy, NOW).unwrap_err();
    assert!(matches!(wrong, JwtError::WrongSignature { .. }), "{wrong}");
}

#[test]
fn what_openssl_signs_verifies() {
    assert_eq!(TOKENS.len(), Algorithm::ALL.len() + 1);
    for (name, token) in TOKENS {
        let algorithm = Algorithm::from_name(name).unwrap();
        let policy = policy(&[algorithm]);
        let claims = set(algorithm, &policy).verify(token, &policy, NOW).unwrap();
        assert_eq!(claims.json(), PAYLOAD, "{name}");
        assert_eq!(claims.issuer(), Some(ISSUER));
        assert_eq!(claims.claim("aud").unwrap().strings(), Some(vec![AUDIENCE]));
    }
}

#[test]
fn all_public_keys_serve_in_one_set() {
    let public: Vec<_> =
        Algorithm::ALL.into_iter().filter(|alg| alg.min_secret_bytes().is_none()).collect();
    let policy = Policy { expiry: Expiry::Optional, ..policy(&public) };
    let keys = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let set = KeySet::parse(&jwks(&keys.map(|key| jwk(key, ""))), &policy).unwrap();
    assert_eq!((set.len(), set.is_symmetric()), (4, false));
    for (name, token) in TOKENS {
        let verified = set.verify(token, &policy, NOW);
        assert_eq!(verified.is_ok(), !name.starts_with("HS"), "{name}: {verified:?}");
    }
}

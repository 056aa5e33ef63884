//! Issuer, audience, required claims, and views of claims.

use portcullis_auth::jwt::{
    Algorithm, Claims, Expected, JwtError, MAX_FLATTENED, MAX_FLATTENED_BYTES, Policy,
};

use crate::signing::{NOW, PAYLOAD, policy, set, signed, token};

fn verify(payload: &str, policy: &Policy) -> Result<Claims, JwtError> {
    set(Algorithm::Hs256, policy).verify(&token(Algorithm::Hs256, payload), policy, NOW)
}

fn strict() -> Policy {
    policy(&[Algorithm::Hs256])
}

#[test]
fn issuers_are_compared_whole() {
    let with = |iss: &str| verify(&PAYLOAD.replace(r#""https://id.example""#, iss), &strict());
    assert!(with(r#""https://id.example""#).is_ok());
    for iss in [r#""https://id.example/""#, r#""HTTPS://id.example""#, r#""""#] {
        assert!(matches!(with(iss), Err(JwtError::Issuer { .. })), "{iss}");
    }
    for iss in [r#"["https://id.example"]"#, "null", "1"] {
        assert!(matches!(with(iss), Err(JwtError::BadClaim { claim: "iss", .. })), "{iss}");
    }
    let without = PAYLOAD.replace(r#""iss":"https://id.example","#, "");
    let missing = Err(JwtError::MissingClaim { claim: "iss".to_owned() });
    assert_eq!(verify(&without, &strict()), missing);
    let any = Policy { issuers: Expected::Any, ..strict() };
    assert!(verify(&without, &any).is_ok());
    let nobody = Policy { issuers: Expected::OneOf(Vec::new()), ..strict() };
    assert!(verify(PAYLOAD, &nobody).is_err());
}

#[test]
fn one_audience_is_enough() {
    let with =
        |aud: &str, policy: &Policy| verify(&PAYLOAD.replace(r#""portcullis""#, aud), policy);
    for aud in [r#""portcullis""#, r#"["portcullis"]"#, r#"["other","portcullis"]"#] {
        assert!(with(aud, &strict()).is_ok(), "{aud}");
    }
    for aud in [r#""other""#, r#""Portcullis""#, "[]", r#"["a","b"]"#, r#""portcullis other""#] {
        assert!(matches!(with(aud, &strict()), Err(JwtError::Audience { .. })), "{aud}");
    }
    let any = Policy { audiences: Expected::Any, ..strict() };
    for aud in ["null", "1", r#"["portcullis",1]"#, r#"{"portcullis":1}"#] {
        for policy in [&strict(), &any] {
            let found = with(aud, policy);
            assert!(matches!(found, Err(JwtError::BadClaim { claim: "aud", .. })), "{aud}");
        }
    }
    let without = PAYLOAD.replace(r#""aud":"portcullis","#, "");
    let missing = Err(JwtError::MissingClaim { claim: "aud".to_owned() });
    assert_eq!(verify(&without, &strict()), missing);
    assert!(verify(&without, &any).is_ok());
    assert!(with(r#""other""#, &any).is_ok());
}

#[test]
fn required_claims_have_a_value() {
    let asks = |claim: &str| Policy { required_claims: vec![claim.to_owned()], ..strict() };
    assert!(verify(PAYLOAD, &asks("sub")).is_ok());
    assert!(verify(PAYLOAD, &asks("realm_access")).is_ok());
    for claim in ["scope", "realm_access.roles", ""] {
        let missing = Err(JwtError::MissingClaim { claim: claim.to_owned() });
        assert_eq!(verify(PAYLOAD, &asks(claim)), missing);
    }
    let null = PAYLOAD.replace(r#""realm_access""#, r#""scope":null,"realm_access""#);
    assert!(verify(&null, &asks("scope")).is_err());
    for claim in ["sub", "jti"] {
        let number = format!(r#"{{"iss":"https://id.example","{claim}":7}}"#);
        let found = verify(&number, &strict());
        assert!(matches!(found, Err(JwtError::BadClaim { claim: c, .. }) if c == claim));
    }
}

#[test]
fn the_type_keeps_tokens_apart() {
    let policy = Policy { token_type: Some("at+jwt".to_owned()), ..strict() };
    let with = |typ: &str| {
        let header = format!(r#"{{"alg":"HS256"{typ}}}"#);
        let token = signed(Algorithm::Hs256, &header, PAYLOAD);
        set(Algorithm::Hs256, &policy).verify(&token, &policy, NOW)
    };
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(with(&format!(r#","typ":"{typ}""#)).is_ok(), "{typ}");
    }
    for typ in
        ["", r#","typ":"JWT""#, r#","typ":"text/at+jwt""#, r#","typ":"application/x/at+jwt""#]
    {
        assert!(matches!(with(typ), Err(JwtError::TokenType { .. })), "{typ}");
    }
    assert!(matches!(with(r#","typ":1"#), Err(JwtError::Malformed(_))));
}

#[test]
fn claims_are_found_by_their_path() {
    let more = r#""https://acme.example/app.roles":"boss","a.b":{"c":"dotted"},"a":{"b":{"c":"nested","d":1}},
        "scope":"read  write","n":7,"f":1.5,"yes":true,"mixed":["a",1],"realm_access""#;
    let claims = verify(&PAYLOAD.replace(r#""realm_access""#, more), &strict()).unwrap();
    assert_eq!(claims.subject(), Some("meter-7"));
    assert_eq!(claims.expires_at(), Some(1_700_003_600));
    let text = |path: &str| claims.claim(path).and_then(|claim| claim.as_str());
    assert_eq!(text("https://acme.example/app.roles"), Some("boss"));
    assert_eq!(text("a.b.c"), Some("dotted"));
    for path in ["", ".", "a.", ".a", "a.b.d", "a.b.c.d", "n.x", "realm_access.roles.0", "A"] {
        assert_eq!(claims.claim(path), None, "{path}");
    }
    let claim = |path: &str| claims.claim(path).unwrap();
    assert_eq!(claim("realm_access.roles").strings(), Some(vec!["meters", "north"]));
    assert_eq!(claim("sub").strings(), Some(vec!["meter-7"]));
    assert_eq!(claim("scope").words(), Some(vec!["read", "write"]));
    assert_eq!(claim("realm_access.roles").words(), Some(vec!["meters", "north"]));
    for path in ["mixed", "n", "a", "yes"] {
        assert_eq!(claim(path).strings(), None, "{path}");
        assert_eq!(claim(path).as_str(), None, "{path}");
    }
    assert_eq!(
        (claim("n").as_u64(), claim("f").as_u64(), claim("sub").as_u64()),
        (Some(7), None, None)
    );
    assert_eq!((claim("yes").as_bool(), claim("n").as_bool()), (Some(true), None));
    assert_eq!(claim("mixed").to_json(), r#"["a",1]"#);
}

#[test]
fn flattened_claims_are_those_that_a_path_finds() {
    let payload = r#"{"iss":"https://id.example","aud":["portcullis","b"],"exp":1700003600,"null":null,
        "a.b":{"c":"dotted"},"a":{"b":{"c":"nested","d":"hidden"},"e":{}},"n":7.5,"yes":true,
        "mixed":["x",1,null,{"k":[2]}],"none":[]}"#;
    let flattened = verify(payload, &strict()).unwrap().flattened();
    let shown: Vec<_> =
        flattened.iter().map(|(path, texts)| format!("{path}={}", texts.join("|"))).collect();
    let expected = [
        "a.b.c=dotted",
        "aud=portcullis|b",
        "exp=1700003600",
        "iss=https://id.example",
        r#"mixed=x|1|null|{"k":[2]}"#,
        "n=7.5",
        "none=",
        "yes=true",
    ];
    assert_eq!(shown, expected);
    assert_eq!(flattened[6].1, Vec::<String>::new());
}

#[test]
fn flattened_claims_have_limits() {
    let with = |more: &str| {
        let payload = PAYLOAD.replace(r#""realm_access""#, &format!(r#"{more},"realm_access""#));
        verify(&payload, &strict()).unwrap().flattened()
    };
    let found = |flattened: &[(String, Vec<String>)], path: &str| {
        flattened.iter().any(|(name, _)| name == path)
    };
    // Many that are nested cost none at the top.
    let many: Vec<_> = (0..700).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let flattened = with(&format!(r#""0":{{{}}}"#, many.join(",")));
    assert_eq!(flattened.len(), MAX_FLATTENED);
    assert!(found(&flattened, "sub") && found(&flattened, "0.k1"));
    // A long name before many values would come to megabytes.
    let flattened = with(&format!(r#""{}":{{{}}}"#, "x".repeat(4000), many[..500].join(",")));
    let bytes: usize = flattened.iter().map(|(path, _)| path.len()).sum();
    assert!(bytes <= MAX_FLATTENED_BYTES && found(&flattened, "sub"), "{bytes}");
    let nested =
        |depth: usize| format!(r#"{}"leaf":1{}"#, r#""d":{"#.repeat(depth), "}".repeat(depth));
    let path = |depth: usize| format!("{}leaf", "d.".repeat(depth));
    assert!(found(&with(&nested(7)), &path(7)), "8 names");
    assert!(!found(&with(&nested(8)), &path(8)), "9 names");
}

#[test]
fn a_log_shows_names_only() {
    let claims = verify(PAYLOAD, &strict()).unwrap();
    let shown = format!("{claims:?} {:?}", claims.claim("sub"));
    assert!(shown.contains("realm_access") && !shown.contains("meter-7"), "{shown}");
}

//! A token that is to be signed.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::Algorithm;

/// What a token of this gateway's own says (RFC 7519, section 4.1). What is `None` it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The name of the key that signs it (`kid`).
    pub key_id: Option<&'a str>,
    /// `aud`.
    pub audience: Option<&'a str>,
    /// `iss`.
    pub issuer: Option<&'a str>,
    /// `sub`.
    pub subject: Option<&'a str>,
}

/// A token without its signature. Whoever has the key signs [`message`](Self::message), as RFC 7518, section 3, says for
/// the algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft(String);

impl Draft {
    /// It is issued at `now_unix_s` and ends `lifetime_s` later. There is no `nbf`: the receiver's clock may be a little late.
    #[must_use]
    pub fn new(
        algorithm: Algorithm,
        statement: &Statement<'_>,
        now_unix_s: u64,
        lifetime_s: u64,
    ) -> Self {
        let header =
            [("alg", Some(algorithm.name())), ("typ", Some("JWT")), ("kid", statement.key_id)];
        let claims =
            [("iss", statement.issuer), ("sub", statement.subject), ("aud", statement.audience)];
        let mut claims = object(&claims);
        claims.insert("iat".to_owned(), now_unix_s.into());
        claims.insert("exp".to_owned(), now_unix_s.saturating_add(lifetime_s).into());
        Self(format!("{}.{}", encode(object(&header)), encode(claims)))
    }

    /// What the signature is of.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The token in compact serialization (RFC 7515, section 3.1).
    #[must_use]
    pub fn signed(self, signature: &[u8]) -> String {
        format!("{}.{}", self.0, Base64UrlUnpadded::encode_string(signature))
    }
}

fn object(members: &[(&str, Option<&str>)]) -> Map<String, Value> {
    let stated = members.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    stated.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn encode(object: Map<String, Value>) -> String {
    Base64UrlUnpadded::encode_string(Value::Object(object).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_is_told_and_nothing_else() {
        let statement =
            Statement { key_id: Some("k\"1"), audience: Some("hub"), ..Statement::default() };
        let token = Draft::new(Algorithm::Es256, &statement, 1_000, 60).signed(b"\xff\xfe");
        let parts: Vec<_> = token.split('.').collect();
        let read = |part: &str| {
            let bytes = Base64UrlUnpadded::decode_vec(part).expect("it is base64");
            serde_json::from_slice::<Value>(&bytes).expect("it is JSON")
        };
        assert_eq!(
            read(parts[0]),
            serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": "k\"1"})
        );
        assert_eq!(read(parts[1]), serde_json::json!({"aud": "hub", "iat": 1_000, "exp": 1_060}));
        assert_eq!(parts[2], "__4");
    }
}

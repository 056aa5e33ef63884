//! What takes the place of a secret: the same for the same secret, and of no use anywhere else.

use serde_json::Value;

use crate::tape::{EQUAL, HMAC, HostCall, hex, read_bytes};

/// A shorter secret is replaced where it is the whole of a text only: it could be a part of any word.
const PART_BYTES_MIN: usize = 6;

/// Makes stand-ins under a key that nobody keeps.
#[derive(Clone)]
pub(crate) struct StandIn {
    key: [u8; 32],
}

impl StandIn {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The stand-in of a secret. That of a token still has the shape of one, by which extensions tell tokens from passwords.
    fn of(&self, secret: &[u8]) -> String {
        let code = hex(&auth::hmac::sha256(&self.key, secret));
        match is_token(secret) {
            true => {
                let part = |from, to| code.get(from..to).unwrap_or_default();
                format!("{}.{}.{}", part(0, 20), part(20, 40), part(40, 64))
            }
            false => format!("secret-{code}"),
        }
    }

    /// A stand-in with as many bytes as the secret: of a short one it says little, and may be that of another.
    pub(super) fn as_long_as(&self, secret: &[u8]) -> String {
        let code = hex(&auth::hmac::sha256(&self.key, secret));
        code.chars().cycle().take(secret.len()).collect()
    }

    /// The call without what no client sent and is secret nevertheless: codes under a secret of the operator, and what is
    /// compared.
    pub(super) fn hide(&self, call: &HostCall) -> HostCall {
        let hidden = |value: &Value| match read_bytes(value) {
            Some(secret) => Value::String(self.of(&secret)),
            None => Value::Null,
        };
        let mut hides = call.clone();
        match call.function.as_str() {
            HMAC => hides.result = hidden(&call.result),
            EQUAL => {
                let compared = call.arguments.as_array().into_iter().flatten();
                hides.arguments = compared.map(hidden).collect();
            }
            _ => {}
        }
        hides
    }

    /// Puts the stand-in into every place of the secret, in text or in hexadecimal.
    pub(crate) fn replace(&self, secret: &[u8], value: &mut Value) {
        if secret.is_empty() {
            return;
        }
        let stand_in = self.of(secret);
        let mut pairs = vec![(hex(secret), hex(stand_in.as_bytes()))];
        if let Ok(text) = std::str::from_utf8(secret) {
            pairs.push((text.to_owned(), stand_in));
        }
        let whole_only = secret.len() < PART_BYTES_MIN;
        walk(value, &mut |text| {
            for (secret, stand_in) in &pairs {
                if text == secret {
                    text.clone_from(stand_in);
                } else if !whole_only && text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), stand_in);
                }
            }
        });
    }
}

fn walk(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| walk(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| walk(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Three parts in base64url, with dots between them.
fn is_token(secret: &[u8]) -> bool {
    let parts: Vec<&[u8]> = secret.split(|byte| *byte == b'.').collect();
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.iter().all(good))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_secrets_have_one_stand_in_and_others_another() {
        let (one, other) = (StandIn::new([1; 32]), StandIn::new([2; 32]));
        assert_eq!(one.of(b"hunter22"), one.of(b"hunter22"));
        assert_ne!(one.of(b"hunter22"), one.of(b"hunter23"));
        assert_ne!(one.of(b"hunter22"), other.of(b"hunter22"), "of another recording");
        let token = one.of(b"eyJh.eyJz.c2ln");
        assert!(is_token(token.as_bytes()) && !is_token(one.of(b"a.b").as_bytes()), "{token}");
    }

    #[test]
    fn a_stand_in_can_have_the_length_of_the_secret() {
        let stand_in = StandIn::new([1; 32]);
        for length in [0, 1, 64, 1000] {
            let secret = vec![0xFF; length];
            let instead = stand_in.as_long_as(&secret);
            assert_eq!(instead.len(), length);
            assert_eq!(instead, stand_in.as_long_as(&secret));
        }
        assert_ne!(stand_in.as_long_as(b"hunter22"), stand_in.as_long_as(b"hunter23"));
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_is() {
        let stand_in = StandIn::new([1; 32]);
        let secret = b"correct horse";
        let mut value = json!({
            "password": "correct horse", "in": ["user:correct horse", {"hex": hex(b"\xFFcorrect horse")}],
            "other": "correct", "number": 7,
        });
        stand_in.replace(secret, &mut value);
        let (text, instead) = (value.to_string(), stand_in.of(secret));
        assert!(!text.contains("correct horse") && !text.contains(&hex(secret)), "{text}");
        assert_eq!(
            (&value["password"], &value["in"][0]),
            (&json!(instead), &json!(format!("user:{instead}")))
        );
        assert_eq!((&value["other"], &value["number"]), (&json!("correct"), &json!(7)));

        let mut value = json!(["pub", "publish"]);
        stand_in.replace(b"pub", &mut value);
        assert_eq!(
            value,
            json!([stand_in.of(b"pub"), "publish"]),
            "a short one is part of any word"
        );
    }
}

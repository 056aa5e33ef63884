//! What takes the place of a secret: the same for the same secret, and of no use anywhere else.

use serde_json::Value;

use super::forms::Forms;
use crate::tape::{EQUAL, GET, HMAC, HostCall, LIST_KEYS, SEND, VERIFY_PASSWORD, hex, read_bytes};

/// Headers of an answer whose values nobody but the one who asked is to have.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

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
    /// Either has a multiple of three bytes: base64 then writes it alike with padding and without.
    fn of(&self, secret: &[u8]) -> String {
        let code = hex(&auth::hmac::sha256(&self.key, secret));
        match is_token(secret) {
            true => {
                let part = |from, to| code.get(from..to).unwrap_or_default();
                format!("{}.{}.{}", part(0, 20), part(20, 40), part(40, 64))
            }
            false => format!("secret-{}", code.get(..62).unwrap_or_default()),
        }
    }

    /// A stand-in with as many bytes as the secret: of a short one it says little, and may be that of another.
    pub(super) fn as_long_as(&self, secret: &[u8]) -> String {
        let code = hex(&auth::hmac::sha256(&self.key, secret));
        code.chars().cycle().take(secret.len()).collect()
    }

    /// A secret in the forms in which it is sent, of a client under one of these names; each with its stand-in.
    pub(super) fn forms<'a>(
        &self,
        secret: &[u8],
        users: impl IntoIterator<Item = &'a str>,
    ) -> Forms {
        Forms::new(secret, &self.of(secret), users)
    }

    /// The calls without what no client sent and is secret nevertheless: codes under a secret of the operator, what is
    /// compared, hashes of passwords that came from outside, tokens in what a server or the store answers, cookies.
    pub(super) fn hide(&self, calls: &[HostCall]) -> Vec<HostCall> {
        let secrets: Vec<_> =
            secrets(calls).iter().map(|secret| self.forms(secret, std::iter::empty())).collect();
        calls.iter().map(|call| self.hide_in(call, &secrets)).collect()
    }

    fn hide_in(&self, call: &HostCall, secrets: &[Forms]) -> HostCall {
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
            name if name == SEND.name => {
                let headers = hides.result.get_mut("headers").and_then(Value::as_array_mut);
                for header in headers.into_iter().flatten() {
                    if header[0].as_str().is_some_and(|name| SECRET_HEADERS.contains(&name)) {
                        header[1] = hidden(&header[1]);
                    }
                }
            }
            _ => {}
        }
        for forms in secrets {
            forms.replace(&mut hides.arguments);
            forms.replace(&mut hides.result);
        }
        hides
    }
}

/// What else of these calls is a secret wherever it occurs in them.
fn secrets(calls: &[HostCall]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for call in calls {
        let argument = |index: usize| call.arguments.get(index).and_then(read_bytes);
        match call.function.as_str() {
            HMAC => found.extend(read_bytes(&call.result)),
            EQUAL => found.extend([argument(0), argument(1)].into_iter().flatten()),
            // One of the configuration is not in the recording: its digest is to be that of the hash itself.
            VERIFY_PASSWORD => found.extend(argument(1).filter(|hash| is_told(hash, calls))),
            name if name == GET.name || name == SEND.name || name == LIST_KEYS.name => {
                texts(&call.result, &mut |text| {
                    let words = text.split(|c: char| !is_token_char(c) && c != '.');
                    let tokens =
                        words.filter(|word| word.starts_with("eyJ") && is_token(word.as_bytes()));
                    found.extend(tokens.map(|token| token.as_bytes().to_vec()));
                });
            }
            _ => {}
        }
    }
    // The longest first: one may be a part of another.
    found.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    found.dedup();
    found
}

/// Whether one of the answers has it.
fn is_told(secret: &[u8], calls: &[HostCall]) -> bool {
    let Ok(secret) = std::str::from_utf8(secret) else { return false };
    let mut told = false;
    for call in calls {
        texts(&call.result, &mut |text| told |= text.contains(secret));
    }
    told
}

/// Hands all texts of a value to `look`.
fn texts(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, look)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Three parts in base64url, with dots between them.
fn is_token(secret: &[u8]) -> bool {
    let parts: Vec<&[u8]> = secret.split(|byte| *byte == b'.').collect();
    let good = |byte: &u8| is_token_char(char::from(*byte));
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.iter().all(good))
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

    fn call(function: &str, arguments: Value, result: Value) -> HostCall {
        HostCall { function: function.to_owned(), arguments, result }
    }

    #[test]
    fn equal_secrets_have_one_stand_in_and_others_another() {
        let (one, other) = (StandIn::new([1; 32]), StandIn::new([2; 32]));
        assert_eq!(one.of(b"hunter22"), one.of(b"hunter22"));
        assert_ne!(one.of(b"hunter22"), one.of(b"hunter23"));
        assert_ne!(one.of(b"hunter22"), other.of(b"hunter22"), "of another recording");
        let token = one.of(b"eyJh.eyJz.c2ln");
        assert!(is_token(token.as_bytes()) && !is_token(one.of(b"a.b").as_bytes()), "{token}");
        assert!([token, one.of(b"a.b")].iter().all(|text| text.len().is_multiple_of(3)));
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
    fn what_is_compared_or_checked_against_is_hidden_where_it_came_from() {
        let stand_in = StandIn::new([1; 32]);
        let calls = [
            call(GET.name, json!(["user/1"]), json!(format!("1|{HASH}"))),
            call(VERIFY_PASSWORD, json!(["pass", HASH]), json!("match")),
            call(GET.name, json!(["key/1"]), json!("the device's key")),
            call(EQUAL, json!(["given", "the device's key"]), json!(false)),
            call(HMAC, json!(["site", "data"]), json!({ "hex": "ff00ff00ff00ff00" })),
            call("cache.put", json!(["code", { "hex": "ff00ff00ff00ff00" }, 1]), json!(null)),
        ];
        let hidden = stand_in.hide(&calls);
        let text = format!("{hidden:?}");
        for secret in [HASH, "the device's key", "given", "ff00ff00"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        let instead = stand_in.of(HASH.as_bytes());
        assert_eq!(hidden[0].result, json!(format!("1|{instead}")));
        assert_eq!(hidden[1].arguments[1], json!(instead), "as a candidate will have it");
        assert_eq!(hidden[3].arguments[1], hidden[2].result);
        assert_eq!(hidden[5].arguments[1], hidden[4].result, "in the form of a text");

        let own = [call(VERIFY_PASSWORD, json!(["pass", HASH]), json!("match"))];
        assert_eq!(stand_in.hide(&own)[0].arguments[1], json!(HASH), "of the configuration");
    }

    #[test]
    fn tokens_and_cookies_of_answers_are_hidden() {
        let stand_in = StandIn::new([1; 32]);
        let body = format!("{{\"access_token\":\"{TOKEN}\",\"v\":\"1.2.3\"}}");
        let headers = json!([["set-cookie", "id=7"], ["content-type", "application/json"]]);
        let answer = json!({ "status": 200, "headers": headers, "body": body });
        let hidden = stand_in.hide(&[
            call(SEND.name, json!(["GET", "/x", "c", [], ""]), answer),
            call("cache.put", json!(["t", TOKEN, 1]), json!(null)),
        ]);
        let text = format!("{hidden:?}");
        assert!(!text.contains(TOKEN) && !text.contains("id=7"), "{text}");
        assert!(text.contains("application/json") && text.contains("1.2.3"), "{text}");
        let instead = hidden[1].arguments[1].as_str().unwrap();
        assert!(hidden[0].result["body"].as_str().unwrap().contains(instead), "{text}");
    }
}

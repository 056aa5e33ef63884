//! A secret in all the forms in which it is usually sent on, and its stand-in in the same.

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::tape::{bytes, hex, read_bytes};

/// A shorter secret is replaced where it is the whole of a text only: it could be a part of any word.
const PART_BYTES_MIN: usize = 6;

/// Each form with what takes its place. None of an empty secret.
pub(super) struct Forms(Vec<Form>);

struct Form {
    secret: String,
    stand_in: String,
    /// Whether it is looked for inside of texts too.
    in_part: bool,
}

impl Forms {
    /// As text, in hexadecimal, in base64, percent-encoded, as JSON writes it, and behind the name of one of `users` as the
    /// scheme Basic of HTTP has it (RFC 7617).
    pub(super) fn new<'a>(
        secret: &[u8],
        stand_in: &str,
        users: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut forms = Self(Vec::new());
        if secret.is_empty() {
            return forms;
        }
        let in_part = secret.len() >= PART_BYTES_MIN;
        for user in users {
            let with_user = |secret: &[u8]| [user.as_bytes(), b":", secret].concat();
            forms.encoded(&with_user(secret), &with_user(stand_in.as_bytes()), true);
        }
        forms.add(hex(secret), hex(stand_in.as_bytes()), in_part);
        forms.encoded(secret, stand_in.as_bytes(), in_part);
        if let Ok(text) = std::str::from_utf8(secret) {
            forms.add(text.to_owned(), stand_in.to_owned(), in_part);
            forms.add(json_text(text), json_text(stand_in), in_part);
        }
        for (blank, lower) in [("%20", false), ("%20", true), ("+", false), ("+", true)] {
            let form = percent_encoded(secret, blank, lower);
            forms.add(form, percent_encoded(stand_in.as_bytes(), blank, lower), in_part);
        }
        forms
    }

    /// Those in base64; with padding first, for without it is a part of that.
    fn encoded(&mut self, secret: &[u8], stand_in: &[u8], in_part: bool) {
        let encodings: [fn(&[u8]) -> String; 4] = [
            Base64::encode_string,
            Base64Url::encode_string,
            Base64Unpadded::encode_string,
            Base64UrlUnpadded::encode_string,
        ];
        for encode in encodings {
            self.add(encode(secret), encode(stand_in), in_part);
        }
    }

    fn add(&mut self, secret: String, stand_in: String, in_part: bool) {
        if self.0.iter().all(|form| form.secret != secret) {
            self.0.push(Form { secret, stand_in, in_part });
        }
    }

    /// Puts the stand-in into every place of the secret.
    pub(super) fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.replace_in(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace(value)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|value| self.replace(value));
                // Bytes that were no text, and may be one now.
                if fields.len() == 1
                    && fields.contains_key("hex")
                    && let Some(now) = read_bytes(&json!(fields))
                {
                    *value = bytes(&now);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn replace_in(&self, text: &mut String) {
        for Form { secret, stand_in, in_part } in &self.0 {
            if text == secret {
                text.clone_from(stand_in);
                return;
            }
            if *in_part && text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), stand_in);
            }
        }
    }
}

/// What is between the quotation marks.
fn json_text(text: &str) -> String {
    let quoted = json!(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

/// All but what RFC 3986 leaves as it is (section 2.3), with `blank` for a space.
fn percent_encoded(bytes: &[u8], blank: &str, lower: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => text.push_str(blank),
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            byte if lower => text.push_str(&format!("%{byte:02x}")),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAND_IN: &str = "secret-00ff";

    fn replaced(secret: &[u8], mut value: Value) -> Value {
        Forms::new(secret, STAND_IN, ["meter-7"]).replace(&mut value);
        value
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_is() {
        let secret = b"correct horse";
        let value = replaced(
            secret,
            json!({
                "password": "correct horse", "in": ["user:correct horse", {"hex": hex(b"\xFFcorrect horse")}],
                "other": "correct", "number": 7,
            }),
        );
        let text = value.to_string();
        assert!(!text.contains("correct horse") && !text.contains(&hex(secret)), "{text}");
        assert_eq!(
            (&value["password"], &value["in"][0]),
            (&json!(STAND_IN), &json!(format!("user:{STAND_IN}")))
        );
        assert_eq!((&value["other"], &value["number"]), (&json!("correct"), &json!(7)));
        assert_eq!(
            replaced(b"pub", json!(["pub", "publish"])),
            json!([STAND_IN, "publish"]),
            "a short one is part of any word"
        );
        assert_eq!(replaced(b"", json!(["", "a"])), json!(["", "a"]));
    }

    #[test]
    fn bytes_that_were_no_text_are_one_when_they_are_replaced() {
        assert_eq!(replaced(b"\xFF\xFEsix!", json!({"hex": "fffe73697821"})), json!(STAND_IN));
        assert_eq!(replaced(b"\xFF\xFEsix!", json!({"hex": "fffe"})), json!({"hex": "fffe"}));
    }

    #[test]
    fn the_forms_of_requests_are_known() {
        let secret = "a b\"/ü?";
        let basic = |secret: &str| {
            format!("Basic {}", Base64::encode_string(format!("meter-7:{secret}").as_bytes()))
        };
        for (written, expected) in [
            (format!("token={}&x=y", "a%20b%22%2F%C3%BC%3F"), format!("token={STAND_IN}&x=y")),
            (format!("token={}", "a+b%22%2f%c3%bc%3f"), format!("token={STAND_IN}")),
            (
                json!({ "password": secret }).to_string(),
                json!({ "password": STAND_IN }).to_string(),
            ),
            (basic(secret), basic(STAND_IN)),
            (
                format!("Bearer {}", Base64Url::encode_string(secret.as_bytes())),
                format!("Bearer {}", Base64Url::encode_string(STAND_IN.as_bytes())),
            ),
            (
                Base64UrlUnpadded::encode_string(secret.as_bytes()),
                Base64UrlUnpadded::encode_string(STAND_IN.as_bytes()),
            ),
        ] {
            assert_eq!(replaced(secret.as_bytes(), json!(written)), json!(expected));
        }
        assert_eq!(replaced(b"1234", json!(basic("1234"))), json!(basic(STAND_IN)), "a short one");
    }
}

//! The answers of capabilities as JSON.

use serde_json::{Value, json};

use super::OnTape;
use crate::bindings::portcullis::host::credentials::{PasswordCheck, VerifiedToken};
use crate::bindings::portcullis::host::http::Response;
use crate::bindings::portcullis::host::key_value::KeyPage;

/// Bytes: as text where they are one, else in hexadecimal.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

pub(crate) fn read_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(fields) => unhex(fields.get("hex")?.as_str()?),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

/// About how many bytes a value has.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + weight(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

impl OnTape for () {
    fn write(&self) -> Value {
        Value::Null
    }

    fn read(value: &Value) -> Option<Self> {
        value.is_null().then_some(())
    }
}

impl OnTape for bool {
    fn write(&self) -> Value {
        json!(self)
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl OnTape for u64 {
    fn write(&self) -> Value {
        json!(self)
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl OnTape for i64 {
    fn write(&self) -> Value {
        json!(self)
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_i64()
    }
}

/// `null` for none.
impl OnTape for Option<Vec<u8>> {
    fn write(&self) -> Value {
        self.as_deref().map_or(Value::Null, bytes)
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => read_bytes(value).map(Some),
        }
    }
}

/// `{"error": ...}` for a sentence in place of bytes.
impl OnTape for Result<Vec<u8>, String> {
    fn write(&self) -> Value {
        match self {
            Ok(all) => bytes(all),
            Err(why) => json!({ "error": why }),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value["error"].as_str() {
            Some(why) => Some(Err(why.to_owned())),
            None => read_bytes(value).map(Ok),
        }
    }
}

impl OnTape for PasswordCheck {
    fn write(&self) -> Value {
        json!(match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::UnsupportedHash => "unsupported-hash",
            Self::Busy => "busy",
        })
    }

    fn read(value: &Value) -> Option<Self> {
        let known = [Self::Match, Self::Mismatch, Self::UnsupportedHash, Self::Busy];
        known.into_iter().find(|check| check.write() == *value)
    }
}

impl OnTape for VerifiedToken {
    fn write(&self) -> Value {
        let Self { claims, flattened, subject, valid_for_ms } = self;
        json!({ "claims": claims, "flattened": flattened, "subject": subject, "valid_for_ms": valid_for_ms })
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = |value: &Value| value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
        let claim = |value: &Value| Some((text(value.get(0)?)?, texts(value.get(1)?)?));
        Some(Self {
            claims: text(&value["claims"])?,
            flattened: value["flattened"].as_array()?.iter().map(claim).collect::<Option<_>>()?,
            subject: text(&value["subject"]),
            valid_for_ms: value["valid_for_ms"].as_u64(),
        })
    }
}

impl OnTape for KeyPage {
    fn write(&self) -> Value {
        json!({ "keys": self.keys, "more": self.more })
    }

    fn read(value: &Value) -> Option<Self> {
        let keys = value["keys"].as_array()?.iter().map(|key| key.as_str().map(str::to_owned));
        Some(Self { keys: keys.collect::<Option<_>>()?, more: value["more"].as_bool()? })
    }
}

impl OnTape for Response {
    fn write(&self) -> Value {
        json!({ "status": self.status, "headers": self.headers, "body": bytes(&self.body) })
    }

    fn read(value: &Value) -> Option<Self> {
        let header = |value: &Value| match value.as_array().map(Vec::as_slice) {
            Some([Value::String(name), Value::String(value)]) => {
                Some((name.clone(), value.clone()))
            }
            _ => None,
        };
        Some(Self {
            status: value["status"].as_u64()?.try_into().ok()?,
            headers: value["headers"].as_array()?.iter().map(header).collect::<Option<_>>()?,
            body: read_bytes(&value["body"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::portcullis::gateway::broker::OrderError;
    use crate::bindings::portcullis::host::connections::ConnectionError;
    use crate::bindings::portcullis::host::credentials::TokenError;
    use crate::bindings::portcullis::host::key_value::StoreError;

    fn comes_back<R: OnTape + std::fmt::Debug>(value: &R) {
        let written = value.write();
        let read = R::read(&written);
        assert_eq!(format!("{read:?}"), format!("{:?}", Some(value)), "{written}");
    }

    #[test]
    fn every_answer_comes_back_from_the_tape() {
        comes_back(&());
        comes_back(&true);
        comes_back(&u64::MAX);
        comes_back(&i64::MIN);
        for some in [None, Some(vec![]), Some(b"text".to_vec()), Some(vec![0xFF, 0])] {
            comes_back(&some);
        }
        comes_back(&Ok::<_, String>(vec![0x80, 0x7F]));
        comes_back(&Err::<Vec<u8>, _>("no".to_owned()));
        for check in [
            PasswordCheck::Match,
            PasswordCheck::Mismatch,
            PasswordCheck::UnsupportedHash,
            PasswordCheck::Busy,
        ] {
            comes_back(&check);
        }
        let verified = VerifiedToken {
            claims: "{\"sub\":\"a\"}".to_owned(),
            flattened: vec![("sub".to_owned(), vec!["a".to_owned()]), ("n".to_owned(), vec![])],
            subject: None,
            valid_for_ms: Some(7),
        };
        comes_back(&Ok::<_, TokenError>(verified));
        let why = || "why".to_owned();
        for error in [
            TokenError::UnknownKeySet,
            TokenError::Malformed(why()),
            TokenError::Wrong(why()),
            TokenError::Expired(why()),
            TokenError::NotYetValid(why()),
            TokenError::Unavailable(why()),
            TokenError::Other(("later".to_owned(), why())),
        ] {
            comes_back(&Err::<VerifiedToken, _>(error));
        }
    }

    #[test]
    fn what_came_from_outside_comes_back_from_the_tape() {
        let why = || "why".to_owned();
        comes_back(&KeyPage { keys: vec!["a".to_owned(), "b/c".to_owned()], more: true });
        let headers = vec![("set-cookie".to_owned(), "a=b".to_owned()), ("x".to_owned(), why())];
        let response =
            |body: &[u8]| Response { status: 404, headers: headers.clone(), body: body.to_vec() };
        comes_back(&Ok::<_, ConnectionError>(response(b"{\"active\": true}")));
        comes_back(&Ok::<_, ConnectionError>(response(&[0xFF, 0])));
        for error in [
            ConnectionError::UnknownConnection,
            ConnectionError::Invalid(why()),
            ConnectionError::Timeout(why()),
            ConnectionError::Unreachable(why()),
            ConnectionError::Tls(why()),
            ConnectionError::TooLarge(why()),
            ConnectionError::Busy(why()),
            ConnectionError::Protocol(why()),
            ConnectionError::Other(("later".to_owned(), why())),
        ] {
            comes_back(&Err::<Response, _>(error));
        }
        comes_back(&Ok::<(), StoreError>(()));
        comes_back(&Ok::<bool, StoreError>(false));
        comes_back(&Ok::<i64, StoreError>(-7));
        for error in [
            StoreError::Invalid(why()),
            StoreError::QuotaExceeded(why()),
            StoreError::Unavailable(why()),
            StoreError::Other(("later".to_owned(), why())),
        ] {
            comes_back(&Err::<bool, _>(error));
        }
        for error in [
            OrderError::NotGranted(why()),
            OrderError::Invalid(why()),
            OrderError::Busy(why()),
            OrderError::Other(("later".to_owned(), why())),
        ] {
            comes_back(&Err::<(), _>(error));
        }
    }

    #[test]
    fn what_was_not_written_is_not_read() {
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
        assert!(u64::read(&json!("1")).is_none() && PasswordCheck::read(&json!("maybe")).is_none());
        assert!(Result::<VerifiedToken, TokenError>::read(&json!({"claims": 1})).is_none());
    }
}

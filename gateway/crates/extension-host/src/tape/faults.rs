//! The errors of capabilities as JSON: `{"error": [NAME, WHY]}`.

use serde_json::{Value, json};

use super::OnTape;
use crate::bindings::portcullis::gateway::broker::OrderError;
use crate::bindings::portcullis::host::connections::ConnectionError;
use crate::bindings::portcullis::host::credentials::TokenError;
use crate::bindings::portcullis::host::key_value::StoreError;

/// An error of the contract: a name that says which, and a sentence.
pub(super) trait Fault: Sized {
    fn parts(&self) -> (&str, &str);
    fn of(name: &str, why: String) -> Self;
}

macro_rules! fault {
    ($error:ident: $($name:literal = $case:ident),* $(; $bare_name:literal = $bare:ident)?) => {
        impl Fault for $error {
            fn parts(&self) -> (&str, &str) {
                match self {
                    $(Self::$case(why) => ($name, why),)*
                    $(Self::$bare => ($bare_name, ""),)?
                    Self::Other((name, why)) => (name, why),
                }
            }

            fn of(name: &str, why: String) -> Self {
                match name {
                    $($name => Self::$case(why),)*
                    $($bare_name => Self::$bare,)?
                    other => Self::Other((other.to_owned(), why)),
                }
            }
        }
    };
}

fault!(TokenError: "malformed" = Malformed, "wrong" = Wrong, "expired" = Expired, "not-yet-valid" = NotYetValid,
    "unavailable" = Unavailable; "unknown-key-set" = UnknownKeySet);
fault!(StoreError: "invalid" = Invalid, "quota-exceeded" = QuotaExceeded, "unavailable" = Unavailable);
fault!(ConnectionError: "invalid" = Invalid, "timeout" = Timeout, "unreachable" = Unreachable, "tls" = Tls,
    "too-large" = TooLarge, "busy" = Busy, "protocol" = Protocol; "unknown-connection" = UnknownConnection);
fault!(OrderError: "not-granted" = NotGranted, "invalid" = Invalid, "busy" = Busy);

impl<T: OnTape, E: Fault> OnTape for Result<T, E> {
    fn write(&self) -> Value {
        match self {
            Ok(answer) => answer.write(),
            Err(error) => {
                let (name, why) = error.parts();
                json!({ "error": [name, why] })
            }
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value["error"].as_array().map(Vec::as_slice) {
            Some([name, why]) => Some(Err(E::of(name.as_str()?, why.as_str()?.to_owned()))),
            Some(_) => None,
            None => T::read(value).map(Ok),
        }
    }
}

//! Requests to the servers that the operator grants, `[extensions.NAME.connections.CONN]`. Needs the grant `http`.
//!
//! ```no_run
//! use portcullis_extension::{HookError, http};
//!
//! fn is_known(device: &str) -> Result<bool, HookError> {
//!     let path = format!("/devices/{}", http::encode(device));
//!     Ok(http::send("inventory", http::Request::get(path))?.status == 200)
//! }
//! ```

use std::fmt::Write as _;

use crate::HookError;
pub use crate::bindings::portcullis::host::connections::ConnectionError;
use crate::bindings::portcullis::host::http as host;
pub use host::{Request, Response};

/// Sends a request and waits for the whole answer; any status is one.
///
/// # Errors
/// Why there is no answer.
pub fn send(connection: &str, request: Request) -> Result<Response, ConnectionError> {
    host::send(connection, &request)
}

/// Percent-encodes all but letters, digits, `-`, `.`, `_` and `~`, so that a text stays one segment of a path, or one
/// value of a query, whatever a client has put into it. Of a text that is `.` or `..` the dots too, which the gateway
/// refuses in a path.
#[must_use]
pub fn encode(text: &str) -> String {
    let dots = matches!(text, "." | "..");
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !dots) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl Request {
    /// A GET of a path, which begins with `/`.
    pub fn get(path: impl Into<String>) -> Self {
        let (method, headers, body) = ("GET".to_owned(), Vec::new(), Vec::new());
        Self { method, path: path.into(), headers, body }
    }

    /// A POST to a path, which begins with `/`.
    pub fn post(path: impl Into<String>, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { method: "POST".to_owned(), headers, body: body.into(), ..Self::get(path) }
    }

    /// Says one thing more in a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Response {
    /// The first value of a header, whose name is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl ConnectionError {
    /// A sentence for the log.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::UnknownConnection => {
                "the connection is not granted; add [extensions.NAME.connections.CONN] to gateway.toml"
            }
            Self::Invalid(why)
            | Self::Timeout(why)
            | Self::Unreachable(why)
            | Self::Tls(why)
            | Self::TooLarge(why)
            | Self::Busy(why)
            | Self::Protocol(why)
            | Self::Other((_, why)) => why,
        }
    }
}

/// What a hook answers that cannot go on without it.
impl From<ConnectionError> for HookError {
    fn from(error: ConnectionError) -> Self {
        let why = error.why().to_owned();
        match error {
            ConnectionError::UnknownConnection | ConnectionError::Invalid(_) => Self::Internal(why),
            _ => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_stays_one_segment() {
        for (text, encoded) in [
            ("sensor-1.a_b~c", "sensor-1.a_b~c"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("..", "%2E%2E"),
            ("100 %", "100%20%25"),
            ("ä\r\n", "%C3%A4%0D%0A"),
        ] {
            assert_eq!(encode(text), encoded);
        }
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        let why = || "why".to_owned();
        for error in [ConnectionError::Timeout(why()), ConnectionError::Other((why(), why()))] {
            assert_eq!(HookError::from(error), HookError::Unavailable(why()));
        }
        let internal = HookError::from(ConnectionError::UnknownConnection);
        assert!(matches!(internal, HookError::Internal(why) if why.contains("connections")));
    }
}

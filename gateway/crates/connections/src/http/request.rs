use ureq::http::request::Builder;

use super::{HttpFailure, HttpSettings, path};

/// Headers that a request may have of its own.
pub const MAX_HEADERS: usize = 64;
/// Bytes of their names and values together.
pub const MAX_HEADER_BYTES: usize = 16 << 10;
/// Bytes of a body.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Bytes of a path with its query.
const MAX_PATH_BYTES: usize = 8 << 10;

/// Each method, and whether a request with it may have a body.
const METHODS: [(&str, bool); 7] = [
    ("GET", false),
    ("HEAD", false),
    ("POST", true),
    ("PUT", true),
    ("PATCH", true),
    ("DELETE", false),
    ("OPTIONS", false),
];

/// Headers that say how the request travels, which is nobody else's business.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is asked of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// One of the usual ones, in capitals.
    pub method: String,
    /// What follows the address: `/...`, perhaps with a query.
    pub path: String,
    /// Beside those of the settings.
    pub headers: Vec<(String, String)>,
    /// For POST, PUT and PATCH only.
    pub body: Vec<u8>,
}

/// Whether a header can be called so (RFC 9110, 5.1).
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether a header can say this: printable ASCII, blanks and tabs.
#[must_use]
pub fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

/// Whether a header of this name is about the transfer.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

impl HttpRequest {
    /// Whether a request of its method has a body, if only an empty one.
    pub(super) fn takes_body(&self) -> bool {
        METHODS.iter().any(|(method, has_body)| *method == self.method && *has_body)
    }

    /// The head of the request below the address of `settings`, if it may be sent.
    pub(super) fn head(&self, settings: &HttpSettings) -> Result<Builder, HttpFailure> {
        self.check(settings.headers.iter().map(|(name, _)| &**name))?;
        let mut head = Builder::new().method(&*self.method).uri(settings.base.clone() + &self.path);
        for (name, value) in settings.headers.iter().chain(&self.headers) {
            head = head.header(name, value);
        }
        Ok(head)
    }

    /// Whether the request may be sent to a server whose grant sets headers of these names.
    ///
    /// # Errors
    /// [`HttpFailure::Invalid`] with what is wrong with it.
    pub fn check<'a>(
        &self,
        granted: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), HttpFailure> {
        let invalid = |why: String| Err(HttpFailure::Invalid(why));
        let method = METHODS.iter().find(|(method, _)| *method == self.method);
        let Some((method, has_body)) = method else {
            let known = METHODS.map(|(method, _)| method).join(", ");
            return invalid(format!("the method is none of {known}"));
        };
        if !has_body && !self.body.is_empty() {
            return invalid(format!("a {method} request has no body"));
        }
        let bytes = self.body.len();
        if bytes > MAX_BODY_BYTES {
            return invalid(format!(
                "the body has {bytes} bytes, at most {MAX_BODY_BYTES} are sent"
            ));
        }
        if self.path.len() > MAX_PATH_BYTES {
            let bytes = self.path.len();
            return invalid(format!(
                "the path has {bytes} bytes, at most {MAX_PATH_BYTES} are sent"
            ));
        }
        if let Err(why) = path::check(&self.path) {
            // A query may hold what is not to be in a log.
            let path = self.path.split('?').next().unwrap_or_default();
            return invalid(format!("the path {path:?} {why}"));
        }
        self.check_headers(granted)
    }

    fn check_headers<'a>(
        &self,
        granted: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), HttpFailure> {
        let invalid = |why: String| Err(HttpFailure::Invalid(why));
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            let count = self.headers.len();
            return invalid(format!(
                "there are {count} headers of {bytes} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES} \
                 are sent"
            ));
        }
        for (name, value) in &self.headers {
            if !is_header_name(name) {
                return invalid(format!("{name:?} is no name of a header"));
            }
            if !is_header_value(value) {
                return invalid(format!("header {name:?} has a value that is not printable ASCII"));
            }
            if is_reserved_header(name) {
                return invalid(format!("header {name:?} is set by the gateway"));
            }
            if granted.clone().any(|granted| granted.eq_ignore_ascii_case(name)) {
                return invalid(format!("header {name:?} is set by the operator's grant"));
            }
        }
        Ok(())
    }
}

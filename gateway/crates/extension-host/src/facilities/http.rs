use std::fmt;
use std::time::Duration;

/// A server elsewhere that speaks HTTP, under a name in the operator's grant.
pub trait HttpConnection: fmt::Debug + Send + Sync {
    /// Sends a request and returns with the whole answer, after `wait` at the latest. It checks the request against the
    /// contract and the grant.
    ///
    /// # Errors
    /// Why there is no answer.
    fn send(&self, request: HttpRequest, wait: Duration) -> Result<HttpResponse, HttpFault>;
}

/// What a guest asks of a server, unchecked.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// What follows the address of the connection.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Shows what can be shown: neither query, headers nor body.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("path", &path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer, each with a sentence without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// The request may not be sent.
    Invalid(String),
    /// There was no whole answer in time.
    Timeout(String),
    /// Nobody answers there.
    Unreachable(String),
    /// The server is not the one that it should be.
    Tls(String),
    /// The answer is larger than may be.
    TooLarge(String),
    /// As many requests are under way as may be.
    Busy(String),
    /// The server does not speak HTTP.
    Protocol(String),
}

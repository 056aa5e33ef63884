//! Whoever asks.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::error::ClientError;
use crate::request::Method;

/// Bytes of an answer that are read at most. Answers come from a program that is trusted; this only keeps the memory
/// of this one.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Asks the program that holds a socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    time: Duration,
}

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status of HTTP.
    pub status: u16,
    /// What was said.
    pub text: String,
}

impl Client {
    /// Asks nothing yet. `time` is for a whole question with its answer.
    pub fn new(path: &Path, time: Duration) -> Self {
        Self { path: path.to_owned(), time }
    }

    /// Asks one question: `path` begins with a slash and is encoded ([`segment`]). Blocks, no longer than the client's
    /// time. Must not be called in a runtime of tokio.
    ///
    /// # Errors
    /// If there is no answer. One that says no is a [`Reply`].
    pub fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.broken(error))?;
        let asked = async { tokio::time::timeout(self.time, self.ask(method, path, body)).await };
        runtime.block_on(asked).unwrap_or(Err(ClientError::TimedOut { limit: self.time }))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ClientError> {
        let request = hyper::Request::builder()
            .method(method.name())
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())));
        let request = request.map_err(|error| self.broken(error))?;
        let stream =
            UnixStream::connect(&self.path).await.map_err(|error| self.unreachable(&error))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.broken(error))?;
        // What it has to say is said to the sender as well.
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        connection.abort();
        let bytes = read.map_err(|error| match error.is::<LengthLimitError>() {
            true => self.broken(format!("it has more than {ANSWER_BYTES_MAX} bytes")),
            false => self.broken(error),
        })?;
        let text = String::from_utf8(bytes.to_bytes().into());
        Ok(Reply { status, text: text.map_err(|_| self.broken("it is not text in UTF-8"))? })
    }

    fn unreachable(&self, error: &io::Error) -> ClientError {
        let path = self.path.clone();
        match error.kind() {
            ErrorKind::NotFound => ClientError::Missing { path },
            ErrorKind::ConnectionRefused => ClientError::NobodyListens { path },
            ErrorKind::PermissionDenied => ClientError::Forbidden { path },
            _ => self.broken(error),
        }
    }

    fn broken(&self, why: impl ToString) -> ClientError {
        ClientError::Broken { path: self.path.clone(), why: why.to_string() }
    }
}

/// A text as one part of a path, or as a value of a query.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::path_of;

    #[test]
    fn every_text_comes_back_from_a_segment() {
        for text in ["plain", "a/b", "..", "100 %", "ä?x=1&#", "\u{0}\n"] {
            let path = path_of(&format!("/v1/{}", segment(text))).unwrap();
            assert_eq!(path, ["v1", text]);
        }
    }
}

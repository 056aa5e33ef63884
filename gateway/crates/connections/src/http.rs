//! Many requests to one server, below one address.

mod failure;
mod path;
mod request;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody, Body, http};

use crate::authorities;
use crate::error::FetchError;

pub use failure::HttpFailure;
pub use request::{
    HttpRequest, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, is_header_name, is_header_value,
    is_reserved_header,
};

/// Bytes of the head of an answer at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection that nobody uses is kept. Servers close theirs after five seconds to a few minutes; one that is
/// closed is noticed before it is used.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Where requests go, and what they may cost.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// `https://HOST/PATH` without query; with `http://` nobody vouches for the server. Requests go below it.
    pub base: String,
    /// PEM file with the authorities that vouch for the server, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// What is sent with every request, in place of what the request says. May hold secrets.
    pub headers: Vec<(String, String)>,
    /// Time for a request, from the look-up of the name to the last byte of the answer.
    pub time: Duration,
    /// Time of that to be connected.
    pub connect_time: Duration,
    /// Requests at a time.
    pub max_concurrent: usize,
    /// Bytes of the body of an answer at most.
    pub max_bytes: u64,
}

/// Leaves out what headers say.
impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("base", &self.base)
            .field("authorities", &self.authorities)
            .field("header_names", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("time", &self.time)
            .field("connect_time", &self.connect_time)
            .field("max_concurrent", &self.max_concurrent)
            .field("max_bytes", &self.max_bytes)
            .finish()
    }
}

/// A server, with connections to it that are kept.
pub struct HttpConnection {
    agent: Agent,
    settings: HttpSettings,
    under_way: AtomicUsize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, whatever it is.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request's place among those that are under way.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HttpConnection {
    /// Reads the authorities, and connects to nothing yet.
    ///
    /// # Errors
    /// If there are none that can be used.
    pub fn new(mut settings: HttpSettings) -> Result<Self, FetchError> {
        settings.base.truncate(settings.base.trim_end_matches('/').len());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = match settings.base.starts_with("https:") {
            true => tls.root_certs(authorities::read(settings.authorities.as_deref())?),
            false => tls,
        };
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_connect(Some(settings.connect_time))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_connections(settings.max_concurrent)
            .max_idle_connections_per_host(settings.max_concurrent)
            .max_idle_age(IDLE_MAX)
            // What leads elsewhere is written in the configuration or nowhere.
            .proxy(None)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), settings, under_way: AtomicUsize::new(0) })
    }

    /// Sends a request and reads the answer. Blocks, no longer than the settings say and no longer than `wait`.
    ///
    /// # Errors
    /// If there is no answer, or none within the limits.
    pub fn send(&self, request: &HttpRequest, wait: Duration) -> Result<HttpResponse, HttpFailure> {
        let time = self.settings.time.min(wait);
        if time.is_zero() {
            return Err(HttpFailure::Timeout { limit: time });
        }
        let head = request.head(&self.settings)?;
        let _place = self.enter()?;
        let no_request = |error| HttpFailure::Invalid(format!("it is no request: {error}"));
        let answer = if request.takes_body() {
            self.run(head.body(request.body.as_slice()).map_err(no_request)?, time)
        } else {
            self.run(head.body(()).map_err(no_request)?, time)
        };
        let failed = |error: &ureq::Error| HttpFailure::of(error, time);
        let answer = answer.map_err(|error| failed(&error))?;
        self.read(answer, failed)
    }

    fn run<B: AsSendBody>(
        &self,
        request: http::Request<B>,
        time: Duration,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let timed = self.agent.configure_request(request).timeout_global(Some(time)).build();
        self.agent.run(timed)
    }

    fn read(
        &self,
        mut answer: http::Response<Body>,
        failed: impl Fn(&ureq::Error) -> HttpFailure,
    ) -> Result<HttpResponse, HttpFailure> {
        let limit = self.settings.max_bytes;
        let mut body = Vec::new();
        // One more than allowed tells that there are more.
        let read =
            answer.body_mut().as_reader().take(limit.saturating_add(1)).read_to_end(&mut body);
        read.map_err(|error| failed(&ureq::Error::from(error)))?;
        if body.len() as u64 > limit {
            return Err(HttpFailure::TooLarge { limit });
        }
        let headers = answer.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        Ok(HttpResponse { status: answer.status().as_u16(), headers, body })
    }

    fn enter(&self) -> Result<Place<'_>, HttpFailure> {
        let limit = self.settings.max_concurrent;
        if self.under_way.fetch_add(1, Ordering::SeqCst) >= limit {
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            return Err(HttpFailure::Busy { limit });
        }
        Ok(Place(&self.under_way))
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpConnection").field(&self.settings).finish()
    }
}

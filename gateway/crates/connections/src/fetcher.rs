//! One document of one server.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::TlsConfig;
use ureq::{Agent, Error};

use crate::authorities;
use crate::error::FetchError;

/// Bytes of the head of an answer at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What is fetched, and what that may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `https://...`; with `http://` nobody vouches for the server.
    pub url: String,
    /// PEM file with the authorities that vouch for the server, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Time for all of it, from the look-up of the name to the last byte.
    pub time: Duration,
    /// Bytes of the document at most.
    pub max_bytes: u64,
}

/// Gets one document.
pub struct Fetcher {
    agent: Agent,
    settings: Settings,
}

impl Fetcher {
    /// Reads the authorities, and fetches nothing yet.
    ///
    /// # Errors
    /// If there are none that can be used.
    pub fn new(settings: Settings) -> Result<Self, FetchError> {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = match settings.url.starts_with("https:") {
            true => tls.root_certs(authorities::read(settings.authorities.as_deref())?),
            false => tls,
        };
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(settings.time))
            .max_redirects(0)
            .http_status_as_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            // A fetch is hours from the next, and the server would have closed the connection.
            .max_idle_connections(0)
            // What leads elsewhere is written in the configuration or nowhere.
            .proxy(None)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), settings })
    }

    /// Gets the document. Blocks, no longer than the settings say.
    ///
    /// # Errors
    /// If it cannot be had whole, within its limits, from the server that was asked for.
    pub fn get(&self) -> Result<String, FetchError> {
        let answer = self.agent.get(&self.settings.url).header("accept", "application/json").call();
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        match answer.status().as_u16() {
            200 => {}
            status @ 300..400 => return Err(FetchError::Redirect { status }),
            status => return Err(FetchError::Status(status)),
        }
        let limit = self.settings.max_bytes;
        let mut bytes = Vec::new();
        // One more than allowed tells that there are more.
        let read =
            answer.body_mut().as_reader().take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(&Error::from(error)))?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLong { limit });
        }
        String::from_utf8(bytes).map_err(|_| FetchError::NotText)
    }

    fn failed(&self, error: &Error) -> FetchError {
        match error {
            Error::Timeout(_) => FetchError::TimedOut { limit: self.settings.time },
            Error::HostNotFound => {
                FetchError::Unreachable("the name of the server is not known".to_owned())
            }
            other => FetchError::Unreachable(format!("the server cannot be reached ({other})")),
        }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fetcher").field(&self.settings).finish()
    }
}

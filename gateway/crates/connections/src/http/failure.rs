use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use ureq::Error;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The request is outside of what may be sent; nothing was.
    Invalid(String),
    /// It was not there in time.
    Timeout {
        /// The time that there was.
        limit: Duration,
    },
    /// Nobody answers there, or not to the end.
    Unreachable(String),
    /// The server is not the one that it should be.
    Tls(String),
    /// The answer is larger than what is read.
    TooLarge {
        /// Bytes that are read.
        limit: u64,
    },
    /// As many requests are under way as may be.
    Busy {
        /// How many.
        limit: usize,
    },
    /// The server does not speak HTTP.
    Protocol(String),
}

impl HttpFailure {
    pub(super) fn of(error: &Error, limit: Duration) -> Self {
        match error {
            Error::Timeout(_) => Self::Timeout { limit },
            Error::HostNotFound => Self::Unreachable("the name of the server is not known".into()),
            Error::Io(error) => Self::of_io(error, limit),
            Error::Tls(why) => Self::Tls((*why).to_owned()),
            Error::Rustls(error) => Self::Tls(error.to_string()),
            Error::Protocol(error) => Self::Protocol(error.to_string()),
            Error::ConnectionFailed => Self::Unreachable("it cannot be connected to".into()),
            Error::LargeResponseHeader(bytes, most) => Self::Protocol(format!(
                "the head of the answer has {bytes} bytes, at most {most} are read"
            )),
            other => Self::Protocol(other.to_string()),
        }
    }

    /// What TLS has to say comes in an error of the socket.
    fn of_io(error: &io::Error, limit: Duration) -> Self {
        let inner = error.get_ref();
        if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
            return Self::of(inner, limit);
        }
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(tls.to_string());
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout { limit },
            _ => Self::Unreachable(match error.source() {
                Some(source) => format!("{error} ({source})"),
                None => error.to_string(),
            }),
        }
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => f.write_str(why),
            Self::Timeout { limit } => {
                write!(f, "there was no whole answer within {} ms", limit.as_millis())
            }
            Self::Unreachable(why) => write!(f, "the server does not answer: {why}"),
            Self::Tls(why) => write!(f, "no encrypted connection to the server: {why}"),
            Self::TooLarge { limit } => write!(f, "the answer has more than {limit} bytes"),
            Self::Busy { limit } => {
                write!(f, "{limit} requests are under way, as many as may be")
            }
            Self::Protocol(why) => write!(f, "what the server sends is no HTTP: {why}"),
        }
    }
}

impl std::error::Error for HttpFailure {}

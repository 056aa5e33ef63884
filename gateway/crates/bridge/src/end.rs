use std::fmt;

use mqtt::{DecodeError, ReasonCode};

/// Why a relay is over. What was on its way comes again over the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Upstream does not speak this version of MQTT.
    UnsupportedVersion,
    /// Upstream closed the connection instead of answering CONNECT, as some brokers do that do not speak this version of MQTT.
    Unanswered,
    /// Upstream answered CONNECT with an error.
    Refused {
        /// What it said.
        code: ReasonCode,
        /// In words, if it had any.
        reason: Option<String>,
    },
    /// Upstream ended the connection with DISCONNECT.
    Disconnected {
        /// What it said.
        code: ReasonCode,
        /// In words, if it had any.
        reason: Option<String>,
    },
    /// Upstream sent something that is no packet.
    Broken(DecodeError),
    /// Upstream sent a packet that nobody asked for, or a wrong one.
    Unexpected(String),
    /// Upstream did not answer in time.
    Silent(&'static str),
    /// Upstream keeps the connection, and so many probes in a row did not come back.
    NotRouted {
        /// How many.
        missing: u32,
    },
    /// The local broker ended the conversation, or broke it.
    Local(String),
    /// A message has to come again, so that it can be set aside.
    Again(&'static str),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion => f.write_str("upstream does not speak this version of MQTT"),
            Self::Unanswered => {
                f.write_str("upstream closed the connection without an answer to CONNECT")
            }
            Self::Refused { code, reason } => {
                write!(f, "upstream refused the connection with 0x{:02X} ({code})", code.as_u8())?;
                words(f, reason.as_deref())
            }
            Self::Disconnected { code, reason } => {
                write!(f, "upstream ended the connection with 0x{:02X} ({code})", code.as_u8())?;
                words(f, reason.as_deref())
            }
            Self::Broken(error) => write!(f, "upstream sent what is not MQTT: {error}"),
            Self::Unexpected(what) => write!(f, "upstream sent {what}"),
            Self::Silent(what) => write!(f, "upstream did not answer {what} in time"),
            Self::NotRouted { missing } => {
                write!(f, "upstream answers but routes nothing: {missing} probes did not come back")
            }
            Self::Local(why) => write!(f, "the local conversation ended: {why}"),
            Self::Again(why) => f.write_str(why),
        }
    }
}

/// What upstream says about itself is others' text: as much of it as a line holds.
fn words(f: &mut fmt::Formatter<'_>, reason: Option<&str>) -> fmt::Result {
    const WORDS_MAX: usize = 200;
    match reason {
        Some(reason) => {
            let end = reason.floor_char_boundary(WORDS_MAX);
            write!(f, ": {:?}", reason.get(..end).unwrap_or_default())
        }
        None => Ok(()),
    }
}

//! What is asked of a private authority, and what it has done.

use std::path::PathBuf;

/// What may be said of a certificate that is to be issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// For how many days it is to be valid; `None` for 825. It never outlasts the authority.
    pub days: Option<u32>,
    /// The certificate's file is `<out>.pem` and the key's `<out>.key`; `None` for files beside the
    /// authority that are called after the name.
    pub out: Option<PathBuf>,
    /// Whether files that exist are replaced.
    pub force: bool,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be presented by a server.
    Server,
    /// To be presented by a client.
    Client,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, followed by the authority's.
    pub cert: PathBuf,
    /// The private key, if it was made here.
    pub key: Option<PathBuf>,
    /// Subject, such as `CN=pump-7`.
    pub subject: String,
    /// Names that it holds.
    pub names: Vec<String>,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// When it ends, in seconds since 1970 UTC.
    pub not_after_unix_s: u64,
}

/// A revocation list that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The file.
    pub path: PathBuf,
    /// Its number, larger than that of every list before.
    pub number: u64,
    /// When the next is due, in seconds since 1970 UTC.
    pub next_update_unix_s: u64,
    /// How many certificates it names.
    pub revoked: usize,
}

/// Why a certificate is revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not said.
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// The certificate was replaced.
    Superseded,
    /// The device is no more.
    CessationOfOperation,
}

impl Reason {
    /// All, by the names that people write.
    pub const ALL: [(&'static str, Self); 4] = [
        ("unspecified", Self::Unspecified),
        ("key-compromise", Self::KeyCompromise),
        ("superseded", Self::Superseded),
        ("cessation-of-operation", Self::CessationOfOperation),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, reason)| *reason == self).map_or("unspecified", |(name, _)| name)
    }

    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
    }

    pub(super) fn code(self) -> rcgen::RevocationReason {
        match self {
            Self::Unspecified => rcgen::RevocationReason::Unspecified,
            Self::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
            Self::Superseded => rcgen::RevocationReason::Superseded,
            Self::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        }
    }
}

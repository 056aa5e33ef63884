//! What a listener relies on that ends some time.

use std::path::{Path, PathBuf};

use crate::identity::Certificate;

/// A certificate or a revocation list that a listener relies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it is.
    pub kind: CredentialKind,
    /// The configuration key that names its file, such as `tls.cert`.
    pub setting: String,
    /// The file that it was read from.
    pub path: PathBuf,
    /// The subject of a certificate, the issuer of a list.
    pub subject: String,
    /// The names that a server certificate holds: DNS names and IP addresses.
    pub names: Vec<String>,
    /// When it begins, in seconds since 1970 UTC: of a list, when it was made (thisUpdate).
    pub not_before_unix_s: i64,
    /// When it ends, in seconds since 1970 UTC: the end of a certificate's validity, or when a list
    /// is to be replaced (nextUpdate). `None` for a list that does not say.
    pub not_after_unix_s: Option<i64>,
}

impl Credential {
    pub(crate) fn of_certificate(
        kind: CredentialKind,
        setting: &str,
        path: &Path,
        read: Certificate,
    ) -> Self {
        let names = match kind {
            CredentialKind::ServerCertificate => [read.san_dns, read.san_ip].concat(),
            _ => Vec::new(),
        };
        Self {
            kind,
            setting: setting.to_owned(),
            path: path.to_owned(),
            subject: read.subject,
            names,
            not_before_unix_s: i64::try_from(read.not_before_unix_s).unwrap_or(i64::MAX),
            not_after_unix_s: i64::try_from(read.not_after_unix_s).ok(),
        }
    }
}

/// What a [`Credential`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A certificate that the listener presents.
    ServerCertificate,
    /// An issuer's certificate that goes with it.
    ServerIssuer,
    /// An authority that client certificates must chain to.
    ClientCa,
    /// A revocation list.
    ClientCrl,
}

impl CredentialKind {
    /// A constant name, for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerCertificate => "server-certificate",
            Self::ServerIssuer => "server-issuer",
            Self::ClientCa => "client-ca",
            Self::ClientCrl => "client-crl",
        }
    }
}

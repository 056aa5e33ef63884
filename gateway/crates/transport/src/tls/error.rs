//! What goes wrong with TLS, and whose fault it is.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::{CertificateError as Refusal, Error as TlsError, InvalidMessage};

use crate::identity::CertificateError;
use crate::pem::FileError;
use crate::utc::utc;

/// Why the TLS settings of a listener cannot be used: the operator's to mend.
#[derive(Debug)]
pub enum TlsConfigError {
    /// A file cannot be read or is not PEM.
    File(FileError),
    /// A certificate cannot be used.
    Certificate {
        /// The configuration key that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The private key cannot be used.
    Key {
        /// The configuration key that names the file.
        setting: String,
        /// The file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The private key is another certificate's.
    KeyMismatch {
        /// What the two configuration keys have in common, such as `tls`.
        prefix: String,
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A server certificate is not valid now.
    NotValid {
        /// The configuration key that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
        /// When it begins to be valid, in seconds since 1970.
        from: u64,
        /// When it ends.
        to: u64,
        /// What the clock says.
        now: u64,
    },
    /// A certificate for clients that ask for its names holds none.
    Nameless {
        /// The configuration key that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
    },
    /// A revocation list cannot be used.
    RevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Revocation lists are named and clients are not asked for certificates.
    ClientCrlUnused {
        /// The first list's file.
        path: PathBuf,
    },
    /// Clients are to present certificates and no authority is named.
    ClientCaMissing,
    /// An authority is named and clients are not asked for certificates.
    ClientCaUnused {
        /// The authority's file.
        path: PathBuf,
    },
    /// The TLS library could not be set up on this machine.
    Library(String),
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Certificate { setting, path, reason } => write!(
                f,
                "{setting} {path:?} cannot be used ({reason}); it must hold X.509 version 3 certificates"
            ),
            Self::Key { setting, key, reason } => write!(
                f,
                "{setting} {key:?} cannot be used ({reason}); it must be an RSA, ECDSA P-256, P-384 or Ed25519 key"
            ),
            Self::KeyMismatch { prefix, cert, key } => write!(
                f,
                "{prefix}.key {key:?} does not belong to the first certificate of {prefix}.cert {cert:?}; name the key that the certificate was issued for, and put the server's certificate first"
            ),
            Self::NotValid { setting, path, from, to, now } => {
                let at = |seconds: &u64| utc(i64::try_from(*seconds).unwrap_or(i64::MAX));
                let wrong = if now > to { "has expired" } else { "is not valid yet" };
                write!(
                    f,
                    "{setting} {path:?} {wrong} (it is valid from {} to {}, the clock says {}); install one that is valid now, or set the clock",
                    at(from),
                    at(to),
                    at(now)
                )
            }
            Self::Nameless { setting, path } => write!(
                f,
                "{setting} {path:?} holds no DNS name among its alternative names, so no client could ask for it; name a certificate with at least one, or make it tls.cert, which needs none"
            ),
            Self::RevocationList { path, reason } => write!(
                f,
                "tls.client-crl {path:?} cannot be used ({reason}); it must hold complete X.509 revocation lists, each signed by the authority that it names"
            ),
            Self::ClientCrlUnused { path } => write!(
                f,
                "tls.client-crl {path:?} is set but tls.client-auth is \"none\", so no client would be checked against it; set tls.client-auth to \"optional\" or \"required\", or remove tls.client-crl"
            ),
            Self::ClientCaMissing => f.write_str(
                "tls.client-auth asks clients for certificates but tls.client-ca is not set; name the PEM file of the authority that issues them, or set tls.client-auth to \"none\"",
            ),
            Self::ClientCaUnused { path } => write!(
                f,
                "tls.client-ca {path:?} is set but tls.client-auth is \"none\", so no client would be checked against it; set tls.client-auth to \"optional\" or \"required\", or remove tls.client-ca"
            ),
            Self::Library(reason) => write!(f, "tls cannot be set up on this machine ({reason})"),
        }
    }
}

impl std::error::Error for TlsConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            _ => None,
        }
    }
}

impl TlsConfigError {
    /// Whether the reason may be that a file is being written, or that one of a pair was written
    /// and the other is about to be.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::File(_) | Self::KeyMismatch { .. })
    }
}

/// Why a connection did not come to be: the peer's doing, or the network's.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer closed the connection before the handshake was done.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// What arrived is not TLS.
    NotTls,
    /// Peer and settings share no protocol version, cipher suite or key exchange.
    Incompatible(String),
    /// The peer offers application protocols, none of them ours.
    NoCommonProtocol,
    /// The client has presented no certificate where one is required.
    NoClientCertificate,
    /// The client's certificate is refused.
    ClientCertificate(String),
    /// The verified certificate cannot be read.
    UnreadableCertificate(CertificateError),
    /// The peer has broken off with an alert, mostly because it does not trust our certificate.
    RefusedByPeer(String),
    /// The peer's handshake is larger than `HANDSHAKE_MAX` bytes.
    TooLarge,
    /// The peer has broken the TLS protocol.
    Protocol(String),
}

/// The most that a peer may make us hold of an unfinished handshake, in bytes: room for a client's
/// chain of certificates with the largest keys in use.
pub(crate) const HANDSHAKE_MAX: usize = 64 * 1024;

impl HandshakeError {
    /// A constant name of the cause, for metrics and log fields.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::NotTls => "not-tls",
            Self::Incompatible(_) => "incompatible",
            Self::NoCommonProtocol => "no-common-protocol",
            Self::NoClientCertificate => "no-client-certificate",
            Self::ClientCertificate(_) => "client-certificate",
            Self::UnreadableCertificate(_) => "unreadable-certificate",
            Self::RefusedByPeer(_) => "refused-by-peer",
            Self::TooLarge => "too-large",
            Self::Protocol(_) => "protocol",
        }
    }

    /// Sorts an error of the library by whose fault it is.
    pub(crate) fn of(cause: &TlsError) -> Self {
        match cause {
            TlsError::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            TlsError::PeerIncompatible(_) => Self::Incompatible(cause.to_string()),
            TlsError::NoApplicationProtocol => Self::NoCommonProtocol,
            TlsError::NoCertificatesPresented => Self::NoClientCertificate,
            TlsError::InvalidCertificate(refusal) => Self::ClientCertificate(reason(refusal)),
            TlsError::AlertReceived(alert) => Self::RefusedByPeer(format!("{alert:?}")),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("peer closed the connection during the tls handshake"),
            Self::Io(cause) => write!(f, "connection failed during the tls handshake ({cause})"),
            Self::NotTls => f.write_str(
                "peer does not speak tls on a tls listener; set it to use tls, or give it the port of a plain listener",
            ),
            Self::Incompatible(reason) => write!(
                f,
                "peer and listener have no tls version, cipher suite or key exchange in common ({reason}); update the peer, or lower tls.min-version"
            ),
            Self::NoCommonProtocol => f.write_str(
                "peer offers application protocols that this listener does not have; it must offer one of tls.alpn, or none",
            ),
            Self::NoClientCertificate => f.write_str(
                "client has no certificate and tls.client-auth is \"required\"; give it one that tls.client-ca has issued",
            ),
            Self::ClientCertificate(reason) => write!(
                f,
                "client certificate is refused ({reason}); it must be valid now, be meant for client authentication and chain to tls.client-ca"
            ),
            Self::UnreadableCertificate(cause) => {
                write!(f, "client {cause}; have it issued again")
            }
            Self::RefusedByPeer(alert) => write!(
                f,
                "peer broke off the tls handshake with alert {alert}; most often it does not trust the authority of tls.cert, or reached the server by a name that tls.cert does not hold"
            ),
            Self::TooLarge => write!(
                f,
                "peer sent more than {HANDSHAKE_MAX} bytes without completing the tls handshake; shorten its certificate chain"
            ),
            Self::Protocol(reason) => write!(f, "peer broke the tls protocol ({reason})"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            Self::UnreadableCertificate(cause) => Some(cause),
            _ => None,
        }
    }
}

fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Expired | Refusal::ExpiredContext { .. } => "it has expired".to_owned(),
        Refusal::NotValidYet | Refusal::NotValidYetContext { .. } => {
            "it is not valid yet: compare the clocks".to_owned()
        }
        Refusal::Revoked => "it has been revoked".to_owned(),
        Refusal::UnknownRevocationStatus => {
            "no list of tls.client-crl tells whether it has been revoked".to_owned()
        }
        Refusal::ExpiredRevocationList | Refusal::ExpiredRevocationListContext { .. } => {
            "the revocation list of its issuer is out of date".to_owned()
        }
        Refusal::UnknownIssuer => "its issuer is not known here".to_owned(),
        Refusal::BadSignature => "its signature is wrong".to_owned(),
        Refusal::InvalidPurpose | Refusal::InvalidPurposeContext { .. } => {
            "it is not meant for client authentication".to_owned()
        }
        other => other.to_string(),
    }
}

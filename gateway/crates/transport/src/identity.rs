//! Who is at the other end of a connection.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::address::Address;

/// What the transport knows about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Where the peer is.
    pub address: Address,
    /// What of this gateway the peer reached.
    pub local: Address,
    /// What carries the bytes.
    pub transport: TransportKind,
    /// The server name that the client asked for (SNI, RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The application protocol agreed on (ALPN, RFC 7301).
    pub alpn: Option<String>,
    /// `"1.2"` or `"1.3"`.
    pub tls_version: Option<&'static str>,
    /// The client's certificates in DER, leaf first. Not empty only if the chain was verified.
    pub certificates: Vec<Vec<u8>>,
    /// The first of `certificates`, read.
    pub leaf: Option<Certificate>,
}

impl PeerIdentity {
    /// What revocation lists would call the client's certificates, those excepted that vouch for
    /// themselves. Empty without a client certificate.
    #[must_use]
    pub fn certificate_keys(&self) -> Vec<CertificateKey> {
        self.certificates.iter().filter_map(|der| CertificateKey::of_certificate(der)).collect()
    }

    /// A peer of which only the addresses are known.
    #[must_use]
    pub fn at(address: Address, local: Address) -> Self {
        Self {
            address,
            local,
            transport: match local {
                Address::Network(_) => TransportKind::Tcp,
                Address::Unix(_) => TransportKind::Unix,
            },
            server_name: None,
            alpn: None,
            tls_version: None,
            certificates: Vec::new(),
            leaf: None,
        }
    }
}

/// What carries the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// TCP in the clear.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket, with or without TLS beneath it.
    WebSocket,
    /// A Unix socket.
    Unix,
}

impl TransportKind {
    /// `"tcp"`, `"tls"`, `"websocket"` or `"unix"`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::Unix => "unix",
        }
    }
}

/// The fields of an X.509 certificate (RFC 5280) by which policies tell clients apart.
///
/// Names come from the certificate as they are: only the chain has been verified, not what an
/// authority chose to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the DER, in lower-case hexadecimal.
    pub sha256: String,
    /// The subject's distinguished name, such as `CN=pump-7, O=Plant`.
    pub subject: String,
    /// The subject's first common name.
    pub common_name: Option<String>,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal, two digits a byte.
    pub serial: String,
    /// When it begins to be valid: seconds since 1970-01-01 UTC; 0 if before.
    pub not_before_unix_s: u64,
    /// When it ends to be valid: seconds since 1970-01-01 UTC; 0 if before.
    pub not_after_unix_s: u64,
    /// DNS names among the subject's alternative names.
    pub san_dns: Vec<String>,
    /// URIs among the subject's alternative names.
    pub san_uri: Vec<String>,
    /// Mail addresses among the subject's alternative names.
    pub san_email: Vec<String>,
    /// IP addresses among the subject's alternative names.
    pub san_ip: Vec<String>,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// If the bytes are not exactly one certificate, or its alternative names cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(CertificateError::of)?;
        if !rest.is_empty() {
            return Err(CertificateError { reason: format!("{} bytes follow it", rest.len()) });
        }
        let common_name = parsed
            .subject()
            .iter_common_name()
            .find_map(|name| name.as_str().ok().map(str::to_owned));
        let mut certificate = Self {
            sha256: hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref()),
            subject: parsed.subject().to_string(),
            common_name,
            issuer: parsed.issuer().to_string(),
            serial: hex(parsed.raw_serial()),
            not_before_unix_s: seconds(parsed.validity().not_before),
            not_after_unix_s: seconds(parsed.validity().not_after),
            san_dns: Vec::new(),
            san_uri: Vec::new(),
            san_email: Vec::new(),
            san_ip: Vec::new(),
        };
        if let Some(names) = parsed.subject_alternative_name().map_err(CertificateError::of)? {
            for name in &names.value.general_names {
                certificate.add_alternative_name(name);
            }
        }
        Ok(certificate)
    }

    fn add_alternative_name(&mut self, name: &GeneralName<'_>) {
        match *name {
            GeneralName::DNSName(dns) => self.san_dns.push(dns.to_owned()),
            GeneralName::URI(uri) => self.san_uri.push(uri.to_owned()),
            GeneralName::RFC822Name(mail) => self.san_email.push(mail.to_owned()),
            GeneralName::IPAddress(octets) => self.san_ip.extend(ip_text(octets)),
            // Of no use to a policy as text; the whole certificate is there in DER.
            _ => {}
        }
    }
}

/// What a certificate is called by in a revocation list: a digest of issuer and serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateKey([u8; 32]);

impl CertificateKey {
    /// Of an issuer's name in DER and a serial number, most significant byte first.
    #[must_use]
    pub fn of(issuer: &[u8], serial: &[u8]) -> Self {
        let start = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len());
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        // The length keeps a byte of the name from counting as one of the number.
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer);
        context.update(serial.get(start..).unwrap_or_default());
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }

    /// Of a certificate; `None` for one that is its own issuer, or that cannot be read.
    pub(crate) fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (issuer, subject) = (parsed.issuer().as_raw(), parsed.subject().as_raw());
        (issuer != subject).then(|| Self::of(issuer, parsed.raw_serial()))
    }
}

/// Why a certificate could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateError {
    reason: String,
}

impl CertificateError {
    fn of(cause: impl fmt::Display) -> Self {
        Self { reason: cause.to_string() }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate is not readable as X.509 ({})", self.reason)
    }
}

impl std::error::Error for CertificateError {}

fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}

fn ip_text(octets: &[u8]) -> Option<String> {
    let address = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    Some(address.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

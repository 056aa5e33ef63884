//! The certificates that the server presents, and which of them a client gets.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::identity::Certificate;
use crate::pem;
use crate::settings::TlsSettings;
use crate::tls::credential::{Credential, CredentialKind};
use crate::tls::error::TlsConfigError;

/// A certificate of the server with its key.
#[derive(Debug)]
pub(crate) struct Presented {
    /// The configuration key of the certificate, such as `tls.cert`.
    pub(crate) setting: String,
    pub(crate) leaf: Certificate,
    path: PathBuf,
    certified: Arc<CertifiedKey>,
    key_digest: Vec<u8>,
}

impl Presented {
    /// The one for all names, and then those for their own.
    pub(crate) fn load_all(
        settings: &TlsSettings,
        provider: &CryptoProvider,
    ) -> Result<Vec<Self>, TlsConfigError> {
        let mut all = vec![Self::load("tls", &settings.cert, &settings.key, provider)?];
        for (number, files) in (1..).zip(&settings.more) {
            let prefix = format!("tls.certificates[{number}]");
            let presented = Self::load(&prefix, &files.cert, &files.key, provider)?;
            if presented.leaf.san_dns.is_empty() {
                return Err(TlsConfigError::Nameless {
                    setting: presented.setting,
                    path: files.cert.clone(),
                });
            }
            all.push(presented);
        }
        Ok(all)
    }

    fn load(
        prefix: &str,
        cert: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsConfigError> {
        let (setting, key_setting) = (format!("{prefix}.cert"), format!("{prefix}.key"));
        let chain = pem::certificates(&setting, cert).map_err(TlsConfigError::File)?;
        let leaf = read_leaf(&setting, cert, &chain)?;
        let private = pem::private_key(&key_setting, key).map_err(TlsConfigError::File)?;
        let key_digest = digest(&SHA256, private.secret_der()).as_ref().to_vec();
        let certified =
            CertifiedKey::from_der(chain, private, provider).map_err(|cause| match cause {
                rustls::Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch {
                    prefix: prefix.to_owned(),
                    cert: cert.to_owned(),
                    key: key.to_owned(),
                },
                other => TlsConfigError::Key {
                    setting: key_setting,
                    key: key.to_owned(),
                    reason: other.to_string(),
                },
            })?;
        let path = cert.to_owned();
        Ok(Self { setting, leaf, path, certified: Arc::new(certified), key_digest })
    }

    pub(crate) fn check_validity(&self, now: SystemTime) -> Result<(), TlsConfigError> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (from, to) = (self.leaf.not_before_unix_s, self.leaf.not_after_unix_s);
        if (from..=to).contains(&now) {
            return Ok(());
        }
        Err(TlsConfigError::NotValid {
            setting: self.setting.clone(),
            path: self.path.clone(),
            from,
            to,
            now,
        })
    }

    /// Whether it is the same certificate, chain included, with the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert && self.key_digest == other.key_digest
    }

    /// The certificate, and those of its issuers that it comes with.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = Credential> + '_ {
        self.certified.cert.iter().enumerate().filter_map(|(at, der)| {
            let read = Certificate::from_der(der).ok()?;
            let kind = match at {
                0 => CredentialKind::ServerCertificate,
                _ => CredentialKind::ServerIssuer,
            };
            Some(Credential::of_certificate(kind, &self.setting, &self.path, read))
        })
    }
}

fn read_leaf(
    setting: &str,
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<Certificate, TlsConfigError> {
    let unreadable = |reason: String| TlsConfigError::Certificate {
        setting: setting.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let first = chain.first().ok_or_else(|| unreadable("the file is empty".to_owned()))?;
    Certificate::from_der(first).map_err(|cause| unreadable(cause.to_string()))
}

/// Presents the certificate that holds the name that the client asks for, and notes that name: an
/// unbuffered session does not tell it afterwards.
#[derive(Debug)]
pub(crate) struct ByName {
    default: Option<Arc<CertifiedKey>>,
    /// By name in lower case, `*` as the first label included; empty where there is one certificate.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(crate) fn of(presented: &[Presented]) -> Self {
        let mut named = HashMap::new();
        if presented.len() > 1 {
            for one in presented {
                for name in &one.leaf.san_dns {
                    let name = name.to_ascii_lowercase();
                    named.entry(name).or_insert_with(|| Arc::clone(&one.certified));
                }
            }
        }
        let default = presented.first().map(|first| Arc::clone(&first.certified));
        Self { default, named }
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.named.is_empty() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        self.named.get(&name).or_else(|| {
            // A wildcard stands for exactly one label (RFC 6125 section 6.4.3).
            let (_, parent) = name.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        })
    }
}

thread_local! {
    static ASKED_FOR: Cell<Option<String>> = const { Cell::new(None) };
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name();
        ASKED_FOR.set(name.map(str::to_owned));
        name.and_then(|name| self.find(name)).or(self.default.as_ref()).cloned()
    }
}

/// The server name of the ClientHello that this thread has processed since the last call. Records
/// are processed without a pause, so a call right after it concerns the same connection.
pub(crate) fn take_asked_for() -> Option<String> {
    ASKED_FOR.take()
}

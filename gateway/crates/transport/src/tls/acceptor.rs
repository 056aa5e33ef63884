//! Everything that the handshakes of one listener share.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
    danger::ClientCertVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::identity::Certificate;
use crate::pem;
use crate::settings::{ClientAuth, TlsSettings, TlsVersion};
use crate::tls::error::TlsConfigError;

/// The checked form of [`TlsSettings`].
pub(crate) struct Acceptor {
    pub(crate) config: Arc<ServerConfig>,
    certificate: Certificate,
}

impl Acceptor {
    /// Reads and checks every file that the settings name.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, TlsConfigError> {
        let provider = Arc::new(provider());
        let (certified, certificate) = server_certificate(settings, &provider)?;
        let verifier = client_verifier(settings, &provider)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(settings.min_version))
            .map_err(|cause| TlsConfigError::Library(cause.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(OneCertificate { certified }));
        config.alpn_protocols.clone_from(&settings.alpn);
        config.ignore_client_order = !aes_in_hardware();
        // The state of a session travels in its ticket, so nothing is kept here per session.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            ring::Ticketer::new().map_err(|cause| TlsConfigError::Library(cause.to_string()))?;
        // A device reconnects with one connection at a time: a second ticket is never used.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), certificate })
    }

    /// The server certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Presents the one certificate of the listener, and notes the name that the client asked for:
/// an unbuffered session does not tell it afterwards.
#[derive(Debug)]
struct OneCertificate {
    certified: Arc<CertifiedKey>,
}

thread_local! {
    static ASKED_FOR: Cell<Option<String>> = const { Cell::new(None) };
}

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED_FOR.set(client_hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.certified))
    }
}

/// The server name of the ClientHello that this thread has processed since the last call. Records
/// are processed without a pause, so a call right after it concerns the same connection.
pub(crate) fn take_asked_for() -> Option<String> {
    ASKED_FOR.take()
}

fn server_certificate(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, Certificate), TlsConfigError> {
    let TlsSettings { cert, key, .. } = settings;
    let chain = pem::certificates("tls.cert", cert).map_err(TlsConfigError::File)?;
    let leaf = read_leaf(cert, &chain)?;
    let private = pem::private_key("tls.key", key).map_err(TlsConfigError::File)?;
    let certified =
        CertifiedKey::from_der(chain, private, provider).map_err(|cause| match cause {
            rustls::Error::InconsistentKeys(_) => {
                TlsConfigError::KeyMismatch { cert: cert.clone(), key: key.clone() }
            }
            other => TlsConfigError::Key { key: key.clone(), reason: other.to_string() },
        })?;
    Ok((Arc::new(certified), leaf))
}

fn read_leaf(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Certificate, TlsConfigError> {
    let unreadable = |reason: String| TlsConfigError::Certificate {
        setting: "tls.cert",
        path: path.to_owned(),
        reason,
    };
    let first = chain.first().ok_or_else(|| unreadable("the file is empty".to_owned()))?;
    Certificate::from_der(first).map_err(|cause| unreadable(cause.to_string()))
}

fn client_verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
    let (optional, path) = match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::None, None) => return Ok(WebPkiClientVerifier::no_client_auth()),
        // Whoever names an authority believes that clients are checked against it.
        (ClientAuth::None, Some(path)) => {
            return Err(TlsConfigError::ClientCaUnused { path: path.clone() });
        }
        (_, None) => return Err(TlsConfigError::ClientCaMissing),
        (ClientAuth::Optional, Some(path)) => (true, path),
        (ClientAuth::Required, Some(path)) => (false, path),
    };
    let unusable = |reason: String| TlsConfigError::Certificate {
        setting: "tls.client_ca",
        path: path.clone(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for root in pem::certificates("tls.client_ca", path).map_err(TlsConfigError::File)? {
        roots.add(root).map_err(|cause| unusable(cause.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|cause| unusable(cause.to_string()))
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    match min {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => BOTH.split_at(1).0,
    }
}

/// The ring provider. Without AES instructions (a Raspberry Pi up to the 4) ChaCha20 costs a
/// fraction of AES-GCM, so there our order leads with it and overrules the client's.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !aes_in_hardware() {
        provider.cipher_suites.sort_by_key(|suite| !is_chacha(suite.suite()));
    }
    provider
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

fn aes_in_hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

//! Everything that the handshakes of one listener share, and its replacement while they go on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, ring};

use crate::clock;
use crate::settings::TlsSettings;
use crate::tls::credentials::Reloaded;
use crate::tls::error::TlsConfigError;
use crate::tls::ready::Ready;

/// The TLS side of a listener. What its files hold is replaced as a whole: a handshake takes what
/// there is when it begins, and keeps it to its end.
pub(crate) struct Acceptor {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    ready: RwLock<Arc<Ready>>,
    /// Held through a reload, so that two do not cross and the older one wins.
    turn: Mutex<()>,
}

impl Acceptor {
    /// Reads and checks every file that the settings name. That a certificate has expired is no
    /// error here: without another one there is no better choice than to present it.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, TlsConfigError> {
        let provider = Arc::new(provider());
        let ready = Ready::load(settings, &provider, None)?;
        Ok(Self {
            settings: settings.clone(),
            provider,
            ready: RwLock::new(Arc::new(ready)),
            turn: Mutex::new(()),
        })
    }

    /// What the next handshake is made with.
    pub(crate) fn ready(&self) -> Arc<Ready> {
        Arc::clone(&self.ready.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads and checks every file again. On an error everything stays as it is.
    pub(crate) fn reload(&self) -> Result<Reloaded, TlsConfigError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.ready();
        let fresh = Ready::load(&self.settings, &self.provider, Some(&before))?;
        fresh.check_validity(clock::now())?;
        let fresh = Arc::new(fresh);
        let reloaded = Reloaded::between(&before, &fresh);
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(reloaded)
    }

    pub(crate) fn settings(&self) -> &TlsSettings {
        &self.settings
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The ring provider. Without AES instructions (a Raspberry Pi up to the 4) ChaCha20 costs a
/// fraction of AES-GCM, so there our order leads with it and overrules the client's.
pub(crate) fn provider() -> CryptoProvider {
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

pub(crate) fn aes_in_hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

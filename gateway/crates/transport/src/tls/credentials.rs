//! The files of a TLS listener, for whoever keeps them fresh.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use crate::identity::CertificateKey;
use crate::tls::acceptor::Acceptor;
use crate::tls::clients::CLIENT_CRL;
use crate::tls::credential::Credential;
use crate::tls::error::TlsConfigError;
use crate::tls::ready::Ready;
use crate::tls::stamp::Stamp;

/// The certificates, keys and revocation lists of one TLS listener. It can be kept, and used, while
/// the listener accepts.
#[derive(Clone, Debug)]
pub struct Credentials {
    acceptor: Arc<Acceptor>,
}

/// What a reload has changed.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The configuration keys of what is another now; empty where every file holds what it held.
    pub changed: Vec<String>,
    /// What the listener relies on now.
    pub credentials: Vec<Credential>,
    /// What is revoked now and was not before.
    pub newly_revoked: Vec<CertificateKey>,
    /// How many were revoked before and are not now: they have expired and were left out, or an older
    /// list has come back.
    pub no_longer_revoked: usize,
    /// All that is revoked now.
    pub revoked: Arc<BTreeSet<CertificateKey>>,
}

impl Credentials {
    pub(crate) fn of(acceptor: &Arc<Acceptor>) -> Self {
        Self { acceptor: Arc::clone(acceptor) }
    }

    /// Reads all files again, and uses what they hold for every handshake that begins from now on.
    /// Connections that exist stay. Sessions are resumed across it unless other authorities are
    /// trusted or other certificates revoked. It reads files and verifies signatures: not for a
    /// thread that must not wait.
    ///
    /// # Errors
    /// If a file cannot be used, a key does not belong to its certificate, or a server certificate
    /// is not valid now. Then everything stays as it is.
    pub fn reload(&self) -> Result<Reloaded, TlsConfigError> {
        self.acceptor.reload()
    }

    /// How the files look now; another value when one of them has been written or replaced.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp::of_all(self.acceptor.settings())
    }

    /// How the files looked just before what is in use was read from them: if they look otherwise, there
    /// may be something new in them.
    #[must_use]
    pub fn stamp_in_use(&self) -> Stamp {
        self.acceptor.ready().stamp.clone()
    }

    /// What the listener relies on now.
    #[must_use]
    pub fn all(&self) -> Vec<Credential> {
        self.acceptor.ready().credentials()
    }

    /// What its revocation lists name now.
    #[must_use]
    pub fn revoked(&self) -> Arc<BTreeSet<CertificateKey>> {
        Arc::clone(self.acceptor.ready().clients.revoked())
    }

    /// That each certificate that it presents is valid at `now`.
    ///
    /// # Errors
    /// If one is not: it says which, and when it is.
    pub fn check_validity(&self, now: SystemTime) -> Result<(), TlsConfigError> {
        self.acceptor.ready().check_validity(now)
    }
}

impl Reloaded {
    pub(crate) fn between(before: &Ready, fresh: &Ready) -> Self {
        let pairs = before.presented.iter().zip(&fresh.presented);
        let mut changed: Vec<String> = pairs
            .filter(|(before, fresh)| !before.is_same(fresh))
            .map(|(_, fresh)| fresh.setting.clone())
            .collect();
        let (before, now) = (&before.clients, &fresh.clients);
        if !before.has_roots_of(now) {
            changed.push("tls.client-ca".to_owned());
        }
        if !before.has_lists_of(now) {
            changed.push(CLIENT_CRL.to_owned());
        }
        let newly_revoked = now.revoked().difference(before.revoked()).copied().collect();
        Self {
            changed,
            credentials: fresh.credentials(),
            newly_revoked,
            no_longer_revoked: before.revoked().difference(now.revoked()).count(),
            revoked: Arc::clone(now.revoked()),
        }
    }
}

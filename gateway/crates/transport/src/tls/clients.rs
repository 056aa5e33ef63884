//! Whose certificates clients may show, and which of them are revoked.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate, X509Error};

use crate::clock;
use crate::identity::{Certificate, CertificateKey};
use crate::pem;
use crate::settings::{ClientAuth, TlsSettings};
use crate::tls::credential::{Credential, CredentialKind};
use crate::tls::error::TlsConfigError;

const CLIENT_CA: &str = "tls.client-ca";
pub(crate) const CLIENT_CRL: &str = "tls.client-crl";

/// Whose certificates clients may show, and which of them are revoked.
pub(crate) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    roots: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    revoked: Arc<BTreeSet<CertificateKey>>,
    credentials: Vec<Credential>,
}

/// A revocation list that was read.
struct List {
    der: CertificateRevocationListDer<'static>,
    this_update: i64,
    /// Its issuer, and for which certificates of it the list is.
    scope: Vec<u8>,
    credential: Credential,
    revoked: Vec<CertificateKey>,
}

impl Clients {
    pub(crate) fn load(
        settings: &TlsSettings,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsConfigError> {
        let (optional, path) = match (settings.client_auth, &settings.client_ca) {
            (ClientAuth::None, None) => return Self::unasked(settings),
            // Whoever names an authority believes that clients are checked against it.
            (ClientAuth::None, Some(path)) => {
                return Err(TlsConfigError::ClientCaUnused { path: path.clone() });
            }
            (_, None) => return Err(TlsConfigError::ClientCaMissing),
            (ClientAuth::Optional, Some(path)) => (true, path),
            (ClientAuth::Required, Some(path)) => (false, path),
        };
        let roots = pem::certificates(CLIENT_CA, path).map_err(TlsConfigError::File)?;
        let mut credentials = Vec::new();
        let mut store = RootCertStore::empty();
        for root in &roots {
            let read = Certificate::from_der(root).map_err(|cause| unusable(path, cause))?;
            store.add(root.clone()).map_err(|cause| unusable(path, cause))?;
            let kind = CredentialKind::ClientCa;
            credentials.push(Credential::of_certificate(kind, CLIENT_CA, path, read));
        }
        let store = Arc::new(store);
        let mut lists = Vec::new();
        for path in &settings.client_crls {
            for der in pem::revocation_lists(CLIENT_CRL, path).map_err(TlsConfigError::File)? {
                lists.push(read_list(path, der, &roots, &store, provider)?);
            }
        }
        // Of two lists of one issuer the verifier heeds the first, and what is revoked must be the same to all.
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        let mut scopes = BTreeSet::new();
        lists.retain(|list| scopes.insert(list.scope.clone()));
        let builder = WebPkiClientVerifier::builder_with_provider(store, Arc::clone(provider))
            .with_crls(lists.iter().map(|list| list.der.clone()));
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        let builder = match settings.revocation.refuse_unknown {
            true => builder,
            false => builder.allow_unknown_revocation_status(),
        };
        let builder = match settings.revocation.refuse_outdated {
            true => builder.enforce_revocation_expiration(),
            false => builder,
        };
        let verifier = builder.build().map_err(|cause| unusable(path, cause))?;
        let (mut revoked, mut ders) = (BTreeSet::new(), Vec::new());
        for list in lists {
            revoked.extend(list.revoked);
            credentials.push(list.credential);
            ders.push(list.der);
        }
        Ok(Self { verifier, roots, lists: ders, revoked: Arc::new(revoked), credentials })
    }

    /// Clients are not asked for certificates.
    fn unasked(settings: &TlsSettings) -> Result<Self, TlsConfigError> {
        if let Some(path) = settings.client_crls.first() {
            return Err(TlsConfigError::ClientCrlUnused { path: path.clone() });
        }
        Ok(Self {
            verifier: WebPkiClientVerifier::no_client_auth(),
            roots: Vec::new(),
            lists: Vec::new(),
            revoked: Arc::default(),
            credentials: Vec::new(),
        })
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Verifies a chain anew, leaf first: one that comes with a resumed session was verified when
    /// that session began.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (leaf, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(leaf, rest, clock::unix_time()).map(drop)
    }

    /// What the lists revoke.
    pub(crate) fn revoked(&self) -> &Arc<BTreeSet<CertificateKey>> {
        &self.revoked
    }

    /// Whether the same authorities are trusted.
    pub(crate) fn has_roots_of(&self, other: &Self) -> bool {
        self.roots == other.roots
    }

    /// Whether the same lists are there: one that revokes the same for longer is another.
    pub(crate) fn has_lists_of(&self, other: &Self) -> bool {
        self.lists == other.lists
    }

    /// Whether a client is welcome here exactly if it is there.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        self.has_roots_of(other) && self.revoked == other.revoked
    }

    /// The authorities, and the lists.
    pub(crate) fn credentials(&self) -> &[Credential] {
        &self.credentials
    }
}

fn unusable(path: &Path, cause: impl fmt::Display) -> TlsConfigError {
    TlsConfigError::Certificate {
        setting: CLIENT_CA.to_owned(),
        path: path.to_owned(),
        reason: cause.to_string(),
    }
}

fn read_list(
    path: &Path,
    der: CertificateRevocationListDer<'static>,
    roots: &[CertificateDer<'_>],
    store: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<List, TlsConfigError> {
    let unusable =
        |reason: String| TlsConfigError::RevocationList { path: path.to_owned(), reason };
    // The verifier reads more strictly, and does not say which of several lists it dislikes.
    WebPkiClientVerifier::builder_with_provider(Arc::clone(store), Arc::clone(provider))
        .with_crls([der.clone()])
        .build()
        .map_err(|cause| unusable(cause.to_string()))?;
    let (_, parsed) =
        CertificateRevocationList::from_der(&der).map_err(|cause| unusable(cause.to_string()))?;
    if !is_signed_by_its_issuer(&parsed, roots) {
        return Err(unusable(format!(
            "it is not signed by the authority of tls.client-ca that it names, {}",
            parsed.issuer()
        )));
    }
    let issuer = parsed.issuer().as_raw();
    let revoked = parsed.iter_revoked_certificates();
    let revoked = revoked.map(|one| CertificateKey::of(issuer, one.raw_serial())).collect();
    let this_update = parsed.last_update().timestamp();
    let parts =
        parsed.extensions().iter().filter(|one| one.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
    let parts = parts.flat_map(|part| part.value);
    let scope = issuer.iter().chain(parts).copied().collect();
    let credential = Credential {
        kind: CredentialKind::ClientCrl,
        setting: CLIENT_CRL.to_owned(),
        path: path.to_owned(),
        subject: parsed.issuer().to_string(),
        names: Vec::new(),
        not_before_unix_s: this_update,
        not_after_unix_s: parsed.next_update().map(|next| next.timestamp()),
    };
    Ok(List { der, this_update, scope, credential, revoked })
}

/// A list with a wrong signature would have every client of its issuer refused. One of an
/// authority that is not a root cannot be checked before a client brings that one's certificate.
fn is_signed_by_its_issuer(
    list: &CertificateRevocationList<'_>,
    roots: &[CertificateDer<'_>],
) -> bool {
    let named = roots
        .iter()
        .filter_map(|root| X509Certificate::from_der(root).ok())
        .map(|(_, root)| root)
        .filter(|root| root.subject().as_raw() == list.issuer().as_raw());
    let mut wrong = named
        .map(|root| {
            let checked = list.verify_signature(root.public_key());
            // What cannot be judged here is judged in the handshake.
            matches!(checked, Err(X509Error::SignatureVerificationError))
        })
        .peekable();
    wrong.peek().is_none() || wrong.any(|wrong| !wrong)
}

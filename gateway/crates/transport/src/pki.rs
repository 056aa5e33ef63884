//! The private authority of a site: made at the first start, so that nothing ever runs without TLS.
//!
//! All keys are ECDSA P-256: every TLS library on a device verifies them, and a handshake costs a
//! tenth of what an RSA key of the same strength costs a small processor.

mod error;
mod files;
mod index;
mod names;
mod order;
mod revocation;
mod show;
mod site;
mod template;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair};

pub use error::PkiError;
pub use index::Entry;
pub use order::{Issued, Order, Purpose, Reason, RevocationList};
pub use revocation::CRL_VALIDITY;
pub use show::{describe, show};
pub use site::Site;

/// The files of a private authority and of the server certificate that it has issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pki {
    /// The authority's certificate: what clients are given to trust (`--cafile`).
    pub ca_cert: PathBuf,
    /// The authority's private key, readable by its owner only.
    pub ca_key: PathBuf,
    /// The server's certificate followed by the authority's.
    pub server_cert: PathBuf,
    /// The server's private key, readable by its owner only.
    pub server_key: PathBuf,
}

/// The files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The client's certificate followed by the authority's.
    pub cert: PathBuf,
    /// The client's private key, readable by its owner only.
    pub key: PathBuf,
}

/// How long an authority is valid: ten years.
pub const CA_VALIDITY: Duration = Duration::from_secs(3650 * DAY_S);
/// How long a server or client certificate is valid: 825 days, the most that all TLS clients accept.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(825 * DAY_S);

impl Pki {
    /// The names of the files in `dir`, whether or not they exist.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            ca_cert: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            server_cert: dir.join("server.pem"),
            server_key: dir.join("server.key"),
        }
    }
}

/// Makes `ca.pem`, `ca.key`, `server.pem` and `server.key` in `dir`, as far as they are missing.
///
/// What exists is kept and used: a first start that was cut short is completed by the next, and
/// removing `server.pem` has it issued anew. Each file appears whole and is on the disk, with its
/// directory entry, when this returns. The server certificate holds `localhost`, `127.0.0.1`, `::1`,
/// the host's name and `names`, which are DNS names and IP addresses.
///
/// # Errors
/// If a file cannot be written or an existing one cannot be used, or a name is neither a DNS name
/// nor an IP address.
pub fn create(dir: &Path, names: &[String], now: SystemTime) -> Result<Pki, PkiError> {
    let now = now.max(SystemTime::UNIX_EPOCH + EARLIEST);
    let pki = Pki::at(dir);
    let names = template::server_names(names)?;
    files::create_dir(dir)?;
    // With both halves there the authority's key may live elsewhere.
    if !(pki.server_cert.exists() && pki.server_key.exists() && pki.ca_cert.exists()) {
        let authority = Authority::open_or_create(&pki, now)?;
        let key = files::key(&pki.server_key)?;
        if !pki.server_cert.exists() {
            let params = template::server("portcullis", &names, now, LEAF_VALIDITY)?;
            authority.issue(params, &key, &pki.server_cert)?;
        }
    }
    files::sync_dir(dir)?;
    Ok(pki)
}

/// Issues a certificate for a client whose name is `common_name`, signed by the authority in `dir`, as
/// `<out>.pem` and `<out>.key`. It is valid for [`LEAF_VALIDITY`] from `now`.
///
/// # Errors
/// If the authority cannot be read, the name is empty, a file exists or cannot be written.
pub fn issue_client(
    dir: &Path,
    common_name: &str,
    out: &Path,
    now: SystemTime,
) -> Result<ClientFiles, PkiError> {
    let made =
        ClientFiles { cert: files::suffixed(out, ".pem"), key: files::suffixed(out, ".key") };
    for path in [&made.cert, &made.key] {
        if path.exists() {
            return Err(PkiError::Exists { path: path.clone() });
        }
    }
    let authority = Authority::open(&Pki::at(dir))?;
    let params = template::client(common_name, now, LEAF_VALIDITY)?;
    let key = files::key(&made.key)?;
    authority.issue(params, &key, &made.cert)?;
    if let Some(parent) = made.cert.parent() {
        files::sync_dir(parent)?;
    }
    Ok(made)
}

/// Whoever signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn open(pki: &Pki) -> Result<Self, PkiError> {
        let pem = files::read(&pki.ca_cert)?;
        let key = files::existing_key(&pki.ca_key)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key)
            .map_err(|cause| PkiError::unusable(&pki.ca_cert, &cause))?;
        Ok(Self { pem, issuer })
    }

    fn open_or_create(pki: &Pki, now: SystemTime) -> Result<Self, PkiError> {
        if !pki.ca_cert.exists() {
            let key = files::key(&pki.ca_key)?;
            let certificate = template::authority(None, now, CA_VALIDITY)?
                .self_signed(&key)
                .map_err(|cause| PkiError::unusable(&pki.ca_key, &cause))?;
            files::write_new(&pki.ca_cert, certificate.pem().as_bytes(), files::PUBLIC)?;
        }
        Self::open(pki)
    }

    fn issue(&self, params: CertificateParams, key: &KeyPair, path: &Path) -> Result<(), PkiError> {
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(|cause| PkiError::unusable(path, &cause))?;
        let chain = certificate.pem() + &self.pem;
        files::write_new(path, chain.as_bytes(), files::PUBLIC)
    }
}

const DAY_S: u64 = 24 * 60 * 60;

/// 2026-11-01, since 1970. A board without a battery may start in 1970: what it issued then would
/// have expired before its clock is set.
const EARLIEST: Duration = Duration::from_secs(1_793_491_200);

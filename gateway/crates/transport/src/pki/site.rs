//! A private authority at work: what a site without a PKI of its own needs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};

use super::index::{Entry, Index};
use super::order::{Issued, Order, Purpose};
use super::{Authority, DAY_S, LEAF_VALIDITY, Pki, PkiError, files, names, template};
use crate::identity::Certificate;

/// A directory with a private authority: `ca.pem` and `ca.key` as [`create`](super::create) makes them,
/// `index.txt` with what was issued and revoked, `crl.pem`, and the certificates themselves.
#[derive(Clone, Debug)]
pub struct Site {
    pub(super) dir: PathBuf,
}

impl Site {
    /// The authority in `dir`, whether or not it exists.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes an authority that signs certificates of ends and revocation lists, not other authorities.
    /// Its key is readable by its owner only. One that was cut short between key and certificate is completed.
    ///
    /// # Errors
    /// If there is one and it is not to be replaced, its certificate is gone and something was issued by it, or a
    /// file cannot be written.
    pub fn new_authority(
        &self,
        name: Option<&str>,
        order: &Order,
        now: SystemTime,
    ) -> Result<Issued, PkiError> {
        let pki = Pki::at(&self.dir);
        files::create_dir(&self.dir)?;
        let validity = order.days.map_or(super::CA_VALIDITY, days);
        let params = template::authority(name, now, validity)?;
        // Another certificate, of another name, would cut off what the one before has signed.
        let is_cut_short = is_alone(&pki.ca_key, &pki.ca_cert) && self.has_issued_nothing(&pki)?;
        let key = if is_cut_short && !order.force {
            files::existing_key(&pki.ca_key)?
        } else {
            refuse_existing(&[&pki.ca_cert, &pki.ca_key], order.force)?;
            // The key first: a certificate without its key is of no use, a key alone gets its certificate.
            replace_key(&pki.ca_key)?
        };
        let certificate =
            params.self_signed(&key).map_err(|cause| PkiError::unusable(&pki.ca_key, &cause))?;
        files::replace(&pki.ca_cert, certificate.pem().as_bytes(), files::PUBLIC)?;
        files::sync_dir(&self.dir)?;
        described(certificate.der(), pki.ca_cert, Some(pki.ca_key))
    }

    /// Issues a certificate for a server with these names: DNS names, `*` as the first label allowed,
    /// and IP addresses.
    ///
    /// # Errors
    /// If there is no authority or no name, a name cannot be in a certificate, or a file exists.
    pub fn server(
        &self,
        names: &[String],
        order: &Order,
        now: SystemTime,
    ) -> Result<Issued, PkiError> {
        let alternatives = template::alternative_names(names)?;
        let Some(first) = names.first() else {
            return Err(PkiError::Order(
                "a server certificate needs the names that clients use for the server; name them with --name and --ip".to_owned(),
            ));
        };
        let params = template::server(first, &alternatives, now, validity(order))?;
        self.issue(params, Purpose::Server, first, order)
    }

    /// Issues a certificate for a client with this common name.
    ///
    /// # Errors
    /// If there is no authority, the name cannot be in a certificate, or a file exists.
    pub fn client(&self, name: &str, order: &Order, now: SystemTime) -> Result<Issued, PkiError> {
        let params = template::client(name, now, validity(order))?;
        self.issue(params, Purpose::Client, name, order)
    }

    /// Issues the certificate that a request asks for (PKCS#10), whose key stays where it was made.
    /// Subject and alternative names are the request's; what the certificate is for is said here.
    ///
    /// # Errors
    /// If the request cannot be used, its signature is wrong, or a file exists.
    pub fn sign(
        &self,
        request: &Path,
        purpose: Purpose,
        order: &Order,
        now: SystemTime,
    ) -> Result<Issued, PkiError> {
        let unusable = |reason: String| PkiError::Request { path: request.to_owned(), reason };
        let pem = files::pem_block(request, &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])?;
        let (_, parsed) = X509CertificationRequest::from_der(&pem)
            .map_err(|cause| unusable(cause.to_string()))?;
        parsed
            .verify_signature()
            .map_err(|_| unusable("its signature is not by the key that it is about, or is none of RSA with 2048 bits or more, ECDSA P-256 or P-384, and Ed25519".to_owned()))?;
        let info = &parsed.certification_request_info;
        let mut params = template::leaf(purpose, now, validity(order))?;
        params.distinguished_name = names::subject(&info.subject).map_err(unusable)?;
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let x509_parser::extensions::ParsedExtension::SubjectAlternativeName(found) =
                extension
            {
                for name in &found.general_names {
                    params.subject_alt_names.push(names::alternative(name).map_err(unusable)?);
                }
            }
        }
        if purpose == Purpose::Server && params.subject_alt_names.is_empty() {
            return Err(unusable("it names no server among its alternative names".to_owned()));
        }
        let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
            .map_err(|cause| unusable(cause.to_string()))?;
        let out = match &order.out {
            Some(out) => out.clone(),
            None => request.with_extension(""),
        };
        let cert = files::suffixed(&out, ".pem");
        refuse_existing(&[&cert], order.force)?;
        self.write(params, purpose, &key, cert, None)
    }

    /// Issues the certificate in `file` again with the same names and the same key, for as many days from
    /// now, and replaces the file. The earlier one counts on until it ends.
    ///
    /// # Errors
    /// If this authority has not issued it, or it is revoked.
    pub fn renew(&self, file: &Path, order: &Order, now: SystemTime) -> Result<Issued, PkiError> {
        let der = self.own_certificate(file)?;
        let unusable = |reason: String| PkiError::Unusable { path: file.to_owned(), reason };
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|cause| unusable(cause.to_string()))?;
        let read = Certificate::from_der(&der).map_err(|cause| unusable(cause.to_string()))?;
        if Index::open(&self.dir)?.find(&read.serial).is_some_and(|entry| entry.revoked.is_some()) {
            return Err(PkiError::Order(format!(
                "{file:?} is revoked and stays so; issue a new certificate with a new key"
            )));
        }
        let usage = parsed.extended_key_usage().ok().flatten();
        let purpose = match usage.map(|found| (found.value.server_auth, found.value.client_auth)) {
            Some((true, _)) => Purpose::Server,
            Some((false, true)) => Purpose::Client,
            _ => return Err(unusable("it is for neither servers nor clients".to_owned())),
        };
        let mut params = template::leaf(purpose, now, validity(order))?;
        params.distinguished_name = names::subject(parsed.subject()).map_err(unusable)?;
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|found| &found.value.general_names) {
            params.subject_alt_names.push(names::alternative(name).map_err(unusable)?);
        }
        let key = SubjectPublicKeyInfo::from_der(parsed.public_key().raw)
            .map_err(|cause| unusable(cause.to_string()))?;
        self.write(params, purpose, &key, file.to_owned(), None)
    }

    /// What is in the index.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, PkiError> {
        Ok(Index::open(&self.dir)?.entries)
    }

    /// Makes a key and issues a certificate for it. A key whose certificate is missing, as a power cut leaves it, is
    /// kept and gets one.
    fn issue(
        &self,
        params: CertificateParams,
        purpose: Purpose,
        name: &str,
        order: &Order,
    ) -> Result<Issued, PkiError> {
        let out = order.out.clone().unwrap_or_else(|| self.dir.join(file_name(name)));
        let (cert, key_file) = (files::suffixed(&out, ".pem"), files::suffixed(&out, ".key"));
        let pki = Pki::at(&self.dir);
        let reserved = [&pki.ca_cert, &pki.ca_key, &self.dir.join("crl.pem")];
        if reserved.iter().any(|path| **path == cert || **path == key_file) {
            return Err(PkiError::Order(format!(
                "{} is the authority's own; name other files with --out",
                cert.display()
            )));
        }
        let is_cut_short = is_alone(&key_file, &cert) && !order.force;
        if !is_cut_short {
            refuse_existing(&[&cert, &key_file], order.force)?;
        }
        // Before anything is written: without an authority there is nothing to write.
        Authority::open(&pki)?;
        let key =
            if is_cut_short { files::existing_key(&key_file)? } else { replace_key(&key_file)? };
        self.write(params, purpose, &key, cert, Some(key_file))
    }

    /// Signs a certificate, notes it, and writes it. Noted first: what is not in the index cannot be
    /// revoked by its number.
    fn write(
        &self,
        mut params: CertificateParams,
        purpose: Purpose,
        key: &impl PublicKeyData,
        cert: PathBuf,
        key_file: Option<PathBuf>,
    ) -> Result<Issued, PkiError> {
        let pki = Pki::at(&self.dir);
        let authority = Authority::open(&pki)?;
        let end = authority.not_after(&pki.ca_cert)?;
        if end <= params.not_before {
            return Err(PkiError::Order(format!(
                "the authority {:?} has ended; make another with `portcullis cert ca new`",
                pki.ca_cert
            )));
        }
        params.not_after = params.not_after.min(end);
        let certificate = params
            .signed_by(key, &authority.issuer)
            .map_err(|cause| PkiError::unusable(&cert, &cause))?;
        let issued = described(certificate.der(), cert, key_file)?;
        let _turn = self.turn()?;
        let mut index = Index::open(&self.dir)?;
        index.entries.push(Entry {
            serial: issued.serial.clone(),
            revoked: None,
            not_after_unix_s: issued.not_after_unix_s,
            purpose: purpose.as_str().to_owned(),
            subject: issued.subject.clone(),
        });
        index.save()?;
        let chain = certificate.pem() + &authority.pem;
        files::replace(&issued.cert, chain.as_bytes(), files::PUBLIC)?;
        Ok(issued)
    }

    /// The first certificate of a file, which this authority must have signed.
    pub(super) fn own_certificate(&self, file: &Path) -> Result<Vec<u8>, PkiError> {
        let pki = Pki::at(&self.dir);
        let (ca, der) = (
            files::pem_block(&pki.ca_cert, &["CERTIFICATE"])?,
            files::pem_block(file, &["CERTIFICATE"])?,
        );
        if ca == der {
            return Err(PkiError::Order(format!(
                "{file:?} is the authority itself, which is neither renewed nor revoked; make another in a directory of its own and have both trusted for a while (gateway/TLS.md)"
            )));
        }
        let signed = X509Certificate::from_der(&ca).ok().zip(X509Certificate::from_der(&der).ok());
        let signed = signed.is_some_and(|((_, ca), (_, read))| {
            ca.subject().as_raw() == read.issuer().as_raw()
                && ca.subject().as_raw() != read.subject().as_raw()
                && read.verify_signature(Some(ca.public_key())).is_ok()
        });
        if signed {
            return Ok(der);
        }
        Err(PkiError::Order(format!(
            "{file:?} was not issued by the authority {:?}; name the directory of the one that did with --dir",
            pki.ca_cert
        )))
    }

    /// Whether no certificate is known that the authority in this directory has signed.
    fn has_issued_nothing(&self, pki: &Pki) -> Result<bool, PkiError> {
        Ok(!pki.server_cert.exists() && Index::open(&self.dir)?.entries.is_empty())
    }

    /// Keeps two commands from writing the index at once.
    pub(super) fn turn(&self) -> Result<File, PkiError> {
        let path = self.dir.join("index.lock");
        let failed = |source| PkiError::File { action: "lock", path: path.clone(), source };
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

impl Authority {
    fn not_after(&self, path: &Path) -> Result<OffsetDateTime, PkiError> {
        let unusable =
            || PkiError::Unusable { path: path.to_owned(), reason: "it has no end".to_owned() };
        let der = files::pem_of(self.pem.as_bytes(), &["CERTIFICATE"]).ok_or_else(unusable)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unusable())?;
        Ok(parsed.validity().not_after.to_datetime())
    }
}

pub(super) fn described(
    der: &[u8],
    cert: PathBuf,
    key: Option<PathBuf>,
) -> Result<Issued, PkiError> {
    let read = Certificate::from_der(der)
        .map_err(|cause| PkiError::Unusable { path: cert.clone(), reason: cause.to_string() })?;
    Ok(Issued {
        cert,
        key,
        subject: read.subject,
        names: [read.san_dns, read.san_ip, read.san_uri, read.san_email].concat(),
        serial: read.serial,
        not_after_unix_s: read.not_after_unix_s,
    })
}

/// Whether there is a key without its certificate: of the two the key is written first.
fn is_alone(key: &Path, cert: &Path) -> bool {
    key.exists() && !cert.exists()
}

/// A new key, in the place of one that may be there.
fn replace_key(path: &Path) -> Result<KeyPair, PkiError> {
    let key = files::new_key(path)?;
    files::replace(path, key.serialize_pem().as_bytes(), files::SECRET)?;
    Ok(key)
}

fn refuse_existing(paths: &[&PathBuf], force: bool) -> Result<(), PkiError> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) if !force => Err(PkiError::WouldReplace { path: path.to_path_buf() }),
        _ => Ok(()),
    }
}

/// A file name that is made of a name: what could lead elsewhere or confuse a shell becomes `_`.
fn file_name(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let text: String = name.chars().map(kept).collect();
    if text.starts_with('.') { format!("_{text}") } else { text }
}

fn validity(order: &Order) -> Duration {
    order.days.map_or(LEAF_VALIDITY, days)
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * DAY_S)
}

pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

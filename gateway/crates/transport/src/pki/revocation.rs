//! What a private authority takes back.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::index::{Entry, Index, serial_bytes};
use super::order::{Purpose, Reason, RevocationList};
use super::site::{described, unix};
use super::{Authority, DAY_S, Pki, PkiError, Site, files};

/// For how long a revocation list counts, if nothing else is said.
pub const CRL_VALIDITY: Duration = Duration::from_secs(90 * DAY_S);

impl Site {
    /// Revokes a certificate, named by its file or its serial number, and makes the next revocation list.
    ///
    /// # Errors
    /// If this authority knows no such certificate, or it is revoked already.
    pub fn revoke(
        &self,
        which: &str,
        reason: Reason,
        now: SystemTime,
    ) -> Result<(Entry, RevocationList), PkiError> {
        let authority = Authority::open(&Pki::at(&self.dir))?;
        let _turn = self.turn()?;
        let mut index = Index::open(&self.dir)?;
        let path = Path::new(which);
        let serial = if path.is_file() {
            let der = self.own_certificate(path)?;
            let entry = entry_of(&der, path)?;
            if index.find(&entry.serial).is_none() {
                index.entries.push(entry.clone());
            }
            entry.serial
        } else {
            which.to_owned()
        };
        let Some(entry) = index.find(&serial) else {
            return Err(PkiError::Order(format!(
                "{which:?} is neither a file nor the serial number of a certificate in index.txt; `portcullis cert list` shows those, and one that is not there is revoked by its file"
            )));
        };
        if let Some((when, _)) = entry.revoked {
            let when = crate::utc::utc(i64::try_from(when).unwrap_or(i64::MAX));
            return Err(PkiError::Order(format!("{which:?} was revoked on {when} already")));
        }
        entry.revoked = Some((unix(now), reason));
        let entry = entry.clone();
        index.save()?;
        let list = self.write_list(&authority, &index, CRL_VALIDITY, now)?;
        Ok((entry, list))
    }

    /// Makes the next revocation list, which counts for so long.
    ///
    /// # Errors
    /// If there is no authority, its index cannot be read, or the list cannot be written.
    pub fn crl(&self, validity: Duration, now: SystemTime) -> Result<RevocationList, PkiError> {
        let authority = Authority::open(&Pki::at(&self.dir))?;
        let _turn = self.turn()?;
        self.write_list(&authority, &Index::open(&self.dir)?, validity, now)
    }

    fn write_list(
        &self,
        authority: &Authority,
        index: &Index,
        validity: Duration,
        now: SystemTime,
    ) -> Result<RevocationList, PkiError> {
        let path = self.dir.join("crl.pem");
        let number = files::crl_number(&path)?.map_or(0, |last| last + 1).max(unix(now));
        let mut revoked = Vec::new();
        for entry in &index.entries {
            let Some((when, reason)) = entry.revoked else { continue };
            let serial = serial_bytes(&entry.serial).unwrap_or_default();
            let when = UNIX_EPOCH + Duration::from_secs(when);
            revoked.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: OffsetDateTime::from(when),
                // RFC 5280 wants the field left out where nothing is said.
                reason_code: (reason != Reason::Unspecified).then(|| reason.code()),
                invalidity_date: None,
            });
        }
        let count = revoked.len();
        let next = now + validity;
        let list = CertificateRevocationListParams {
            this_update: OffsetDateTime::from(now),
            next_update: OffsetDateTime::from(next),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: authority.key_identifier(),
        };
        let unusable = |cause: rcgen::Error| PkiError::unusable(&path, &cause);
        let list = list.signed_by(&authority.issuer).map_err(unusable)?;
        let pem = list.pem().map_err(unusable)?;
        files::replace(&path, pem.as_bytes(), files::PUBLIC)?;
        Ok(RevocationList { path, number, next_update_unix_s: unix(next), revoked: count })
    }
}

impl Authority {
    /// The identifier of its key as its certificate has it, which its lists must repeat.
    fn key_identifier(&self) -> KeyIdMethod {
        let der = files::pem_of(self.pem.as_bytes(), &["CERTIFICATE"]);
        let parsed = der.as_deref().and_then(|der| X509Certificate::from_der(der).ok());
        let known = parsed.and_then(|(_, parsed)| {
            parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
        });
        known.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
    }
}

/// What the index says of a certificate that was issued before there was one.
fn entry_of(der: &[u8], file: &Path) -> Result<Entry, PkiError> {
    let issued = described(der, file.to_owned(), None)?;
    let parsed = X509Certificate::from_der(der).ok();
    let usage = parsed.as_ref().and_then(|(_, parsed)| parsed.extended_key_usage().ok().flatten());
    let purpose = match usage.is_some_and(|found| found.value.server_auth) {
        true => Purpose::Server,
        false => Purpose::Client,
    };
    Ok(Entry {
        serial: issued.serial,
        revoked: None,
        not_after_unix_s: issued.not_after_unix_s,
        purpose: purpose.as_str().to_owned(),
        subject: issued.subject,
    })
}

//! Who vouches for servers.

use std::fs;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::error::FetchError;

/// Where systems keep the public authorities, in the order in which they are looked for: Debian and Alpine, Fedora, openSUSE,
/// OpenWrt. They come with the system's updates, which a list inside the program would not.
pub const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The certificates in the PEM file, or those that the system trusts.
pub(crate) fn read(file: Option<&Path>) -> Result<RootCerts, FetchError> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => system_bundle()?,
    };
    let pem = fs::read(&path)
        .map_err(|error| FetchError::Authorities { path: path.clone(), why: error.to_string() })?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            // Keys and others' sections are none of ours; what is damaged might have been the one that is needed.
            Ok(_) => {}
            Err(error) => {
                return Err(FetchError::Authorities { path, why: error.to_string() });
            }
        }
    }
    if certificates.is_empty() {
        let why = "it has no certificate in PEM".to_owned();
        return Err(FetchError::Authorities { path, why });
    }
    Ok(RootCerts::new_with_certs(&certificates as &[Certificate<'static>]))
}

fn system_bundle() -> Result<PathBuf, FetchError> {
    let found = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_owned).ok_or(FetchError::NoSystemBundle)
}

//! Key and certificate files: whole, durable, never overwritten.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::PkiError;

/// Mode of a file that anyone may read.
pub(super) const PUBLIC: u32 = 0o644;
/// Mode of a file that only its owner may read.
pub(super) const SECRET: u32 = 0o600;

/// The key in the file, which is made if it is missing.
pub(super) fn key(path: &Path) -> Result<KeyPair, PkiError> {
    if path.exists() {
        return existing_key(path);
    }
    let key = new_key(path)?;
    write_new(path, key.serialize_pem().as_bytes(), SECRET)?;
    Ok(key)
}

/// A key that is to be written to this file.
pub(super) fn new_key(path: &Path) -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|cause| PkiError::unusable(path, &cause))
}

/// The key in the file.
pub(super) fn existing_key(path: &Path) -> Result<KeyPair, PkiError> {
    KeyPair::from_pem(&read(path)?).map_err(|cause| PkiError::unusable(path, &cause))
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// The first block of a PEM file with one of these labels, in DER.
pub(super) fn pem_block(path: &Path, labels: &[&str]) -> Result<Vec<u8>, PkiError> {
    let text = fs::read(path).map_err(failed("read", path))?;
    pem_of(&text, labels).ok_or_else(|| PkiError::Unusable {
        path: path.to_owned(),
        reason: format!("it holds no {} block in PEM", labels.first().unwrap_or(&"")),
    })
}

/// The first block of a PEM text with one of these labels, in DER.
pub(super) fn pem_of(text: &[u8], labels: &[&str]) -> Option<Vec<u8>> {
    let blocks = Pem::iter_from_buffer(text).map_while(Result::ok);
    let mut blocks = blocks.filter(|block| labels.contains(&block.label.as_str()));
    blocks.next().map(|block| block.contents)
}

/// The number of a revocation list; `None` where there is no file.
pub(super) fn crl_number(path: &Path) -> Result<Option<u64>, PkiError> {
    if !path.exists() {
        return Ok(None);
    }
    let der = pem_block(path, &["X509 CRL"])?;
    let number = CertificateRevocationList::from_der(&der)
        .ok()
        .and_then(|(_, list)| list.crl_number().and_then(|number| u64::try_from(number).ok()));
    let reason = "it has no number that could be counted on from".to_owned();
    number.map(Some).ok_or_else(|| PkiError::Unusable { path: path.to_owned(), reason })
}

/// Writes a file, or puts another in its place. It is written aside and renamed into place, so that at
/// each moment one of the two is there as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let aside = suffixed(path, ".new");
    match fs::remove_file(&aside) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &aside)(cause));
        }
        _ => {}
    }
    write_synced(&aside, bytes, mode).map_err(failed("write", &aside))?;
    fs::rename(&aside, path).map_err(failed("replace", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Writes a file that must not exist. It is written aside and linked into place, so that a power cut
/// leaves either nothing or all of it under its name.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let aside = suffixed(path, ".new");
    // One that is there was left by a power cut: nothing refers to it.
    match fs::remove_file(&aside) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &aside)(cause));
        }
        _ => {}
    }
    write_synced(&aside, bytes, mode).map_err(failed("write", &aside))?;
    let linked = fs::hard_link(&aside, path);
    // It has served its purpose; one that stays is removed by the next writer.
    let _ = fs::remove_file(&aside);
    linked.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => PkiError::Exists { path: path.to_owned() },
        _ => failed("create", path)(cause),
    })
}

pub(super) fn create_dir(dir: &Path) -> Result<(), PkiError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Puts the entries of a directory on the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), PkiError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|open| open.sync_all()).map_err(failed("sync", dir))
}

/// `path` with more at its end; a dot in the name is part of the name.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    move |source| PkiError::File { action, path: path.to_owned(), source }
}

//! PEM files as the TLS settings name them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Why a PEM file cannot be used. `setting` is the configuration key that names the file.
#[derive(Debug)]
pub struct FileError {
    /// The configuration key, such as `tls.cert`.
    pub(crate) setting: String,
    /// The file as it was configured.
    pub(crate) path: PathBuf,
    /// What is wrong with it.
    pub(crate) fault: Fault,
}

/// What is wrong with a PEM file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be read.
    Read(io::Error),
    /// It holds no item of the wanted kind.
    Missing(&'static str),
    /// It is not PEM.
    Malformed(String),
}

/// All certificates of a file, in its order; at least one.
pub(crate) fn certificates(
    setting: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(error(setting, path, Fault::Missing("CERTIFICATE")))
        }
        Ok(certificates) => Ok(certificates),
        Err(cause) => Err(error(setting, path, Fault::Malformed(cause.to_string()))),
    }
}

/// All revocation lists of a file, in its order; at least one.
pub(crate) fn revocation_lists(
    setting: &str,
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let text = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    match found {
        Ok(lists) if lists.is_empty() => Err(error(setting, path, Fault::Missing("X509 CRL"))),
        Ok(lists) => Ok(lists),
        Err(cause) => Err(error(setting, path, Fault::Malformed(cause.to_string()))),
    }
}

/// The first private key of a file.
pub(crate) fn private_key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|cause| match cause {
        PemError::NoItemsFound => error(setting, path, Fault::Missing("unencrypted PRIVATE KEY")),
        other => error(setting, path, Fault::Malformed(other.to_string())),
    })
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|cause| error(setting, path, Fault::Read(cause)))
}

fn error(setting: &str, path: &Path, fault: Fault) -> FileError {
    FileError { setting: setting.to_owned(), path: path.to_owned(), fault }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, path, fault } = self;
        match fault {
            Fault::Read(cause) => {
                write!(f, "{setting} {path:?} is not readable ({cause})")?;
                match own_uid() {
                    Some(uid) => write!(f, "; the gateway runs as uid {uid}"),
                    None => Ok(()),
                }
            }
            Fault::Missing(wanted) => write!(
                f,
                "{setting} {path:?} holds no {wanted} block; it must be a PEM file with at least one"
            ),
            Fault::Malformed(cause) => write!(
                f,
                "{setting} {path:?} is not a well-formed PEM file ({cause}); export it again as PEM"
            ),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Read(cause) => Some(cause),
            Fault::Missing(_) | Fault::Malformed(_) => None,
        }
    }
}

/// The user that this process runs as, where the system shows it as a file.
fn own_uid() -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").ok().map(|of_self| of_self.uid())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

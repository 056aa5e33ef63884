use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::DialTls;
use crate::clock::Held;
use crate::pem;
use crate::tls::{TlsConfigError, provider};

/// Where systems keep the public authorities: Debian and Alpine, Fedora, openSUSE, OpenWrt.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const CA: &str = "tls.ca";

impl DialTls {
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let library = |error: rustls::Error| TlsConfigError::Library(error.to_string());
        let builder = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(Held))
            .with_safe_default_protocol_versions()
            .map_err(library)?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain =
                    pem::certificates("tls.cert", &files.cert).map_err(TlsConfigError::File)?;
                let key = pem::private_key("tls.key", &files.key).map_err(TlsConfigError::File)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch {
                        prefix: "tls".to_owned(),
                        cert: files.cert.clone(),
                        key: files.key.clone(),
                    },
                    error => TlsConfigError::Key {
                        setting: "tls.key".to_owned(),
                        key: files.key.clone(),
                        reason: error.to_string(),
                    },
                })?
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            for certificate in pem::certificates(CA, ca).map_err(TlsConfigError::File)? {
                roots.add(certificate).map_err(|error| TlsConfigError::Certificate {
                    setting: CA.to_owned(),
                    path: ca.clone(),
                    reason: error.to_string(),
                })?;
            }
            return Ok(roots);
        }
        let bundle = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let Some(bundle) = bundle else {
            let why = "this system has no list of public authorities; install ca-certificates, or set tls.ca";
            return Err(TlsConfigError::Library(why.to_owned()));
        };
        // A list of the world's authorities always has some that nobody reads any more.
        let certificates = pem::certificates("the system's authorities", bundle);
        roots.add_parsable_certificates(certificates.map_err(TlsConfigError::File)?);
        Ok(roots)
    }
}

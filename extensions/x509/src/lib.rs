//! Authenticator: clients that show a certificate, whose chain the listener has verified (`tls.client-ca`).
//!
//! | configuration | meaning |
//! | --- | --- |
//! | `principal` | what names the client: `common-name` (unless told), `subject`, `san-dns`, `san-uri`, `san-email`, `san-ip` or `sha256` (the fingerprint) |
//! | `issuers` | distinguished names of those whose certificates are accepted, one a line; unless told, of all that the listener trusts |
//! | `client-id` | `any` (unless told), `equals`: the principal, or `prefix`: the principal, alone or followed by the separator and anything |
//! | `client-id-separator` | `-` unless told |
//!
//! The attributes `common-name`, `subject`, `issuer`, `serial` and `sha256` say what is in the certificate. What the client may do is left to
//! the authorizers of the chain. A client without a certificate is left to the next extension.
//!
//! Grants: `config`, `log`.

mod judgement;
mod settings;

use portcullis_extension::{
    Authenticator, Client, Config, Connection, Denial, Extension, Grant, HookError, Outcome,
    Secret, log, reason,
};
use settings::Settings;

struct X509 {
    settings: Settings,
}

impl Extension for X509 {
    fn start(config: &Config) -> Result<Self, String> {
        config.allow_only(&Settings::KEYS)?;
        Ok(Self { settings: Settings::read(|key| config.get(key))? })
    }
}

impl Authenticator for X509 {
    fn authenticate(
        &self,
        client: &Client,
        connection: &Connection,
        _secret: Secret,
    ) -> Result<Outcome, HookError> {
        let Some(certificate) = connection.peer_certificate() else {
            return Ok(Outcome::Abstain);
        };
        Ok(match judgement::judge(&self.settings, &client.client_id, &certificate) {
            Ok(principal) => {
                let attributes = judgement::attributes(&certificate);
                Outcome::Accept(Grant { attributes, ..Grant::new(principal) })
            }
            Err(why) => {
                log::debug(
                    "certificate refused",
                    &[
                        ("client", &client.client_id),
                        ("sha256", &certificate.sha256),
                        ("why", &why),
                    ],
                );
                Outcome::Reject(Denial::new(reason::NOT_AUTHORIZED, why))
            }
        })
    }
}

portcullis_extension::register!(X509);

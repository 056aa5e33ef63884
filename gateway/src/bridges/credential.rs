//! What upstream is shown besides a certificate, made for each connection and renewed while one lasts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auth::jwt::{Algorithm, Draft, Statement};
use bridge::{Authentication, Settings};
use config::{BridgeCredential, BridgeSas, BridgeToken};
use transport::{SigningAlgorithm, SigningKey};

use crate::clock::Clock;

/// Bytes of a password file at most, and of one with a key for signatures.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// What is shown once.
pub(super) struct Shown {
    bytes: Vec<u8>,
    /// The authentication method of MQTT 5 by which it is shown; `None` shows it as password.
    method: Option<String>,
    /// After which time another one is to take its place.
    pub(super) renew_after: Option<Duration>,
}

impl Shown {
    /// Settings for a connection at whose beginning it is shown.
    pub(super) fn begins(self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        match self.method {
            Some(method) => {
                settings.authentication = Some(Authentication { method, data: self.bytes });
            }
            None => settings.password = Some(self.bytes),
        }
        settings
    }

    /// What is shown on a connection that has begun.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whether a connection goes on when what was shown ends: it is shown another one.
pub(super) fn renews_in_place(credential: &BridgeCredential) -> bool {
    matches!(credential, BridgeCredential::Token(token) if token.method.is_some())
}

/// Makes what is to be shown now; `None` if nothing is. Files are read.
pub(super) async fn make(
    credential: &BridgeCredential,
    clock: Clock,
) -> Result<Option<Shown>, String> {
    let credential = credential.clone();
    let made = tokio::task::spawn_blocking(move || make_here(&credential, clock)).await;
    made.unwrap_or_else(|_| Err("what upstream is to be shown could not be made".to_owned()))
}

/// The same, where files may be waited for.
pub(super) fn make_here(
    credential: &BridgeCredential,
    clock: Clock,
) -> Result<Option<Shown>, String> {
    // The end has to be true for others, so it is reckoned from what the system says now.
    let now = clock.wall_ms() / 1000;
    let shown = match credential {
        BridgeCredential::None => return Ok(None),
        BridgeCredential::PasswordFile(file) => {
            let bytes = secret("password-file", file)?;
            Shown { bytes, method: None, renew_after: None }
        }
        BridgeCredential::Token(token) => Shown {
            bytes: jwt(token, now)?.into_bytes(),
            method: token.method.clone(),
            renew_after: Some(renewal(token.lifetime)),
        },
        BridgeCredential::Sas(sas) => Shown {
            bytes: signature(sas, now)?.into_bytes(),
            method: None,
            renew_after: Some(renewal(sas.lifetime)),
        },
    };
    Ok(Some(shown))
}

/// With a fifth of the time left, there is some for a connection that does not come about at once, and for clocks that differ.
fn renewal(lifetime: Duration) -> Duration {
    lifetime * 4 / 5
}

fn jwt(token: &BridgeToken, now: u64) -> Result<String, String> {
    let failed = |error: transport::SigningError| error.to_string();
    let key = SigningKey::read("token.key", &token.key).map_err(failed)?;
    let algorithm = match key.algorithm() {
        SigningAlgorithm::Rs256 => Algorithm::Rs256,
        SigningAlgorithm::Es256 => Algorithm::Es256,
        SigningAlgorithm::EdDsa => Algorithm::EdDsa,
    };
    let statement = Statement {
        key_id: token.key_id.as_deref(),
        audience: token.audience.as_deref(),
        issuer: token.issuer.as_deref(),
        subject: token.subject.as_deref(),
    };
    let draft = Draft::new(algorithm, &statement, now, token.lifetime.as_secs());
    let signature = key.sign(draft.message()).map_err(failed)?;
    Ok(draft.signed(&signature))
}

fn signature(sas: &BridgeSas, now: u64) -> Result<String, String> {
    let key = secret("sas.key-file", &sas.key_file)?;
    let expiry = now.saturating_add(sas.lifetime.as_secs());
    let fault = |why: String| format!("sas.key-file {:?} {why}", sas.key_file);
    let key = String::from_utf8(key).map_err(|_| fault("is not text".to_owned()))?;
    auth::sas::token(&sas.resource, &key, sas.policy.as_deref(), expiry)
        .map_err(|error| fault(error.to_string()))
}

/// What a file holds, without a line's end.
fn secret(setting: &str, file: &Path) -> Result<Vec<u8>, String> {
    let fault = |why: String| format!("{setting} {:?} {why}", PathBuf::from(file));
    let mut secret =
        std::fs::read(file).map_err(|error| fault(format!("is not readable ({error})")))?;
    if secret.len() > SECRET_BYTES_MAX {
        return Err(fault(format!("has more than {SECRET_BYTES_MAX} bytes")));
    }
    for end in *b"\n\r" {
        if secret.last() == Some(&end) {
            secret.pop();
        }
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_the_file_holds_without_a_lines_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        for (holds, secret) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")]
        {
            std::fs::write(&file, holds).unwrap();
            assert_eq!(super::secret("x", &file), Ok(secret.into()), "{holds:?}");
        }
        std::fs::write(&file, vec![b'a'; SECRET_BYTES_MAX + 1]).unwrap();
        assert!(super::secret("x", &file).unwrap_err().contains("more than 65536"));
        assert!(super::secret("x", &folder.path().join("none")).unwrap_err().contains("readable"));
    }

    #[test]
    fn a_fifth_of_the_time_is_left() {
        assert_eq!(renewal(Duration::from_secs(3600)), Duration::from_secs(2880));
    }
}

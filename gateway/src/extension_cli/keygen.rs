use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use auth::signature::SigningKey;

use crate::cli::say;
use crate::failure::Failure;
use crate::secret;

/// A private key is for its owner only.
const MODE: u32 = 0o600;

/// `portcullis extension keygen`
pub(super) fn run(out: &Path) -> Result<(), Failure> {
    let seed = secret::random()?;
    let key = SigningKey::from_seed(&seed)
        .map_err(|error| Failure::Extension(format!("what was drawn {error}")))?;
    // A key that is there may be one that gateways trust.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(out)
        .map_err(Failure::file("create", out))?;
    let written = file.write_all(SigningKey::pem(&seed).as_bytes()).and_then(|()| file.sync_all());
    written.map_err(Failure::file("write", out))?;
    say(&format!(
        "Made {}, a private key that signs extensions: keep it, and keep it away from gateways.\n\
         For gateway.toml of each gateway that is to trust it, under a name of your choice:\n\n  \
         [trust.keys]\n  NAME = \"{public}\"\n\n\
         Or, for a key of those alone who may compile for them (`portcullis extension compile`):\n\n  \
         [compiler]\n  code-keys = [\"{public}\"]",
        out.display(),
        public = key.public()
    ))
}

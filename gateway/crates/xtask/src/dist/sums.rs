//! Checksums of what is shipped, and a signature of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::command::{output, quietly};
use crate::failure::Failure;
use crate::packages::{self, Package};

/// The list of checksums in each folder that is shipped, and the signature of its bytes.
pub(crate) const SUMS: &str = "SHA256SUMS";
pub(crate) const SIGNATURE: &str = "SHA256SUMS.sig";

const TOOLS: [Package; 2] = [
    Package { name: "coreutils", brings: "sha256sum" },
    Package { name: "openssl", brings: "openssl" },
];

/// Modes of a file that give others than its owner something.
const OTHERS: u32 = 0o077;

/// What stands before the 32 bytes of a public key of Ed25519 in its DER (RFC 8410, section 4), in base64.
const HEAD: &str = "MCowBQYDK2VwAyEA";

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String, Failure> {
    packages::ensure(&TOOLS, "checksums")?;
    let text = output(Command::new("sha256sum").arg(path))?;
    // A name with a backslash begins the line with one.
    let sum = text.split(' ').next().unwrap_or_default().trim_start_matches('\\');
    Ok(sum.to_owned())
}

/// Writes the checksums of these files, by their paths in the folder, in their order.
pub(crate) fn write(folder: &Path, files: &[String]) -> Result<(), Failure> {
    let mut text = String::new();
    for file in files {
        text += &format!("{}  {file}\n", sha256(&folder.join(file))?);
    }
    let path = folder.join(SUMS);
    fs::write(&path, text).map_err(Failure::file("write", &path))
}

/// Signs the list in a folder with a private key of Ed25519, as `portcullis extension keygen` makes it, and sees whether
/// that can be verified; gives the public key as `gateway.toml` has it.
pub(crate) fn sign(folder: &Path, key: &Path) -> Result<String, Failure> {
    let mode = fs::metadata(key).map_err(Failure::file("read", key))?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(Failure::Other(format!(
            "{} has mode {:o}, so others may sign with it; take their rights away: chmod 600",
            key.display(),
            mode & 0o777
        )));
    }
    let pem = output(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(key))?;
    let coded: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let Some(public) = coded.strip_prefix(HEAD) else {
        return Err(Failure::Other(format!(
            "{} is no key of Ed25519; `portcullis extension keygen` makes one",
            key.display()
        )));
    };
    let (sums, signature) = (folder.join(SUMS), folder.join(SIGNATURE));
    let openssl = |action: &str, last: &str| {
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", action, "-rawin", "-in"]).arg(&sums);
        command.arg("-inkey").arg(key).arg(last).arg(&signature);
        command
    };
    quietly(&mut openssl("-sign", "-out"))?;
    quietly(&mut openssl("-verify", "-sigfile"))?;
    Ok(format!("ed25519:{public}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder with a list and a key, which goes away.
    struct Stage(PathBuf);

    impl Stage {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let stage = Self(folder);
            fs::write(stage.0.join("a"), "abc").unwrap();
            write(&stage.0, &["a".to_owned()]).unwrap();
            let mut make = Command::new("openssl");
            make.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(stage.key());
            quietly(&mut make).unwrap();
            stage
        }

        fn key(&self) -> PathBuf {
            self.0.join("key.pem")
        }

        /// As a user verifies.
        fn is_verified(&self) -> bool {
            let public = self.0.join("public.pem");
            let mut derive = Command::new("openssl");
            derive.args(["pkey", "-pubout", "-in"]).arg(self.key()).arg("-out").arg(&public);
            quietly(&mut derive).unwrap();
            let mut verify = Command::new("openssl");
            verify.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(public);
            verify.arg("-in").arg(self.0.join(SUMS)).arg("-sigfile").arg(self.0.join(SIGNATURE));
            verify.output().unwrap().status.success()
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_signed_is_verified_and_a_change_is_noticed() {
        let stage = Stage::new("sums");
        let list = fs::read_to_string(stage.0.join(SUMS)).unwrap();
        // FIPS 180-4, the example of one block.
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(list, format!("{sum}  a\n"));
        let public = sign(&stage.0, &stage.key()).unwrap();
        assert_eq!(public.len(), "ed25519:".len() + 44, "{public}");
        assert!(stage.is_verified());
        fs::write(stage.0.join(SUMS), list.replace("ba78", "ba79")).unwrap();
        assert!(!stage.is_verified());
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let stage = Stage::new("key");
        fs::set_permissions(stage.key(), fs::Permissions::from_mode(0o640)).unwrap();
        let said = sign(&stage.0, &stage.key()).unwrap_err().to_string();
        assert!(said.contains("mode 640") && said.contains("chmod 600"), "{said}");
        assert!(!stage.0.join(SIGNATURE).exists());
    }
}

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::failure::Failure;
use crate::secret;

const FILE: &str = "gateway-id";

/// Hexadecimal digits.
const DIGITS: usize = 16;

/// Which gateway this is: what was chosen at its first start. A copy of its data is the same gateway.
pub(super) fn open(data: &Path) -> Result<String, Failure> {
    let path = data.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) if is_one(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => {
            tracing::warn!(file = %path.display(), "gateway-id is damaged; another one is chosen")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::file("read", &path)(error)),
    }
    let mut identity = String::new();
    for byte in secret::random::<{ DIGITS / 2 }>()? {
        // Writing to a String cannot fail.
        let _ = write!(identity, "{byte:02x}");
    }
    write(data, &path, &identity).map_err(Failure::file("write", &path))?;
    Ok(identity)
}

fn is_one(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn write(data: &Path, path: &Path, identity: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    writeln!(file, "{identity}")?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_chosen_once_and_again_when_it_is_damaged() {
        let data = tempfile::tempdir().unwrap();
        let first = open(&data.path().join("deep")).unwrap();
        assert!(is_one(&first));
        assert_eq!(open(&data.path().join("deep")).unwrap(), first);
        assert_ne!(open(data.path()).unwrap(), first);
        fs::write(data.path().join(FILE), "x\n").unwrap();
        assert!(is_one(&open(data.path()).unwrap()));
    }
}

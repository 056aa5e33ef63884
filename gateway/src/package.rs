mod oci;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use auth::signature::MAX_SIGNATURE_TEXT_BYTES;
use extension_host::MAX_COMPONENT_BYTES;

use crate::failure::Failure;

/// A component as it lies on disk, with the signature beside it. Read once: what is verified is what is loaded.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) component: Vec<u8>,
    /// Where a signature is, or would be.
    pub(crate) place: String,
    /// Its text, if there is one.
    pub(crate) signature: Option<String>,
}

impl Package {
    /// Reads what is at a path: a file, or an OCI layout, in which `reference` is a tag or a digest.
    pub(crate) fn read(path: &Path, reference: Option<&str>) -> Result<Self, Failure> {
        if path.join(oci::MARKER).exists() {
            return oci::read(path, reference);
        }
        let component = bounded(path, MAX_COMPONENT_BYTES)?.ok_or_else(|| gone(path))?;
        let place = signature_of(path);
        let signature = bounded(&place, MAX_SIGNATURE_TEXT_BYTES)?;
        // What is not text is no signature either, which whoever reads it says.
        let signature = signature.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Self { component, place: place.display().to_string(), signature })
    }
}

/// The files by which one sees that there is another component at a path, or another signature of it.
pub(crate) fn files_of(path: &Path) -> Vec<PathBuf> {
    match path.join(oci::MARKER).exists() {
        // Whatever else there is in a layout is named by its digest.
        true => vec![path.join(oci::INDEX)],
        false => vec![path.to_owned(), signature_of(path)],
    }
}

/// `acl.wasm.sig` for `acl.wasm`.
pub(crate) fn signature_of(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// The bytes of a file, up to one more than `most`, so that whoever judges them sees that they are too many; none if
/// there is no such file.
fn bounded(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error| Failure::file("read", path)(error);
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        // A pipe or a device could keep the gateway waiting for ever.
        Ok(_) => {
            return Err(Failure::Extension(format!("{} is not a file; name one", path.display())));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn gone(path: &Path) -> Failure {
    Failure::file("read", path)(std::io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_lies_beside_its_component() {
        let dir = tempfile::tempdir().unwrap();
        let component = dir.path().join("acl.wasm");
        assert!(Package::read(&component, None).is_err());
        assert!(Package::read(dir.path(), None).is_err());
        fs::write(&component, "component").unwrap();
        let package = Package::read(&component, None).unwrap();
        assert_eq!((&*package.component, package.signature), (&b"component"[..], None));
        let long = "x".repeat(MAX_SIGNATURE_TEXT_BYTES * 2);
        fs::write(dir.path().join("acl.wasm.sig"), long).unwrap();
        let package = Package::read(&component, None).unwrap();
        assert_eq!(package.signature.map(|text| text.len()), Some(MAX_SIGNATURE_TEXT_BYTES + 1));
        assert!(package.place.ends_with("acl.wasm.sig"), "{}", package.place);
    }
}

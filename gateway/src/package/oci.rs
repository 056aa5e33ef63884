//! A component in an OCI image layout on disk (OCI Image Format 1.1, image-layout.md), as `oras` and `wkg` write it.

use std::path::Path;

use auth::signature::MAX_SIGNATURE_TEXT_BYTES;
use extension_host::MAX_COMPONENT_BYTES;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Package, bounded};
use crate::failure::Failure;

/// The file that makes a directory a layout.
pub(super) const MARKER: &str = "oci-layout";

/// The file that says what is in it.
pub(super) const INDEX: &str = "index.json";

/// Bytes of an index or a manifest at most. Registries refuse manifests of more than 4 MiB.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// The annotation that has a manifest's tag.
const TAG: &str = "org.opencontainers.image.ref.name";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SIGNATURE: &str = "application/vnd.portcullis.extension.signature.v1+json";

/// Reads the component that `reference` names, a tag or a digest, or the only one that there is. Whatever is named by
/// a digest has it, or is refused.
pub(super) fn read(layout: &Path, reference: Option<&str>) -> Result<Package, Failure> {
    let layout = Layout(layout);
    layout.check_version()?;
    let index = layout.document(INDEX)?;
    let manifest = layout.manifest(&index, reference)?;
    let digest = manifest.digest.clone();
    let manifest = layout.json(&layout.blob(&manifest, DOCUMENT_BYTES_MAX)?, &manifest.place())?;
    let layers = layout.layers(&manifest, &digest)?;
    let (wasm, others): (Vec<_>, Vec<_>) =
        layers.into_iter().partition(|layer| is_wasm(&layer.media_type));
    let [component] = wasm.as_slice() else {
        let found: Vec<&str> =
            wasm.iter().chain(&others).map(|layer| layer.media_type.as_str()).collect();
        return Err(layout.fault(format!(
            "{digest} has {} layers of WebAssembly (application/wasm or application/vnd.wasm.*), and it takes \
             one; its layers are [{}]",
            wasm.len(),
            found.join(", ")
        )));
    };
    let signature = others.iter().find(|layer| layer.media_type == SIGNATURE);
    let text = signature.map(|layer| layout.blob(layer, MAX_SIGNATURE_TEXT_BYTES)).transpose()?;
    let place = match signature {
        Some(layer) => layout.0.join(layer.place()).display().to_string(),
        None => format!("{}: the layer {SIGNATURE} of {digest}", layout.0.display()),
    };
    Ok(Package {
        component: layout.blob(component, MAX_COMPONENT_BYTES)?,
        place,
        signature: text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// `application/wasm` is what the CNCF's guidance for Wasm in OCI says; others came before it.
fn is_wasm(media_type: &str) -> bool {
    media_type == "application/wasm"
        || media_type.starts_with("application/vnd.wasm.") && !media_type.contains(".config.")
}

/// What a document says of a blob.
#[derive(Clone, Debug)]
struct Descriptor {
    media_type: String,
    /// `sha256:` and 64 hexadecimal digits of lower case: nothing that could be a path to elsewhere.
    digest: String,
    size: u64,
    tag: Option<String>,
}

impl Descriptor {
    fn place(&self) -> String {
        format!("blobs/{}", self.digest.replacen(':', "/", 1))
    }
}

struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn fault(&self, why: impl std::fmt::Display) -> Failure {
        Failure::Extension(format!("OCI layout {}: {why}", self.0.display()))
    }

    fn check_version(&self) -> Result<(), Failure> {
        let marker = self.document(MARKER)?;
        match marker.get("imageLayoutVersion").and_then(Value::as_str) {
            Some(version) if version.starts_with("1.") => Ok(()),
            version => Err(self.fault(format!(
                "{MARKER} has the imageLayoutVersion {version:?}, this gateway reads 1.0.0; write the layout \
                 anew"
            ))),
        }
    }

    fn document(&self, name: &str) -> Result<Value, Failure> {
        let path = self.0.join(name);
        let bytes = bounded(&path, DOCUMENT_BYTES_MAX)?
            .ok_or_else(|| self.fault(format!("it has no {name}")))?;
        self.json(&bytes, name)
    }

    fn json(&self, bytes: &[u8], name: &str) -> Result<Value, Failure> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(self.fault(format!("{name} has more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| self.fault(format!("{name} is not JSON: {error}")))
    }

    /// The manifest in the index that is meant.
    fn manifest(&self, index: &Value, reference: Option<&str>) -> Result<Descriptor, Failure> {
        let all = self.descriptors(index, "manifests", "index.json")?;
        let meant = |descriptor: &&Descriptor| {
            reference
                .is_none_or(|it| descriptor.tag.as_deref() == Some(it) || descriptor.digest == it)
        };
        let mut meant: Vec<&Descriptor> = all.iter().filter(meant).collect();
        meant.dedup_by(|one, other| one.digest == other.digest);
        let there = || {
            let name = |it: &Descriptor| it.tag.clone().unwrap_or_else(|| it.digest.clone());
            all.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        match (meant.as_slice(), reference) {
            ([one], _) if one.media_type == MANIFEST => Ok((*one).clone()),
            ([one], _) => Err(self.fault(format!(
                "{} is {}, not a manifest of one artefact ({MANIFEST}); name one",
                one.digest, one.media_type
            ))),
            ([], None) => Err(self.fault("index.json names no manifest")),
            ([], Some(wanted)) => {
                Err(self.fault(format!("it has no \"{wanted}\"; it has {}", there())))
            }
            (_, _) => Err(self.fault(format!(
                "several manifests are meant; name one by its tag or digest behind the path, as in \
                 oci:PATH:TAG; it has {}",
                there()
            ))),
        }
    }

    fn layers(&self, manifest: &Value, digest: &str) -> Result<Vec<Descriptor>, Failure> {
        self.descriptors(manifest, "layers", digest)
    }

    fn descriptors(&self, value: &Value, key: &str, of: &str) -> Result<Vec<Descriptor>, Failure> {
        let Some(Value::Array(all)) = value.get(key) else {
            return Err(self.fault(format!("{of} has no list \"{key}\"")));
        };
        all.iter().map(|value| self.descriptor(value, of)).collect()
    }

    fn descriptor(&self, value: &Value, of: &str) -> Result<Descriptor, Failure> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let lacks = |key: &str| self.fault(format!("{of} has a descriptor without {key}"));
        let digest = text("digest").ok_or_else(|| lacks("digest"))?;
        if !is_digest(&digest) {
            return Err(self.fault(format!(
                "{of} has the digest {digest:?}, which is not \"sha256:\" and 64 hexadecimal digits"
            )));
        }
        Ok(Descriptor {
            media_type: text("mediaType").ok_or_else(|| lacks("mediaType"))?,
            size: value.get("size").and_then(Value::as_u64).ok_or_else(|| lacks("size"))?,
            tag: value.get("annotations").and_then(|all| all.get(TAG)?.as_str()).map(str::to_owned),
            digest,
        })
    }

    /// The bytes that a digest names, and no others.
    fn blob(&self, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>, Failure> {
        let (place, stated) = (descriptor.place(), descriptor.size);
        if stated > most as u64 {
            return Err(self.fault(format!("{place} has {stated} bytes, the most is {most}")));
        }
        let bytes = bounded(&self.0.join(&place), most)?;
        let bytes =
            bytes.ok_or_else(|| self.fault(format!("it has no {place}; fetch it again")))?;
        if bytes.len() as u64 != stated {
            return Err(self.fault(format!(
                "{place} has not the {stated} bytes that are stated; fetch it again"
            )));
        }
        let found: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if descriptor.digest != format!("sha256:{found}") {
            return Err(self.fault(format!(
                "{place} has the digest sha256:{found}, which is not its name: it was changed or damaged; fetch it \
                 again"
            )));
        }
        Ok(bytes)
    }
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    /// A layout to the letter of the specification.
    struct Made(TempDir);

    impl Made {
        fn new() -> Self {
            let made = Self(tempfile::tempdir().unwrap());
            made.put("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
            made
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
            let digits: String =
                Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            self.put(&format!("blobs/sha256/{digits}"), bytes);
            json!({ "mediaType": media_type, "digest": format!("sha256:{digits}"), "size": bytes.len() })
        }

        fn manifest(&self, tag: Option<&str>, layers: &[Value]) -> Value {
            let config = self.blob("application/vnd.wasm.config.v0+json", b"{}");
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers
            });
            let mut descriptor = self.blob(MANIFEST, manifest.to_string().as_bytes());
            if let Some(tag) = tag {
                descriptor["annotations"] = json!({ TAG: tag });
            }
            descriptor
        }

        fn index(&self, manifests: &[Value]) {
            let index = json!({ "schemaVersion": 2, "manifests": manifests });
            self.put("index.json", index.to_string().as_bytes());
        }

        fn read(&self, reference: Option<&str>) -> Result<Package, String> {
            read(self.0.path(), reference).map_err(|failure| failure.to_string())
        }
    }

    fn one(layers: impl Fn(&Made) -> Vec<Value>) -> Made {
        let made = Made::new();
        let manifest = made.manifest(Some("1.0"), &layers(&made));
        made.index(&[manifest]);
        made
    }

    #[test]
    fn the_component_and_its_signature_are_found() {
        for media_type in ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"] {
            let made = one(|made| {
                let component = made.blob(media_type, b"component");
                vec![made.blob("text/plain", b"readme"), component, made.blob(SIGNATURE, b"signed")]
            });
            for reference in [None, Some("1.0")] {
                let package = made.read(reference).unwrap();
                assert_eq!(package.component, b"component");
                assert_eq!(package.signature.as_deref(), Some("signed"));
                assert!(package.place.contains("blobs/sha256/"), "{}", package.place);
            }
        }
    }

    #[test]
    fn tags_and_digests_say_which() {
        let made = Made::new();
        let layer = |bytes: &[u8]| vec![made.blob("application/wasm", bytes)];
        let (one, two) = (layer(b"one"), layer(b"two"));
        let (one, two) = (made.manifest(Some("1"), &one), made.manifest(None, &two));
        made.index(&[one, two.clone()]);
        assert_eq!(made.read(Some("1")).unwrap().component, b"one");
        assert_eq!(made.read(two["digest"].as_str()).unwrap().component, b"two");
        for (reference, says) in
            [(None, "several manifests"), (Some("2"), "it has no \"2\"; it has 1, sha256:")]
        {
            let said = made.read(reference).map(|_| ()).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn what_is_not_what_its_digest_says_is_refused() {
        let made = one(|made| vec![made.blob("application/wasm", b"component")]);
        let digits: String =
            Sha256::digest(b"component").iter().map(|byte| format!("{byte:02x}")).collect();
        made.put(&format!("blobs/sha256/{digits}"), b"comPonent");
        let said = made.read(None).map(|_| ()).unwrap_err();
        assert!(said.contains("changed or damaged"), "{said}");
        made.put(&format!("blobs/sha256/{digits}"), b"component and more");
        let said = made.read(None).map(|_| ()).unwrap_err();
        assert!(said.contains("has not the 9 bytes"), "{said}");
        fs::remove_file(made.0.path().join(format!("blobs/sha256/{digits}"))).unwrap();
        let said = made.read(None).map(|_| ()).unwrap_err();
        assert!(said.contains("it has no blobs/sha256/"), "{said}");
    }

    #[test]
    fn digests_are_no_paths() {
        for digest in [
            "sha256:../../../../etc/passwd",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha256:{}/x", "a".repeat(62)),
        ] {
            let made = one(|_| {
                vec![json!({ "mediaType": "application/wasm", "digest": digest, "size": 1 })]
            });
            let said = made.read(None).map(|_| ()).unwrap_err();
            assert!(said.contains("64 hexadecimal digits"), "{said}");
        }
    }

    #[test]
    fn what_is_no_layout_of_one_component_is_told_apart() {
        let wasm = |made: &Made, bytes: &[u8]| made.blob("application/wasm", bytes);
        let two = one(|made| vec![wasm(made, b"1"), wasm(made, b"2")]);
        let none = one(|made| vec![made.blob("application/vnd.oci.image.layer.v1.tar", b"tar")]);
        let huge = one(|made| {
            let mut layer = wasm(made, b"1");
            layer["size"] = (MAX_COMPONENT_BYTES + 1).into();
            vec![layer]
        });
        let other = Made::new();
        other.put("oci-layout", br#"{"imageLayoutVersion": "2.0.0"}"#);
        let image = Made::new();
        let index = image.blob("application/vnd.oci.image.index.v1+json", b"{}");
        image.index(&[index]);
        let empty = Made::new();
        empty.index(&[]);
        let broken = Made::new();
        broken.put("index.json", b"{");
        for (made, says) in [
            (two, "has 2 layers of WebAssembly"),
            (none, "has 0 layers of WebAssembly"),
            (huge, "the most is"),
            (other, "imageLayoutVersion Some(\"2.0.0\")"),
            (image, "not a manifest of one artefact"),
            (empty, "names no manifest"),
            (broken, "is not JSON"),
            (Made::new(), "it has no index.json"),
        ] {
            let said = made.read(None).map(|_| ()).unwrap_err();
            assert!(said.starts_with("OCI layout ") && said.contains(says), "{says}: {said}");
        }
    }
}

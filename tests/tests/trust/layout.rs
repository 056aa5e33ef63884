//! An OCI image layout on disk, to the letter of image-layout.md of the OCI Image Format.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]
#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// The media type of a signature that lies in a layout.
pub const SIGNATURE: &str = "application/vnd.portcullis.extension.signature.v1+json";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout that is written as it is told, right or wrong.
pub struct Layout(PathBuf);

impl Layout {
    /// An empty one.
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder");
        let marker = json!({ "imageLayoutVersion": "1.0.0" });
        fs::write(folder.join("oci-layout"), marker.to_string()).expect("a file");
        Self(folder)
    }

    /// Adds a blob; answers with its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digits: String = sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.0.join("blobs/sha256").join(&digits), bytes).expect("a blob");
        json!({ "mediaType": media_type, "digest": format!("sha256:{digits}"), "size": bytes.len() })
    }

    /// Adds a manifest with the configuration that `wkg` gives it; answers with its descriptor.
    pub fn manifest(&self, tag: &str, layers: &[Value]) -> Value {
        let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({ "architecture": "wasm", "os": "wasip2", "layerDigests": digests });
        let config =
            self.blob("application/vnd.wasm.config.v0+json", config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let mut descriptor = self.blob(MANIFEST, manifest.to_string().as_bytes());
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        descriptor
    }

    /// Writes the index.
    pub fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.0.join("index.json"), index.to_string()).expect("an index");
    }

    /// Where a blob is.
    pub fn path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().expect("a digest");
        self.0.join("blobs").join(digest.replacen(':', "/", 1))
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

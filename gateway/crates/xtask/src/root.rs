use std::env;
use std::path::{Path, PathBuf};

/// Where things are in the repository.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    root: PathBuf,
    target: PathBuf,
}

impl Root {
    /// The repository that this program was built from, and cargo's target folder.
    pub(crate) fn find() -> Self {
        let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(3)
            .unwrap_or_else(|| Path::new("."))
            .to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Self { root, target }
    }

    /// The repository itself.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// A file or folder of the repository.
    pub(crate) fn join(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A file or folder below cargo's target folder.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }
}

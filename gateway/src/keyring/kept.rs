use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Label;
use crate::clock;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where the last good answer of a server is kept, for a start without a network.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    url: String,
}

impl Kept {
    /// The place for a key set of an extension. Their names have no dots, so that no two sets share a file.
    pub(super) fn of(data: &Path, label: &Label, url: &str) -> Self {
        let name = format!("{}.{}.json", label.extension, label.key_set);
        Self { path: data.join("key-sets").join(name), url: url.to_owned() }
    }

    /// The answer and its age, if there is one of this address.
    pub(super) fn read(&self) -> Option<(String, Duration)> {
        let kept: Value = serde_json::from_str(&fs::read_to_string(&self.path).ok()?).ok()?;
        if kept.get("url")?.as_str()? != self.url {
            return None;
        }
        let fetched = Duration::from_secs(kept.get("fetched")?.as_u64()?);
        let text = kept.get("answer")?.as_str()?.to_owned();
        // A clock that is behind, as after a start without a battery, makes it as old as now: tokens of the present are
        // not valid then either.
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some((text, now.saturating_sub(fetched)))
    }

    /// Keeps what was fetched now. Whole or not at all.
    pub(super) fn write(&self, answer: &str) -> io::Result<()> {
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = json!({ "url": self.url, "fetched": now.as_secs(), "answer": answer });
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(directory)?;
        let aside = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&aside)?;
        file.write_all(kept.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_of_one_address() {
        let data = tempfile::tempdir().unwrap();
        let label = Label { extension: "jwt".into(), key_set: "plant".into() };
        let kept = Kept::of(data.path(), &label, "https://a/");
        assert_eq!(kept.read(), None);
        kept.write("{\"keys\":[]}").unwrap();
        kept.write("{ }").unwrap();
        let (text, age) = kept.read().unwrap();
        assert!(text == "{ }" && age < Duration::from_secs(60), "{text} {age:?}");
        assert_eq!(Kept::of(data.path(), &label, "https://b/").read(), None);
        fs::write(&kept.path, "{").unwrap();
        assert_eq!(kept.read(), None);
    }
}

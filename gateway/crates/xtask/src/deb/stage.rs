use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What says that a folder was made here, and may be made anew.
const MARK: &str = ".portcullis-tree";

/// An empty folder for the files of a package.
pub(super) struct Stage(PathBuf);

impl Stage {
    /// A folder of this program's own.
    pub(super) fn own(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(Failure::file("remove", path))?;
        }
        fs::create_dir_all(path).map_err(Failure::file("create", path))?;
        Ok(Self(path.to_owned()))
    }

    /// A folder that somebody has named: one that has anything in it is only emptied if it is marked as made here.
    pub(super) fn named(path: &Path) -> Result<Self, Failure> {
        let is_made_here = path.join(MARK).is_file();
        let is_empty = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            // What else is wrong is said by whoever makes it.
            Err(_) => !path.exists(),
        };
        if !is_made_here && !is_empty {
            return Err(Failure::Other(format!(
                "--stage {} is there and was not made by this command, which empties the folder first; name one that does \
                 not exist or is empty, or remove it yourself",
                path.display()
            )));
        }
        let stage = Self::own(path)?;
        let mark = path.join(MARK);
        fs::write(&mark, "").map_err(Failure::file("write", &mark))?;
        Ok(stage)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_here_is_emptied() {
        let above = std::env::temp_dir().join(format!("portcullis-stage-{}", std::process::id()));
        let (ours, others, file) = (above.join("ours"), above.join("others"), above.join("file"));
        Stage::named(&ours).unwrap();
        fs::write(ours.join("old"), "").unwrap();
        Stage::named(&ours).unwrap();
        assert!(!ours.join("old").exists());

        fs::create_dir_all(&others).unwrap();
        fs::write(others.join("letter"), "dear").unwrap();
        let said = Stage::named(&others).err().unwrap().to_string();
        assert!(said.contains("others is there and was not made by this command"), "{said}");
        assert_eq!(fs::read_to_string(others.join("letter")).unwrap(), "dear");
        fs::remove_file(others.join("letter")).unwrap();
        Stage::named(&others).unwrap();
        fs::write(&file, "dear").unwrap();
        assert!(Stage::named(&file).is_err());
        fs::remove_dir_all(above).unwrap();
    }
}

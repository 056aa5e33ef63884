//! A new project.

use std::fs;
use std::path::{Path, PathBuf};

use config::Language;

use crate::failure::Failure;
use crate::template;

/// Bytes of a name at most: what `gateway.toml` takes.
const NAME_BYTES_MAX: usize = 64;

/// Writes a new project, which builds and passes its own fixtures, into `folder`; gives the paths of its files.
///
/// # Errors
/// The name is none, there is something in the folder already, or it cannot be written.
pub fn new(language: Language, name: &str, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !is_name(name) {
        return Err(Failure::Other(format!(
            "\"{name}\" is no name for an extension: it has at most {NAME_BYTES_MAX} lower-case letters and digits, in \
             words with \"-\" between them that begin with a letter, because packages of all languages are called so"
        )));
    }
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        let folder = folder.display();
        return Err(Failure::Other(format!(
            "there is something in {folder}; choose another folder"
        )));
    }
    let mut written = Vec::new();
    for file in template::files(language, name) {
        let path = folder.join(file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(Failure::file("create", parent))?;
        fs::write(&path, file.text).map_err(Failure::file("write", &path))?;
        written.push(path);
    }
    Ok(written)
}

fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= NAME_BYTES_MAX && name.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_language_takes() {
        for name in ["a", "gate2", "tank-farm"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-", "a-", "A", "2a", "a--b", "a_b", "a/b", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("gate");
        let files = new(Language::Python, "gate", &project).unwrap();
        assert!(files.contains(&project.join("extension.py")) && files.iter().all(|f| f.is_file()));
        let again = new(Language::C, "gate", &project).unwrap_err().to_string();
        assert!(again.contains("there is something in"), "{again}");
    }
}

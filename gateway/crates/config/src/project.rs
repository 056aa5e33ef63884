//! `extension.toml`: what the author of an extension has in a folder, and in which language.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::reader::Reader;
use crate::section::Section;
use crate::{Disk, Report};

/// Name of the file, in the folder of the project.
pub const PROJECT_FILE: &str = "extension.toml";

const LANGUAGES: [(&str, Language); 5] = [
    ("rust", Language::Rust),
    ("go", Language::Go),
    ("c", Language::C),
    ("javascript", Language::JavaScript),
    ("python", Language::Python),
];

/// What an author writes an extension in, and how it becomes a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// What the extension is called: the component is `build/NAME.wasm`.
    pub name: String,
    /// The language.
    pub language: Language,
    /// The file that the toolchain begins with, for languages that name one.
    pub source: PathBuf,
}

/// A language that extensions are built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// C.
    C,
    /// JavaScript.
    JavaScript,
    /// Python.
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::C, Self::JavaScript, Self::Python];

    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::C => "c",
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }

    /// The language of that name, or of the short one that people use for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "js" { "javascript" } else { name };
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    fn source(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Go => "main.go",
            Self::C => "extension.c",
            Self::JavaScript => "extension.js",
            Self::Python => "extension.py",
        }
    }
}

impl Project {
    /// Reads `extension.toml` of a folder.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or why it cannot be read.
    pub fn load(folder: &Path) -> Result<Self, Report> {
        let file = folder.join(PROJECT_FILE);
        let text =
            std::fs::read_to_string(&file).map_err(|error| Report::unreadable(&file, &error))?;
        Self::parse(&text, folder)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, Report> {
        let file = folder.join(PROJECT_FILE);
        let reader = Reader::new(text, &file, &Disk);
        let (table, errors) = DeTable::parse_recoverable(text);
        let project = if errors.is_empty() {
            read(&Section::root(&reader, table.get_ref()), folder)
        } else {
            reader.not_toml(&errors);
            None
        };
        let (faults, _) = reader.finish();
        match project {
            Some(project) if faults.is_empty() => Ok(project),
            _ => Err(Report::new(&file, faults)),
        }
    }
}

fn read(root: &Section<'_>, folder: &Path) -> Option<Project> {
    let name = root.required("name", "say what the extension is called");
    if let Some(name) = name.as_ref().filter(|name| !crate::section::is_name(name.value)) {
        let rule = "a name has 1 to 64 letters, digits, \"-\" and \"_\"";
        root.fault(name.line, "name", &format!("\"{}\" is none: {rule}", name.value));
    }
    let language = root
        .required("language", "it is one of rust, go, c, javascript, python")
        .and_then(|word| root.chosen("language", &word, &LANGUAGES));
    let source = root.text("source").map(|source| source.value.to_owned());
    root.finish();
    let (name, language) = (name?.value.to_owned(), language?);
    let source = folder.join(source.unwrap_or_else(|| language.source().to_owned()));
    Some(Project { folder: folder.to_owned(), name, language, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_a_name_and_a_language() {
        let text = "name = \"gate\"\nlanguage = \"c\"\n";
        let project = Project::parse(text, Path::new("dir")).unwrap();
        assert_eq!((project.name.as_str(), project.language), ("gate", Language::C));
        assert_eq!(project.source, Path::new("dir/extension.c"));
        let said = |text| Project::parse(text, Path::new("dir")).unwrap_err().to_string();
        for (text, words) in [
            ("", "dir/extension.toml: name is missing"),
            ("name = \"a/b\"\nlanguage = \"c\"", ":1: name \"a/b\" is none"),
            ("name = \"a\"\nlanguage = \"pyton\"", ":2: language \"pyton\" is none of \"rust\""),
            (
                "name = \"a\"\nlang = \"c\"",
                ":2: \"lang\" is not a known key; known here: language, name, source",
            ),
        ] {
            assert!(said(text).contains(words), "{text}: {}", said(text));
        }
    }

    #[test]
    fn languages_have_the_names_that_are_read() {
        for (name, language) in LANGUAGES {
            assert_eq!((language.name(), Language::from_name(name)), (name, Some(language)));
        }
        assert_eq!(Language::from_name("js"), Some(Language::JavaScript));
    }
}

//! What all sections share while a file is read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::report::Fault;
use crate::{FileProbe, Found};

/// What the path of a secret begins with that whoever starts the gateway hands over.
const CREDENTIAL: &str = "credential:";

/// The name of a credential, if a path is one.
fn credential(path: &str) -> Option<&str> {
    path.strip_prefix(CREDENTIAL)
}

fn is_credential_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/')
}

/// Why a credential is none; the end of a sentence that starts with its path.
fn no_credential(name: &str) -> String {
    if is_credential_name(name) {
        format!(
            "is not there: CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:PATH to the unit, and start the gateway by it"
        )
    } else {
        "names no credential; a name has no \"/\" and does not begin with \".\"".to_owned()
    }
}

/// Gathers faults, and where each key was, while the sections are read.
pub(crate) struct Reader<'a> {
    /// Where each line starts, in bytes.
    line_starts: Vec<usize>,
    /// The directory of the configuration file.
    base: &'a Path,
    files: &'a dyn FileProbe,
    faults: RefCell<Vec<Fault>>,
    /// The line of each key that the file has, by its full path.
    lines: RefCell<BTreeMap<String, usize>>,
    /// Each key that was asked for, with `*` for names that the operator chooses.
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &str, file: &'a Path, files: &'a dyn FileProbe) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            line_starts: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect(),
            base: file.parent().unwrap_or(Path::new("")),
            files,
            faults: RefCell::default(),
            lines: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// The line of a byte of the text, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(crate) fn fault(&self, line: Option<usize>, message: String) {
        self.faults.borrow_mut().push(Fault { line, message });
    }

    /// The faults of a file that is not TOML.
    pub(crate) fn not_toml(&self, errors: &[toml::de::Error]) {
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            let message = error.message().trim().replace('\n', ", ");
            self.fault(line, format!("not TOML: {message}"));
        }
    }

    /// A fault about several keys: at the first of them that the file has.
    pub(crate) fn fault_at(&self, paths: &[&str], message: String) {
        let line = paths.iter().find_map(|path| self.lines.borrow().get(*path).copied());
        self.fault(line, message);
    }

    pub(crate) fn note_key(&self, path: String, line: usize) {
        self.lines.borrow_mut().insert(path, line);
    }

    pub(crate) fn note_known(&self, pattern: String) {
        self.known.borrow_mut().insert(pattern);
    }

    /// A path of the file as a path of the system. One that is a credential where there are none stays as it is.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match (credential(path), self.files.credentials()) {
            (Some(name), Some(dir)) if is_credential_name(name) => dir.join(name),
            (Some(_), _) => PathBuf::from(path),
            (None, _) => self.base.join(path),
        }
    }

    /// Why a file cannot be read; the end of a sentence that starts with its path.
    pub(crate) fn check_file(&self, path: &Path) -> Result<(), String> {
        if let Some(name) = path.to_str().and_then(credential) {
            return Err(no_credential(name));
        }
        match self.files.probe(path) {
            Ok(Found::File) => Ok(()),
            Ok(Found::Directory) => Err("is a directory; name a file".to_owned()),
            Err(error) => {
                let mut why = format!("is not readable ({})", crate::report::cause(&error));
                if let Some(uid) = self.files.uid() {
                    why.push_str(&format!("; the gateway runs as uid {uid}"));
                }
                Err(why)
            }
        }
    }

    /// Why a directory cannot be one, or be made; the end of a sentence that starts with its path.
    pub(crate) fn check_directory(&self, path: &Path) -> Result<(), &'static str> {
        match self.files.probe(path) {
            Ok(Found::File) => Err("is a file; name a directory, which need not exist yet"),
            Ok(Found::Directory) | Err(_) => Ok(()),
        }
    }

    /// What was found and asked for.
    pub(crate) fn finish(self) -> (Vec<Fault>, BTreeSet<String>) {
        (self.faults.into_inner(), self.known.into_inner())
    }
}

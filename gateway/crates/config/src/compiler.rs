//! `[compiler]`: how components become code, and where the code is kept.

use std::path::PathBuf;
use std::time::Duration;

use auth::signature::PublicKey;

use crate::section::Section;

/// How components become code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// Bytes of compiled code that are kept in the data directory for the next start; none: nothing is kept.
    pub cache: Option<u64>,
    /// The process that compiles; none: the gateway's own.
    pub process: Option<CompilerProcess>,
    /// Code that was compiled elsewhere, and who may have compiled it.
    pub brought: Option<Brought>,
}

/// Code that was compiled elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// The directory with it; it need not exist yet.
    pub dir: PathBuf,
    /// Whose code is run. Whoever has one of them can have the gateway run anything.
    pub keys: Vec<PublicKey>,
}

/// Bounds of the process that compiles one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProcess {
    /// Bytes of memory.
    pub max_memory: u64,
    /// Time.
    pub deadline: Duration,
}

/// Code is three times as large as its component; with interpreters inside that is up to 40 MB each.
const DEFAULT_CACHE: u64 = 256 << 20;

/// A component with a Python interpreter takes 350 MB.
const DEFAULT_MEMORY: u64 = 1 << 30;

/// Ten times what the same component takes on a small board.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(600);

pub(crate) fn read(root: &Section<'_>) -> Compiler {
    let section = root.section("compiler");
    let cache = if section.flag("cache", true) {
        Some(section.size("cache-size", DEFAULT_CACHE, 1 << 20..=16 << 30))
    } else {
        section.meaningless(&["cache-size"], "with cache = false; remove it");
        None
    };
    let process = if section.flag("separate-process", true) {
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(3_600));
        Some(CompilerProcess {
            max_memory: section.size("max-memory", DEFAULT_MEMORY, 16 << 20..=64 << 30),
            deadline: section.duration("deadline", DEFAULT_DEADLINE, least..=most),
        })
    } else {
        let keys = ["max-memory", "deadline"];
        section.meaningless(&keys, "with separate-process = false; remove it");
        None
    };
    let brought = brought(&section);
    section.finish();
    Compiler { cache, process, brought }
}

fn brought(section: &Section<'_>) -> Option<Brought> {
    let dir = section.directory("code-dir", PathBuf::new());
    let mut keys: Vec<PublicKey> = Vec::new();
    for text in section.texts("code-keys").unwrap_or_default() {
        match PublicKey::parse(text.value) {
            Ok(key) => keys.push(key),
            Err(error) => {
                section.fault(text.line, "code-keys", &format!("{:?} {error}", text.value));
            }
        }
    }
    match (section.has("code-dir"), section.has("code-keys")) {
        (false, false) => return None,
        (true, true) => {}
        (true, false) => section.missing(
            "code-keys",
            "name the keys whose code is run: `portcullis extension keygen` makes one",
        ),
        (false, true) => section.missing("code-dir", "name the directory with the code"),
    }
    Some(Brought { dir, keys })
}

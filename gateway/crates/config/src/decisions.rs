//! `[decisions]`: a file with what was decided about whom.

use std::path::PathBuf;

use crate::section::Section;

/// The decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The file; the ones that were put aside have a number behind it.
    pub file: PathBuf,
    /// Bytes of one of them.
    pub max_size: u64,
    /// How many are put aside.
    pub kept: u32,
    /// Whether what an extension allowed when it was asked is in it too.
    pub allowed: bool,
}

const DEFAULT_SIZE: u64 = 16 << 20;
const DEFAULT_KEPT: u32 = 4;

pub(crate) fn read(root: &Section<'_>) -> Option<Decisions> {
    let section = root.section("decisions");
    let file = section.text("file").map(|path| section.reader.resolve(path.value));
    let decisions = file.map(|file| Decisions {
        file,
        max_size: section.size("max-size", DEFAULT_SIZE, 64 << 10..=1 << 30),
        kept: section.number("kept", DEFAULT_KEPT, 0..=100),
        allowed: section.flag("allowed", false),
    });
    if decisions.is_none() {
        section
            .meaningless(&["max-size", "kept", "allowed"], "without file; name one or remove it");
    }
    section.finish();
    decisions
}

//! `[admin]`: where the operator reaches a gateway that runs.

use std::path::{Path, PathBuf};

use crate::section::Section;

/// The admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Whether there is one.
    pub enabled: bool,
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// Its permissions: 0o600, or 0o660 for the group too.
    pub mode: u32,
}

/// Read and write for the owner, which every mode has, and for the group, which it may have. Both are needed to use a
/// socket; others are never given either.
const OWNER: u32 = 0o600;
const GROUP: u32 = 0o060;

pub(crate) fn read(root: &Section<'_>, data: &Path) -> Admin {
    let section = root.section("admin");
    let enabled = section.flag("enabled", true);
    let mut admin = Admin { enabled, socket: data.join("admin.sock"), mode: OWNER };
    if enabled {
        if let Some(path) = section.text("socket") {
            admin.socket = section.reader.resolve(path.value);
        }
        if let Some(found) = section.text("mode") {
            match mode(found.value) {
                Some(mode) => admin.mode = mode,
                None => section.fault(
                    found.line,
                    "mode",
                    &format!(
                        "\"{}\" is neither \"0600\", for the gateway's user, nor \"0660\", for its group too; \
                         whoever may use the socket may do everything",
                        found.value
                    ),
                ),
            }
        }
    } else {
        section.meaningless(&["socket", "mode"], "with enabled = false; remove it");
    }
    section.finish();
    admin
}

fn mode(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| text.len() == 4)?;
    [OWNER, OWNER | GROUP].contains(&mode).then_some(mode)
}

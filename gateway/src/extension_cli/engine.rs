use extension_host::EngineKind;

use crate::cli::say;
use crate::failure::Failure;
use crate::machine;

/// `portcullis extension engine`
pub(super) fn run() -> Result<(), Failure> {
    let kind = EngineKind::here(&machine::engine_settings());
    say(&format!("{kind}\n--target {} --plan {}", kind.target, kind.space))
}

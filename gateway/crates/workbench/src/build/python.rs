//! Python: `componentize-py` puts the source and the interpreter into one component.

use std::path::Path;
use std::process::Command;

use config::Project;

use super::{WORLD, program};
use crate::failure::Failure;

/// Where `python3 -m venv .venv` in the project puts it.
const OWN: &str = ".venv/bin/componentize-py";

pub(super) fn build(project: &Project, component: &Path) -> Result<(), Failure> {
    let own = project.folder.join(OWN);
    let tool = if own.is_file() {
        own
    } else {
        let advice = "run `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` in the project, or \
                      `pip install componentize-py`";
        program::first(&["componentize-py"], advice)?
    };
    let module = project.source.file_stem().unwrap_or_default();
    let sources = project.source.parent().unwrap_or(&project.folder);
    program::run(
        Command::new(tool)
            .arg("--wit-path")
            .arg(project.folder.join("wit"))
            .args(["--world", WORLD, "componentize"])
            .arg(module)
            .arg("--python-path")
            .arg(sources)
            .arg("--output")
            .arg(component),
    )
}

//! JavaScript: `componentize-js` puts the source into an engine (StarlingMonkey) and takes a snapshot of both.

use std::path::Path;
use std::process::Command;

use config::Project;

use super::{WORLD, program};
use crate::failure::Failure;

const TOOL: &str = "node_modules/@bytecodealliance/componentize-js/src/cli.js";

/// What the engine is to do without. What remains, `stdio`, is where errors are told.
const DISABLED: [&str; 4] = ["random", "clocks", "http", "fetch-event"];

pub(super) fn build(project: &Project, component: &Path) -> Result<(), Failure> {
    let advice = "install Node.js 18 or later, on Debian `apt install nodejs npm`";
    let node = program::first(&["node"], advice)?;
    let tool = project.folder.join(TOOL);
    if !tool.exists() {
        return Err(Failure::Other(format!(
            "{} is not there; run `npm install` in {}, which installs what package.json names",
            tool.display(),
            project.folder.display()
        )));
    }
    program::run(
        Command::new(node)
            .arg(tool)
            .arg(&project.source)
            .arg("--wit")
            .arg(project.folder.join("wit"))
            .args(["--world-name", WORLD, "--disable"])
            .args(DISABLED)
            .arg("--out")
            .arg(component),
    )
}

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use extension_host::ExtensionSpec;
use workbench::{Language, Selection};

use crate::cli::{is_component, say};
use crate::failure::Failure;
use crate::{extensions, operator};

/// What the author of an extension asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    New {
        language: Language,
        name: String,
        folder: PathBuf,
    },
    Build {
        folder: PathBuf,
    },
    Check {
        component: PathBuf,
        given: Option<(PathBuf, String)>,
    },
    Test {
        subject: PathBuf,
        fixtures: Vec<PathBuf>,
        filter: Option<String>,
    },
    Bench {
        subject: PathBuf,
        fixture: PathBuf,
    },
    /// With a gateway that reloads the extension after each round that passed.
    Watch {
        folder: PathBuf,
        reload: Option<operator::Request>,
    },
}

pub(crate) const HELP: &str = "\
  portcullis extension new --lang rust|go|js|python|c NAME [--dir DIR]
                                    a project that builds and passes its own fixtures, in DIR (NAME without it)
  portcullis extension build [DIR]  make the component of a project with its language's toolchain: build/NAME.wasm
  portcullis extension check COMPONENT [--config FILE --name NAME]
                                    what it imports, and the line that grants it; its hooks, its version of the
                                    contract, its size, and whether it starts, with the settings of
                                    [extensions.NAME] where they are named: 0 it would load, 1 it would not
  portcullis extension test [DIR] [--filter TEXT]
  portcullis extension test COMPONENT --fixtures FILE|DIR [--filter TEXT]
                                    build the project and run its fixtures, or run fixtures against a component:
                                    0 all came out as expected, 1 one did not
  portcullis extension bench DIR|COMPONENT --fixture FILE
                                    time of each hook with the questions of a fixture, memory, time to compile
  portcullis extension watch [DIR]  build and test whenever a file of the project changes
  portcullis extension watch NAME [DIR] --socket PATH|--config FILE [--mode trial|shadow|canary] [--share N]
                                    the same, and after each round that passed have the gateway reload its
                                    extension NAME, whose component is build/NAME.wasm of the project";

/// Does it.
pub(crate) fn run(task: &Task) -> Result<ExitCode, Failure> {
    match task {
        Task::New { language, name, folder } => new(*language, name, folder),
        Task::Build { folder } => {
            let component = workbench::build(folder)?;
            say(&format!("{} is built", component.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Check { component, given } => {
            let given = given.as_ref().map(|(config, name)| stated(config, name)).transpose()?;
            let checked = workbench::check(component, given)?;
            write!(std::io::stdout(), "{checked}").map_err(output)?;
            Ok(code(checked.is_good()))
        }
        Task::Test { subject, fixtures, filter } => test(subject, fixtures, filter.clone()),
        Task::Bench { subject, fixture } => {
            say(&workbench::bench(&component_of(subject)?, fixture)?.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Watch { folder, reload } => {
            let mut passed = |_: &Path| {
                if let Some(reload) = reload {
                    told(reload);
                }
            };
            workbench::watch(folder, &mut std::io::stdout(), &mut passed)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Has a gateway reload what has passed, and says what came of it; the next change may go better.
fn told(reload: &operator::Request) {
    if let Err(failure) = operator::run(reload) {
        // Whoever does not read what is said does not miss this either.
        let _ = say(&format!("not reloaded: {failure}"));
    }
}

fn new(language: Language, name: &str, folder: &Path) -> Result<ExitCode, Failure> {
    let files = workbench::new(language, name, folder)?;
    let shown = folder.display();
    say(&format!("{} files in {shown}", files.len()))?;
    match language {
        Language::JavaScript => say(&format!("first: (cd {shown} && npm install)"))?,
        Language::Python => say(&format!(
            "first: (cd {shown} && python3 -m venv .venv && .venv/bin/pip install -r requirements.txt)"
        ))?,
        Language::Rust | Language::Go | Language::C => {}
    }
    say(&format!("next: portcullis extension test {shown}"))?;
    Ok(ExitCode::SUCCESS)
}

fn test(subject: &Path, fixtures: &[PathBuf], filter: Option<String>) -> Result<ExitCode, Failure> {
    let component = component_of(subject)?;
    let fixtures = match fixtures {
        [] => vec![subject.join("fixtures")],
        named => named.to_vec(),
    };
    let selection = Selection { fixtures, filter };
    let summary = workbench::test(&component, &selection, &mut std::io::stdout())?;
    say(&summary.to_string())?;
    Ok(code(summary.failed == 0))
}

/// A component, or that of a project, built first.
fn component_of(subject: &Path) -> Result<PathBuf, Failure> {
    if is_component(subject) {
        return Ok(subject.to_owned());
    }
    Ok(workbench::build(subject)?)
}

/// What the configuration of a gateway states of an extension.
fn stated(config: &Path, name: &str) -> Result<ExtensionSpec, Failure> {
    let checked = config::load(config).map_err(Failure::Config)?;
    let stated = checked.extensions.iter().find(|stated| stated.name == name).ok_or_else(|| {
        let there: Vec<_> = checked.extensions.iter().map(|stated| stated.name.as_str()).collect();
        Failure::Extension(format!(
            "{} has no [extensions.{name}]; there are: {}",
            config.display(),
            there.join(", ")
        ))
    })?;
    extensions::stated(stated, &checked)
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn output(error: std::io::Error) -> Failure {
    Failure::System { what: "write to standard output", error }
}

impl From<workbench::Failure> for Failure {
    fn from(failure: workbench::Failure) -> Self {
        Self::Extension(failure.to_string())
    }
}

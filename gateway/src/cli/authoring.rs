use std::path::PathBuf;

use workbench::{Language, PROJECT_FILE};

use super::{Words, usage};
use crate::authoring::Task;
use crate::failure::Failure;

impl Words {
    /// What the author of an extension asks for, after its verb.
    pub(super) fn authoring(&mut self, verb: &str) -> Result<Task, Failure> {
        Ok(match verb {
            "new" => {
                let language = self.language()?;
                let name = self
                    .next()
                    .ok_or_else(|| usage("the extension's name is missing".to_owned()))?;
                let folder =
                    self.option("--dir").map_or_else(|| PathBuf::from(&name), PathBuf::from);
                Task::New { language, name, folder }
            }
            "build" => Task::Build { folder: self.folder() },
            "check" => {
                let component = self.next().map(PathBuf::from);
                let component = component.ok_or_else(|| {
                    usage("the component is missing; name a .wasm file".to_owned())
                })?;
                let given = match (self.option("--config"), self.text("--name")?) {
                    (Some(config), Some(name)) => Some((config.into(), name)),
                    (None, None) => None,
                    _ => {
                        let why = "--config FILE and --name NAME go together: they say which settings it has";
                        return Err(usage(why.to_owned()));
                    }
                };
                Task::Check { component, given }
            }
            "test" => {
                let subject = self.folder();
                let fixtures: Vec<_> =
                    self.texts("--fixtures")?.into_iter().map(PathBuf::from).collect();
                let filter = self.text("--filter")?;
                if fixtures.is_empty() && is_component(&subject) {
                    let why = "the cases are missing; add --fixtures FILE or DIR";
                    return Err(usage(why.to_owned()));
                }
                Task::Test { subject, fixtures, filter }
            }
            "bench" => Task::Bench { subject: self.folder(), fixture: self.path("--fixture")? },
            _ => {
                let reload = self.names_gateway().then(|| self.reload()).transpose()?;
                Task::Watch { folder: self.folder(), reload }
            }
        })
    }

    /// The folder that the author works in, unless another is named.
    fn folder(&mut self) -> PathBuf {
        self.next().map_or_else(|| PathBuf::from("."), PathBuf::from)
    }

    fn language(&mut self) -> Result<Language, Failure> {
        let all = || Language::ALL.map(Language::name).join(", ");
        let word = self.text("--lang")?;
        let word =
            word.ok_or_else(|| usage(format!("option --lang is missing; it is one of {}", all())))?;
        Language::from_name(&word)
            .ok_or_else(|| usage(format!("--lang \"{word}\" is none of {}", all())))
    }
}

/// Whether a path names a component and not the folder of a project.
pub(crate) fn is_component(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
        && !path.join(PROJECT_FILE).exists()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::*;
    use crate::extension_cli::Request as Wanted;
    use crate::operator::{Order, Place, Request};

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace().map(OsString::from);
        Command::parse(words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn tasks_are_told_apart() {
        let new = |folder: &str| Task::New {
            language: Language::JavaScript,
            name: "gate".into(),
            folder: folder.into(),
        };
        let check = |given| Task::Check { component: "a.wasm".into(), given };
        let test = |subject: &str, fixtures: &[&str], filter: Option<&str>| Task::Test {
            subject: subject.into(),
            fixtures: fixtures.iter().map(PathBuf::from).collect(),
            filter: filter.map(str::to_owned),
        };
        let watch = |folder: &str, mode: Option<&str>| {
            let (name, mode) = ("gate".to_owned(), mode.map(str::to_owned));
            let order = Order::Reload { name, mode, share: None };
            let reload = Request { gateway: Place::Socket("s".into()), json: false, order };
            Task::Watch { folder: folder.into(), reload: Some(reload) }
        };
        for (line, task) in [
            ("new --lang javascript gate", new("gate")),
            ("new gate --lang=js --dir d", new("d")),
            ("build", Task::Build { folder: ".".into() }),
            ("check a.wasm", check(None)),
            ("check a.wasm --config c --name n", check(Some(("c".into(), "n".into())))),
            ("test", test(".", &[], None)),
            ("test d --filter late", test("d", &[], Some("late"))),
            ("test a.wasm --fixtures f --fixtures g", test("a.wasm", &["f", "g"], None)),
            (
                "bench a.wasm --fixture f",
                Task::Bench { subject: "a.wasm".into(), fixture: "f".into() },
            ),
            ("watch d", Task::Watch { folder: "d".into(), reload: None }),
            ("watch --socket s gate", watch(".", None)),
            ("watch gate d --socket s --mode shadow", watch("d", Some("shadow"))),
        ] {
            let line = format!("extension {line}");
            assert_eq!(parse(&line), Ok(Command::Extension(Wanted::Author(task))), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("new gate", "option --lang is missing; it is one of rust, go, c"),
            ("new --lang cobol gate", "--lang \"cobol\" is none of rust"),
            ("new --lang c", "the extension's name is missing"),
            ("check", "the component is missing"),
            ("check a.wasm --name n", "--config FILE and --name NAME go together"),
            ("test a.wasm", "the cases are missing"),
            ("bench d", "option --fixture is missing"),
            ("watch --socket s", "the extension's name is missing"),
            ("watch d --mode shadow", "\"--mode\" has no meaning here"),
            ("build a b", "\"b\" has no meaning here"),
        ] {
            let said = parse(&format!("extension {line}")).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

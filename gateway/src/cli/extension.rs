use std::path::PathBuf;

use super::{Words, usage};
use crate::extension_cli::{Order, Request};
use crate::failure::Failure;

/// The tools in a few words.
#[cfg(feature = "compiler")]
pub(super) const TOOLS: &str = "\
  portcullis extension new|build|check|test|bench|watch|inspect|keygen|sign|compile|engine
                                    write an extension, try it, look into a component, sign it, compile it for
                                    another machine; more by `portcullis extension help`";
#[cfg(not(feature = "compiler"))]
pub(super) const TOOLS: &str = "\
  portcullis extension inspect|keygen|sign|engine
                                    look into a component, sign it, tell what it must be compiled for to run here;
                                    more by `portcullis extension help`";

/// What may follow "extension".
#[cfg(feature = "compiler")]
const VERBS: &str = "\"new\", \"build\", \"check\", \"test\", \"bench\", \"watch\", \"inspect\", \"keygen\", \"sign\", \"compile\", \"engine\", \"status\", \"reload\", \"promote\", \"abandon\", \"record\" or \"replay\"";
#[cfg(not(feature = "compiler"))]
const VERBS: &str = "\"inspect\", \"keygen\", \"sign\", \"engine\", \"status\", \"reload\", \"promote\", \"abandon\", \"record\" or \"replay\"";

impl Words {
    pub(super) fn extension(&mut self) -> Result<Request, Failure> {
        let verb = self.next();
        if matches!(verb.as_deref(), Some("help" | "--help" | "-h")) || self.help() {
            return Ok(Request::Help);
        }
        match verb.as_deref() {
            #[cfg(feature = "compiler")]
            Some(verb @ ("new" | "build" | "check" | "test" | "bench" | "watch")) => {
                Ok(Request::Author(self.authoring(verb)?))
            }
            #[cfg(feature = "compiler")]
            Some("compile") => Ok(Request::Compile(self.compile()?)),
            #[cfg(not(feature = "compiler"))]
            Some(verb @ ("new" | "build" | "check" | "test" | "bench" | "watch" | "compile")) => {
                Err(usage(format!(
                    "this build has no compiler, and \"extension {verb}\" needs one; run it on a workstation"
                )))
            }
            Some("engine") => Ok(Request::Engine),
            Some("inspect") => {
                let config = self.option("--config").map(PathBuf::from);
                Ok(Request::Inspect { component: self.component()?, config })
            }
            Some("keygen") => Ok(Request::Keygen { out: self.path("--out")? }),
            Some("sign") => {
                let (name, release) = (self.text("--name")?, self.text("--release")?);
                let key = self.path("--key")?;
                Ok(Request::Sign(Order { key, component: self.component()?, name, release }))
            }
            _ => Err(usage(format!("\"extension\" is followed by {VERBS}"))),
        }
    }

    /// The file that the verb is about.
    pub(super) fn component(&mut self) -> Result<PathBuf, Failure> {
        let missing = || usage("the component is missing; name a .wasm file".to_owned());
        self.next().map(PathBuf::from).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace().map(OsString::from);
        Command::parse(words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn requests_are_told_apart() {
        let component = || PathBuf::from("a.wasm");
        let order = |name: Option<&str>, release: Option<&str>| {
            let (name, release) = (name.map(str::to_owned), release.map(str::to_owned));
            Request::Sign(Order { key: "k".into(), component: component(), name, release })
        };
        let inspect = |config| Request::Inspect { component: component(), config };
        for (line, request) in [
            ("extension keygen --out k", Request::Keygen { out: "k".into() }),
            ("extension sign --key k a.wasm", order(None, None)),
            ("extension sign a.wasm --release 2 --name b --key=k", order(Some("b"), Some("2"))),
            ("extension inspect a.wasm", inspect(None)),
            ("extension inspect --config c a.wasm", inspect(Some("c".into()))),
            ("extension help", Request::Help),
            ("extension sign --help", Request::Help),
        ] {
            assert_eq!(parse(line), Ok(Command::Extension(request)), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("extension", "followed by \"new\""),
            ("extension seal a.wasm", "followed by \"new\""),
            ("extension inspect", "the component is missing"),
            ("extension keygen", "option --out is missing"),
            ("extension sign a.wasm", "option --key is missing"),
            ("extension inspect a.wasm b.wasm", "\"b.wasm\" has no meaning here"),
            ("extension inspect a.wasm --key k", "\"--key\" has no meaning here"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

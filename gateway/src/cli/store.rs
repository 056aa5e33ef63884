use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Words, usage};
use crate::failure::Failure;
use crate::store_cli::{Export, Kind, Place, Request};

/// Sessions that are shown unless a limit is named.
const SHOWN: usize = 20;

impl Words {
    pub(super) fn store(&mut self) -> Result<Request, Failure> {
        let verb = self.next();
        if matches!(verb.as_deref(), Some("help" | "--help" | "-h")) || self.help() {
            return Ok(Request::Help);
        }
        match verb.as_deref() {
            Some("inspect") => {
                let limit = match self.text("--limit")? {
                    None => SHOWN,
                    Some(text) => text.parse().map_err(|_| {
                        usage(format!("--limit {text:?} is not a number of sessions"))
                    })?,
                };
                Ok(Request::Inspect { store: self.place()?, limit, json: self.flag("--json") })
            }
            Some("verify") => {
                Ok(Request::Verify { store: self.place()?, json: self.flag("--json") })
            }
            Some("compact") => Ok(Request::Compact { store: self.place()? }),
            Some("export") => {
                let client_ids = self.texts("--client-id")?.into_iter().collect();
                let only = self.texts("--only")?;
                let mut kinds: BTreeSet<Kind> =
                    only.iter().map(|name| kind(name)).collect::<Result<_, _>>()?;
                if kinds.is_empty() {
                    kinds.extend(Kind::ALL);
                }
                let output = self.option("--output").map(PathBuf::from);
                let export = Export { client_ids, kinds, output };
                Ok(Request::Export { store: self.place()?, export })
            }
            _ => Err(usage(
                "\"store\" is followed by \"inspect\", \"verify\", \"compact\" or \"export\""
                    .to_owned(),
            )),
        }
    }

    fn place(&mut self) -> Result<Place, Failure> {
        let (config, dir) = (self.option("--config"), self.option("--dir"));
        match (config, dir) {
            (Some(config), None) => Ok(Place::Config(config.into())),
            (None, Some(dir)) => Ok(Place::Dir(dir.into())),
            _ => Err(usage("the store is named by either --config FILE or --dir DIR".to_owned())),
        }
    }
}

fn kind(name: &str) -> Result<Kind, Failure> {
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| {
        let all = Kind::ALL.map(Kind::name).join(", ");
        usage(format!("--only {name:?} is none of {all}"))
    })
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
        let dir = || Place::Dir("d".into());
        let inspect = |limit, json| Request::Inspect { store: dir(), limit, json };
        let export = |client_ids: &[&str], kinds: &[Kind], output: Option<&str>| Request::Export {
            store: Place::Config("g.toml".into()),
            export: Export {
                client_ids: client_ids.iter().map(|id| (*id).to_owned()).collect(),
                kinds: kinds.iter().copied().collect(),
                output: output.map(PathBuf::from),
            },
        };
        for (line, request) in [
            ("store inspect --dir d", inspect(20, false)),
            ("store inspect --json --dir d --limit 3", inspect(3, true)),
            ("store verify --dir d", Request::Verify { store: dir(), json: false }),
            ("store compact --dir=d", Request::Compact { store: dir() }),
            ("store export --config g.toml", export(&[], &Kind::ALL, None)),
            (
                "store export --config g.toml --client-id a --client-id b --only queued --output o",
                export(&["a", "b"], &[Kind::Queued], Some("o")),
            ),
            ("store help", Request::Help),
            ("store --help", Request::Help),
            ("store verify --help", Request::Help),
        ] {
            assert_eq!(parse(line), Ok(Command::Store(request)), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("store", "followed by \"inspect\""),
            ("store repair --dir d", "followed by \"inspect\""),
            ("store inspect", "either --config FILE or --dir DIR"),
            ("store inspect --dir d --config c", "either --config FILE or --dir DIR"),
            ("store inspect --dir d --limit many", "--limit \"many\""),
            ("store export --dir d --only wills", "session, subscription, retained, queued"),
            ("store compact --dir d --json", "\"--json\" has no meaning"),
            ("run --config c --json", "\"--json\" has no meaning"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

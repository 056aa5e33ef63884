use std::path::PathBuf;

use extension_host::{AddressSpace, Target};

use super::{Words, usage};
use crate::extension_cli::{Compiling, Elsewhere};
use crate::failure::Failure;

impl Words {
    pub(super) fn compile(&mut self) -> Result<Compiling, Failure> {
        if let Some(config) = self.option("--config") {
            return Ok(Compiling::Here(config.into()));
        }
        let (key, out) = (self.path("--key")?, self.path("--out")?);
        let (target, plan) = (self.target()?, self.plan()?);
        let mut components = vec![self.component()?];
        while let Some(more) = self.next() {
            components.push(PathBuf::from(more));
        }
        Ok(Compiling::Elsewhere(Elsewhere { components, key, out, target, plan }))
    }

    fn target(&mut self) -> Result<Option<Target>, Failure> {
        let Some(word) = self.text("--target")? else { return Ok(None) };
        Target::of_triple(&word).map(Some).ok_or_else(|| {
            usage(format!(
                "--target \"{word}\" is nothing that a gateway runs on; name a target triple such as \
                 aarch64-unknown-linux-gnu"
            ))
        })
    }

    fn plan(&mut self) -> Result<Option<AddressSpace>, Failure> {
        let Some(word) = self.text("--plan")? else { return Ok(None) };
        let named = AddressSpace::ALL.into_iter().find(|plan| plan.to_string() == word);
        let unknown = || usage(format!("--plan \"{word}\" is none of wide, ample, tight"));
        named.map(Some).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::*;
    use crate::extension_cli::Request;

    fn parse(line: &str) -> Result<Command, String> {
        let words = format!("extension compile {line}");
        let words = words.split_whitespace().map(OsString::from);
        Command::parse(words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn orders_are_told_apart() {
        let order = |components: &[&str], target: Option<&str>, plan| {
            Compiling::Elsewhere(Elsewhere {
                components: components.iter().map(PathBuf::from).collect(),
                key: "k".into(),
                out: "d".into(),
                target: target.and_then(Target::of_triple),
                plan,
            })
        };
        for (line, compiling) in [
            ("--config c", Compiling::Here("c".into())),
            ("a.wasm --key k --out d", order(&["a.wasm"], None, None)),
            (
                "--target armv7-unknown-linux-gnueabihf a b --key=k --plan tight --out d",
                order(&["a", "b"], Some("pulley32"), Some(AddressSpace::Tight)),
            ),
        ] {
            let wanted = Command::Extension(Request::Compile(compiling));
            assert_eq!(parse(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("a.wasm --out d", "option --key is missing"),
            ("a.wasm --key k", "option --out is missing"),
            ("--key k --out d", "the component is missing"),
            ("a.wasm --key k --out d --plan huge", "none of wide, ample, tight"),
            ("a.wasm --key k --out d --target vax", "\"vax\" is nothing that a gateway runs on"),
            ("a.wasm --config c", "\"a.wasm\" has no meaning here"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}

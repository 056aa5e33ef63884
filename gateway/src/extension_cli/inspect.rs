use std::path::Path;
use std::process::ExitCode;

use auth::signature::{Manifest, Signature};
use extension_host::{Capability, Facts, Need};

use super::sign::{examine, stem};
use crate::cli::say;
use crate::failure::Failure;
use crate::package::Package;
use crate::trust::{self, Signer};

/// `portcullis extension inspect`
pub(super) fn run(component: &Path, config: Option<&Path>) -> Result<ExitCode, Failure> {
    let keys = config.map(config::load).transpose().map_err(Failure::Config)?;
    let text = component.to_string_lossy();
    let (path, reference) = config::place(&text);
    let package = Package::read(Path::new(path), reference)?;
    let facts = examine(&stem(Path::new(path)), &package.component)?;
    say(&text)?;
    say(&about(&facts))?;
    let signed = signature(&package, &facts, keys.as_ref().map(|checked| &checked.trust));
    let (line, code) = match signed {
        Ok(line) => (line, ExitCode::SUCCESS),
        Err(line) => (line, ExitCode::FAILURE),
    };
    say(&format!("  signature  {line}"))?;
    Ok(code)
}

fn about(facts: &Facts) -> String {
    let digits: String = facts.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let hooks: Vec<&str> = facts.hooks().collect();
    let needed: Vec<String> = facts.grants().iter().map(|grant| format!("\"{grant}\"")).collect();
    let mut text = format!(
        "  sha256     {digits}\n  size       {} bytes\n  compiled   {} bytes of code in {} ms\n  \
         hooks      {}\n  contract   {}\n  needs      grants = [{}]\n  imports    ",
        facts.bytes,
        facts.code_bytes,
        facts.compiled_in.as_millis(),
        if hooks.is_empty() { "none: it is no extension".to_owned() } else { hooks.join(", ") },
        contract(facts),
        needed.join(", "),
    );
    let imports: Vec<String> = facts
        .imports
        .iter()
        .map(|(import, need)| format!("{import}: {}", words(import, *need)))
        .collect();
    text.push_str(&if imports.is_empty() {
        "nothing".to_owned()
    } else {
        imports.join("\n             ")
    });
    text
}

fn words(import: &str, need: Need) -> &'static str {
    match need {
        Need::Nothing => "provided",
        Need::Wasi => match Capability::behind_wasi(import) {
            Some(Capability::Random) => "provided; ends the call without the grant",
            Some(_) => "provided; stands still without the grant",
            None => "provided, and empty",
        },
        Need::Grant(_) => "needs a grant",
        Need::OtherVersion => "of another version of the contract than this gateway's",
        Need::NotBuiltIn => "in the contract, and not built into this gateway",
        Need::Impossible => "not provided by this gateway",
    }
}

/// The versions of our packages that it was built for.
fn contract(facts: &Facts) -> String {
    let names = facts.exports.iter().chain(facts.imports.iter().map(|(import, _)| import));
    let package = |name: &String| {
        let (interface, version) = name.split_once('@')?;
        let (package, _) = interface.split_once('/')?;
        package.starts_with("portcullis:").then(|| format!("{package}@{version}"))
    };
    let packages: std::collections::BTreeSet<String> = names.filter_map(package).collect();
    match packages.is_empty() {
        true => "none".to_owned(),
        false => packages.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// What can be said of the signature; an error where it is wrong.
fn signature(
    package: &Package,
    facts: &Facts,
    trust: Option<&config::Trust>,
) -> Result<String, String> {
    let Some(text) = &package.signature else {
        return Ok(format!("none: there is no {}", package.place));
    };
    let wrong = |why: String| format!("WRONG: {} {why}", package.place);
    let signature = Signature::parse(text).map_err(|error| wrong(error.to_string()))?;
    let (claim, id) = (signature.claim(), signature.key());
    lies(claim, facts).map_or(Ok(()), |why| Err(wrong(why)))?;
    let release = claim.release.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
    let says = format!("as \"{}\"{release} with {id}", claim.name);
    let Some(trust) = trust else {
        return Ok(format!("{says}; not verified: name a gateway's configuration with --config"));
    };
    let keys: Vec<_> = trust.keys.iter().collect();
    match trust::signer(&signature, &keys, &package.component) {
        Signer::Believed(key, _) => Ok(format!("{says}, which is \"{}\": verified", key.name)),
        Signer::Unknown => Err(wrong(format!("was made with {id}, which is not in [trust.keys]"))),
        Signer::Wrong(_, error) => Err(wrong(error.to_string())),
    }
}

/// What the manifest says and the component is not.
fn lies(claim: &Manifest, facts: &Facts) -> Option<String> {
    if claim.component != facts.sha256 {
        return Some("is for another component".to_owned());
    }
    if let Some(asked) = facts.asked().find(|name| !claim.grants.contains(*name)) {
        return Some(format!("does not say that the component asks for \"{asked}\""));
    }
    let hooks: std::collections::BTreeSet<&str> = facts.hooks().collect();
    (!claim.hooks.iter().map(String::as_str).eq(hooks)).then(|| "names other hooks".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What it says must be enough for the component to work.
    #[test]
    fn what_wasi_needs_is_among_the_grants() {
        let import = |name: &str, need| (name.to_owned(), need);
        let facts = Facts {
            sha256: [0; 32],
            bytes: 1,
            code_bytes: 1,
            compiled_in: Duration::ZERO,
            exports: vec!["portcullis:gateway/authenticator@0.1.0".to_owned()],
            imports: vec![
                import("portcullis:host/log@0.1.0", Need::Grant(Capability::Log)),
                import("wasi:random/random@0.2.3", Need::Wasi),
                import("wasi:clocks/wall-clock@0.2.3", Need::Wasi),
                import("wasi:clocks/monotonic-clock@0.2.3", Need::Wasi),
                import("wasi:io/streams@0.2.3", Need::Wasi),
            ],
        };
        let page = about(&facts);
        assert!(page.contains("grants = [\"clock\", \"log\", \"random\"]"), "{page}");
        assert!(page.contains("wasi:random/random@0.2.3: provided; ends the call"), "{page}");
        assert!(page.contains("wasi:io/streams@0.2.3: provided, and empty"), "{page}");
    }
}

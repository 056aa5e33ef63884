use std::path::{Path, PathBuf};

use crate::dist::build::{self, Build};
use crate::dist::target::Target;
use crate::failure::Failure;
use crate::options::Options;
use crate::root::Root;

use super::elf::Program;

/// The package of the usual gateway, and that of one without a compiler. Each takes the other's place.
const NAME: &str = "portcullis";
const NAME_WITHOUT_COMPILER: &str = "portcullis-runtime";

/// What a package is made of.
pub(super) struct Order {
    /// The gateway in it.
    pub(super) binary: PathBuf,
    /// What that says of itself.
    pub(super) program: Program,
    /// A gateway that runs here and tells the help.
    pub(super) teller: PathBuf,
    /// How a gateway without a compiler gets the code of the shipped extensions.
    pub(super) code: Option<Code>,
    pub(super) version: String,
}

/// What makes code.
pub(super) struct Code {
    /// A gateway that runs here and compiles for the one in the package.
    pub(super) compiler: PathBuf,
    /// The private key that signs what it makes.
    pub(super) key: PathBuf,
}

impl Order {
    /// What the options ask for. What they do not name is built as it is shipped: with a key for code a gateway that has no
    /// compiler, else one that has.
    pub(super) fn read(root: &Root, options: &Options<'_>) -> Result<Self, Failure> {
        let path = |name: &str| options.text(name).map(PathBuf::from);
        let (host, key) = (path("--host-binary"), path("--code-key"));
        let binary = match (path("--binary"), options.text("--target")) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage(
                    "--binary names a program and --target has one built; leave one of them out"
                        .to_owned(),
                ));
            }
            (Some(named), None) => named,
            (None, triple) => {
                let target =
                    triple.map_or_else(|| Ok(Build::for_this_machine()?.target), debian)?;
                build::gateway(root, Build { target, runtime_only: key.is_some() })?.program
            }
        };
        let version = options.text("--version").unwrap_or(env!("CARGO_PKG_VERSION"));
        Self::of(root, binary, host, key, version)
    }

    /// A package of this program.
    pub(super) fn of(
        root: &Root,
        binary: PathBuf,
        host: Option<PathBuf>,
        key: Option<PathBuf>,
        version: &str,
    ) -> Result<Self, Failure> {
        let program = Program::read(&binary)?;
        agree(&binary, program.compiles(), key.is_some())?;
        let host = || match &host {
            Some(named) => Ok(named.clone()),
            None => Ok(build::gateway(root, Build::for_this_machine()?)?.program),
        };
        let teller = if program.runs_here() { binary.clone() } else { host()? };
        let code = match key {
            Some(key) => Some(Code { compiler: compiler(host()?)?, key }),
            None => None,
        };
        Ok(Self { binary, program, teller, code, version: version.to_owned() })
    }

    /// The package's name.
    pub(super) const fn name(&self) -> &'static str {
        if self.code.is_some() { NAME_WITHOUT_COMPILER } else { NAME }
    }

    /// The package whose place it takes.
    pub(super) const fn other_name(&self) -> &'static str {
        if self.code.is_some() { NAME } else { NAME_WITHOUT_COMPILER }
    }
}

/// A target whose system is Debian's.
fn debian(triple: &str) -> Result<&'static Target, Failure> {
    let target = Target::named(triple)?;
    if triple.ends_with("musl") {
        return Err(Failure::Usage(format!(
            "\"{triple}\" is for systems without Debian's C library, so there is no Debian package of it; take the \
             target that ends with gnu, or the archive of `cargo xtask dist`"
        )));
    }
    Ok(target)
}

/// A gateway that compiles, and none that does not.
fn compiler(host: PathBuf) -> Result<PathBuf, Failure> {
    if Program::read(&host)?.compiles() {
        return Ok(host);
    }
    Err(Failure::Other(format!(
        "{} has no compiler, and is to make the code of the shipped extensions; name one that has with --host-binary, or \
         leave that out to have it built",
        host.display()
    )))
}

/// Code is for a gateway that cannot make it, and such a gateway runs nothing without.
fn agree(binary: &Path, compiles: bool, has_key: bool) -> Result<(), Failure> {
    let binary = binary.display();
    match (compiles, has_key) {
        (true, false) | (false, true) => Ok(()),
        (true, true) => Err(Failure::Other(format!(
            "{binary} has a compiler, and --code-key is for one that has none; leave that out, or name a program as \
             `cargo xtask dist --runtime-only` builds it"
        ))),
        (false, false) => Err(Failure::Other(format!(
            "{binary} has no compiler, so it runs no extension without code that somebody has signed; name a private key \
             with --code-key, as `portcullis extension keygen` makes it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_with_a_program_that_needs_it() {
        let said = |compiles, has_key| {
            agree(Path::new("/p"), compiles, has_key).map_err(|failure| failure.to_string())
        };
        assert_eq!(said(true, false), Ok(()));
        assert_eq!(said(false, true), Ok(()));
        assert!(said(true, true).unwrap_err().contains("/p has a compiler, and --code-key"));
        assert!(said(false, false).unwrap_err().contains("name a private key with --code-key"));
    }

    #[test]
    fn there_is_no_package_for_systems_that_are_not_debian() {
        assert!(debian("aarch64-unknown-linux-gnu").is_ok());
        let said = debian("aarch64-unknown-linux-musl").unwrap_err().to_string();
        assert!(said.contains("musl\" is for systems without"), "{said}");
        let options = ["--binary", "a", "--target", "aarch64-unknown-linux-gnu"];
        let options = Options::parse(&options, &super::super::NAMES, "").unwrap();
        let said = Order::read(&Root::find(), &options).err().unwrap().to_string();
        assert!(said.contains("leave one of them out"), "{said}");
    }
}

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use transport::pki::{self, Pki};

use crate::cli::say;
use crate::failure::Failure;
use crate::users::UsersFile;
use crate::{clock, secret, user};

/// What `portcullis init` is to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where.
    pub(crate) dir: PathBuf,
    /// Where the shipped extensions are; `None`: beside the program.
    pub(crate) extensions: Option<PathBuf>,
    /// DNS names and IP addresses that clients use for this machine.
    pub(crate) names: Vec<String>,
}

const CONFIGURATION: &str = include_str!("first_start/gateway.toml");
const RULES: &str = include_str!("first_start/acl.txt");

/// The extensions that the first configuration names.
const EXTENSIONS: [&str; 2] = ["password.wasm", "acl.wasm"];

/// The user of the first start, whom the rules of the first start speak of.
const USER: &str = "demo";

/// Keys and hashes lie in it.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o644;

/// `portcullis init`: everything that a gateway needs, as far as it is missing. The configuration
/// is written last, so that it exists exactly when all that it names does.
pub(crate) fn init(plan: &Plan) -> Result<(), Failure> {
    let dir = &plan.dir;
    make_dir(dir)?;
    let dir = &fs::canonicalize(dir).map_err(Failure::file("open", dir))?;
    let configuration = dir.join("gateway.toml");
    let users = dir.join("users.txt");
    if configuration.exists() {
        return say(&later(&configuration, &users));
    }
    copy_extensions(plan, &dir.join("extensions"))?;
    let pki = pki::create(&dir.join("pki"), &plan.names, clock::wall()).map_err(Failure::Pki)?;
    write_new(&dir.join("acl.txt"), RULES.as_bytes())?;
    // An earlier start that was cut short has not shown its credential: this one replaces it.
    let password = secret::password()?;
    let mut file = UsersFile::open_or_new(&users)?;
    file.set(USER, &user::hash(&password)?)?;
    file.save()?;
    write_new(&configuration, CONFIGURATION.as_bytes())?;
    say(&first(&configuration, &users, &pki, &password))
}

fn first(configuration: &Path, users: &Path, pki: &Pki, password: &str) -> String {
    let client = |program: &str, rest: &str| {
        let ca = quoted(&pki.ca_cert);
        format!("  {program} -h localhost -p 8883 --cafile {ca} -u {USER} -P '{password}' {rest}")
    };
    format!(
        "Made {configuration}, a private certificate authority, a server certificate, and one \
         credential that is not shown again:\n\n  user {USER}, password {password}\n\n\
         When the gateway runs, these two commands pass a message over TLS:\n\n{}\n{}\n\n\
         Add users with: portcullis user add NAME --file {}",
        client("mosquitto_sub", "-t 'demo/#' -v"),
        client("mosquitto_pub", "-t demo/hello -m 'hello'"),
        quoted(users),
        configuration = configuration.display(),
    )
}

fn later(configuration: &Path, users: &Path) -> String {
    format!(
        "{} exists and was kept.\nUsers are in {}; add one with: portcullis user add NAME --file {}",
        configuration.display(),
        users.display(),
        quoted(users),
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir);
    made.map_err(Failure::file("create", dir))
}

fn copy_extensions(plan: &Plan, to: &Path) -> Result<(), Failure> {
    let from = match &plan.extensions {
        Some(dir) => dir.clone(),
        None => beside_the_program()?,
    };
    make_dir(to)?;
    for name in EXTENSIONS {
        if !to.join(name).exists() {
            let source = from.join(name);
            let bytes = fs::read(&source).map_err(Failure::file("read", &source))?;
            write_new(&to.join(name), &bytes)?;
        }
    }
    Ok(())
}

fn beside_the_program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::System { what: "find the program's own directory", error })?;
    Ok(program.parent().unwrap_or(Path::new("/")).join("extensions"))
}

/// Writes a file that is whole when it appears; one that exists is kept.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(Failure::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/c")), "'/a b/c'");
        assert_eq!(quoted(Path::new("/it's")), r"'/it'\''s'");
    }
}

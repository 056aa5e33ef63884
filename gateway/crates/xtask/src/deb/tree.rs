use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{output, run};
use crate::failure::Failure;
use crate::packages;
use crate::root::Root;

use super::elf::Program;
use super::order::Code;

const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

const EXTENSIONS: &str = "usr/lib/portcullis/extensions";
const CODE: &str = "usr/lib/portcullis/code";
const DOCUMENTATION: &str = "usr/share/doc";

/// Where the files of `gateway/packaging` look for the documentation, whatever the package is called.
const NAMED: &str = "/usr/share/doc/portcullis";

/// What an operator reads beside the gateway.
const PAGES: [&str; 10] = [
    "gateway/ABUSE.md",
    "gateway/ADMIN.md",
    "gateway/ARM.md",
    "gateway/BRIDGE.md",
    "gateway/INSTALL.md",
    "gateway/LIMITS.md",
    "gateway/STORAGE.md",
    "gateway/TLS.md",
    "CHANGELOG.md",
    "SECURITY.md",
];

/// What an operator may want of the service, and nobody has without asking for it.
const EXAMPLES: [&str; 3] = ["credentials.conf", "interpreter.conf", "portcullis.socket"];

/// The files of the package, below a folder.
pub(super) struct Tree<'a> {
    root: &'a Root,
    stage: &'a Path,
    /// The package's name.
    name: &'static str,
}

impl<'a> Tree<'a> {
    pub(super) const fn at(root: &'a Root, stage: &'a Path, name: &'static str) -> Self {
        Self { root, stage, name }
    }

    /// The path of something in the package's own folder of documentation.
    fn documented(&self, file: &str) -> String {
        format!("{DOCUMENTATION}/{}/{file}", self.name)
    }

    pub(super) fn program(&self, binary: &Path, about: &Program) -> Result<(), Failure> {
        let to = self.copy(binary, "usr/bin/portcullis", PROGRAM)?;
        let strip = about.strip();
        packages::ensure(&[strip], "taking symbols out of a program")?;
        run(Command::new(strip.brings).args(["--strip-all", "--remove-section=.comment"]).arg(&to))
    }

    pub(super) fn extensions(&self, components: &[PathBuf]) -> Result<(), Failure> {
        for component in components {
            let name = component.file_name().unwrap_or_default().to_string_lossy();
            self.copy(component, &format!("{EXTENSIONS}/{name}"), FILE)?;
        }
        Ok(())
    }

    /// The code of the extensions for a gateway that cannot make it, and a configuration that trusts the key.
    pub(super) fn code(
        &self,
        code: &Code,
        program: &Program,
        components: &[PathBuf],
    ) -> Result<(), Failure> {
        let out = self.stage.join(CODE);
        let mut said = String::new();
        // A board with 64 bits may have few addresses or many.
        let plans: &[&str] = if program.architecture() == "armhf" {
            &["tight"]
        } else {
            &["wide", "ample", "tight"]
        };
        for plan in plans {
            let mut compile = Command::new(&code.compiler);
            compile.args(["extension", "compile", "--target", program.triple(), "--plan", plan]);
            compile.arg("--key").arg(&code.key).arg("--out").arg(&out).args(components);
            said = output(&mut compile)?;
        }
        let public = said.lines().last().and_then(|line| line.split('"').nth(1));
        let public = public.ok_or_else(|| {
            Failure::Other(format!(
                "{} does not say which key it signed with",
                code.compiler.display()
            ))
        })?;
        self.configuration(&format!(
            "\n# This build has no compiler: it runs code that was compiled and signed for it. Whoever has the private half\n\
             # of such a key can have the gateway run anything.\n[compiler]\ncode-dir = \"/{CODE}\"\ncode-keys = [\"{public}\"]\n"
        ))
    }

    /// The configuration that is installed, with `more` at its end.
    pub(super) fn configuration(&self, more: &str) -> Result<(), Failure> {
        let text = self.read("gateway/packaging/gateway.toml")?;
        let text = text.replace(NAMED, &format!("/{DOCUMENTATION}/{}", self.name));
        self.write("etc/portcullis/gateway.toml", format!("{text}{more}"), FILE)?;
        let rules = self.root.join("gateway/packaging/acl.txt");
        self.copy(&rules, "etc/portcullis/acl.txt", FILE).map(drop)
    }

    /// What the system's services are told.
    pub(super) fn system(&self) -> Result<(), Failure> {
        for (from, to) in [
            ("portcullis.service", "lib/systemd/system/portcullis.service"),
            ("sysusers.conf", "usr/lib/sysusers.d/portcullis.conf"),
            ("tmpfiles.conf", "usr/lib/tmpfiles.d/portcullis.conf"),
        ] {
            self.copy(&self.root.join("gateway/packaging").join(from), to, FILE)?;
        }
        for name in EXAMPLES {
            let from = self.root.join("gateway/packaging").join(name);
            self.copy(&from, &self.documented(&format!("examples/{name}")), FILE)?;
        }
        Ok(())
    }

    pub(super) fn documentation(&self, version: &str, date: &str) -> Result<(), Failure> {
        for page in PAGES {
            let name = Path::new(page).file_name().unwrap_or_default().to_string_lossy();
            let name = if name == "CHANGELOG.md" { "NEWS.md" } else { &*name };
            let to = self.copy(&self.root.join(page), &self.documented(name), FILE)?;
            if fs::metadata(&to).map_err(Failure::file("read", &to))?.len() > 4096 {
                gzip(&to)?;
            }
        }
        let reference = self.root.join("examples/gateway.toml");
        self.copy(&reference, &self.documented("examples/portcullis.toml"), FILE)?;
        let licence = self.read("LICENSE-MIT")?;
        let body = licence.split_once("\n\n").map_or(&*licence, |(_, body)| body);
        let body = body.split_once("\n\n").map_or(body, |(_, body)| body);
        let indented: Vec<String> = body
            .trim_end()
            .lines()
            .map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") })
            .collect();
        let copyright = self.read("gateway/packaging/debian/copyright")?;
        let copyright = copyright.replace("@MIT@", &indented.join("\n"));
        self.write(&self.documented("copyright"), &copyright, FILE)?;
        let package = self.name;
        let changelog = format!(
            "{package} ({version}) stable; urgency=medium\n\n  * What changed is in NEWS.md.\n\n \
             -- The Portcullis authors <portcullis@localhost.localdomain>  {date}\n"
        );
        let path = self.write(&self.documented("changelog"), &changelog, FILE)?;
        gzip(&path)?;
        gzip(&self.stage.join("usr/share/man/man1/portcullis.1"))
    }

    /// The directory that the gateway keeps things in, for images that have no service manager to make it.
    pub(super) fn state(&self) -> Result<(), Failure> {
        let dir = self.stage.join("var/lib/portcullis");
        fs::create_dir_all(&dir).map_err(Failure::file("create", &dir))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .map_err(Failure::file("change", &dir))
    }

    fn read(&self, path: &str) -> Result<String, Failure> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(Failure::file("read", &path))
    }

    fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<PathBuf, Failure> {
        let bytes = fs::read(from).map_err(Failure::file("read", from))?;
        self.write(to, bytes, mode)
    }

    fn write(&self, to: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf, Failure> {
        put(&self.stage.join(to), bytes, mode)
    }
}

/// Writes a file with its folders and its mode.
pub(super) fn put(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf, Failure> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    fs::write(path, bytes).map_err(Failure::file("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Failure::file("change", path))?;
    Ok(path.to_owned())
}

/// As Debian wants documentation.
fn gzip(path: &Path) -> Result<(), Failure> {
    run(Command::new("gzip").args(["--best", "--no-name", "--force"]).arg(path))
}

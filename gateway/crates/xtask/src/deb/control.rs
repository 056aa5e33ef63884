use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::output;
use crate::failure::Failure;
use crate::root::Root;

use super::Order;
use super::elf::Program;
use super::tree::put;

/// What an upgrade asks about before it replaces it.
const CONFFILES: [&str; 2] = ["/etc/portcullis/acl.txt", "/etc/portcullis/gateway.toml"];

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes what dpkg reads of the package that is staged.
pub(super) fn write(
    root: &Root,
    order: &Order,
    program: &Program,
    stage: &Path,
) -> Result<(), Failure> {
    let control = stage.join("DEBIAN");
    let compiles = if order.code_key.is_none() { "yes" } else { "no" };
    for name in SCRIPTS {
        let from = root.join("gateway/packaging/debian").join(name);
        let text = fs::read_to_string(&from).map_err(Failure::file("read", &from))?;
        put(&control.join(name), text.replace("@COMPILES@", compiles), 0o755)?;
    }
    put(&control.join("conffiles"), CONFFILES.map(|file| format!("{file}\n")).concat(), 0o644)?;
    put(&control.join("md5sums"), sums(stage)?, 0o644)?;
    put(&control.join("control"), text(order, program, size(stage)?), 0o644).map(drop)
}

fn text(order: &Order, program: &Program, kib: u64) -> String {
    let mut depends = program.dependencies();
    depends.push("adduser".to_owned());
    let compiler = match order.code_key {
        None => "",
        Some(_) => {
            "\n .\n This build has no compiler: it runs extensions whose code was compiled and\n signed elsewhere."
        }
    };
    format!(
        "Package: portcullis\nVersion: {}\nArchitecture: {}\n\
         Maintainer: The Portcullis authors <portcullis@localhost.localdomain>\nInstalled-Size: {kib}\n\
         Depends: {}\nSection: net\nPriority: optional\nHomepage: https://github.com/portcullis-gateway/portcullis\n\
         Description: MQTT gateway for the edge whose policy is WebAssembly\n \
         It terminates MQTT 3.1.1 and 5.0 over TLS, QUIC, WebSocket and Unix sockets,\n \
         asks sandboxed components who a client is and what it may do, keeps what it has\n \
         acknowledged through power cuts, and exchanges messages with brokers elsewhere.{compiler}\n",
        order.version,
        program.architecture(),
        depends.join(", "),
    )
}

/// Of each file, in the order of their names.
fn sums(stage: &Path) -> Result<String, Failure> {
    let script = "find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum";
    let sums = output(Command::new("sh").current_dir(stage).args(["-c", script]))?;
    Ok(format!("{sums}\n"))
}

fn size(stage: &Path) -> Result<u64, Failure> {
    let text = output(
        Command::new("du").args(["--summarize", "--block-size=1024", "--apparent-size"]).arg(stage),
    )?;
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::Other(format!("du says {text:?}, which is no size")))
}

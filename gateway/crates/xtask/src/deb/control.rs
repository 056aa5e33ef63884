use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::output;
use crate::failure::Failure;
use crate::root::Root;

use super::order::Order;
use super::pack;
use super::tree::put;

/// What an upgrade asks about before it replaces it.
const CONFFILES: [&str; 2] = ["/etc/portcullis/acl.txt", "/etc/portcullis/gateway.toml"];

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes what dpkg reads of the package that is staged.
pub(super) fn write(root: &Root, order: &Order, stage: &Path) -> Result<(), Failure> {
    let control = stage.join("DEBIAN");
    let compiles = if order.code.is_none() { "yes" } else { "no" };
    for name in SCRIPTS {
        let from = root.join("gateway/packaging/debian").join(name);
        let text = fs::read_to_string(&from).map_err(Failure::file("read", &from))?;
        put(&control.join(name), text.replace("@COMPILES@", compiles), 0o755)?;
    }
    put(&control.join("conffiles"), CONFFILES.map(|file| format!("{file}\n")).concat(), 0o644)?;
    put(&control.join("md5sums"), sums(stage)?, 0o644)?;
    let text = text(order, pack::installed_kib(stage)?);
    put(&control.join("control"), text, 0o644).map(drop)
}

fn text(order: &Order, kib: u64) -> String {
    let mut depends = order.program.dependencies();
    depends.push("adduser".to_owned());
    let (name, other) = (order.name(), order.other_name());
    // What wants the gateway is content with one that has no compiler, too.
    let provides =
        if order.code.is_some() { format!("Provides: {other}\n") } else { String::new() };
    let compiler = match order.code {
        None => "",
        Some(_) => {
            "\n .\n This build has no compiler: it runs extensions whose code was compiled and\n signed elsewhere."
        }
    };
    format!(
        "Package: {name}\nVersion: {}\nArchitecture: {}\n\
         Maintainer: The Portcullis authors <portcullis@localhost.localdomain>\nInstalled-Size: {kib}\n\
         Depends: {}\n{provides}Conflicts: {other}\nReplaces: {other}\nSection: net\nPriority: optional\nHomepage: https://github.com/portcullis-gateway/portcullis\n\
         Description: MQTT gateway for the edge whose policy is WebAssembly\n \
         It terminates MQTT 3.1.1 and 5.0 over TLS, QUIC, WebSocket and Unix sockets,\n \
         asks sandboxed components who a client is and what it may do, keeps what it has\n \
         acknowledged through power cuts, and exchanges messages with brokers elsewhere.{compiler}\n",
        order.version,
        order.program.architecture(),
        depends.join(", "),
    )
}

/// Of each file, in the order of their names.
fn sums(stage: &Path) -> Result<String, Failure> {
    let script = "find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum";
    let sums = output(Command::new("sh").current_dir(stage).args(["-c", script]))?;
    Ok(format!("{sums}\n"))
}

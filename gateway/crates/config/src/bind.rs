//! `bind` of a listener: an address, a Unix socket, or a socket that systemd has opened.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::address::{collide, is_loopback};
use crate::section::Section;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Address and port; port 0 lets the system choose.
    Address(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its file.
        path: PathBuf,
        /// Who may use it, such as 0o660.
        mode: u32,
    },
    /// The socket that systemd has opened under this name (`FileDescriptorName=` of a socket unit).
    Systemd(String),
}

/// What a Unix socket begins with, and its modes.
const UNIX: &str = "unix:";
const MODES: [(&str, u32); 3] = [("0660", 0o660), ("0600", 0o600), ("0666", 0o666)];
const SYSTEMD: &str = "systemd:";

/// Bytes that the path of a Unix socket may have: what the kernel allows, less the name of the directory in
/// which the socket is made before it gets its own.
const PATH_BYTES_MAX: usize = 107 - ".new/s".len();

impl Bind {
    /// Whether others than this machine can, or may be able to, reach it.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Address(address) => !is_loopback(*address),
            Self::Unix { .. } => false,
            // What it is bound to is for systemd to know.
            Self::Systemd(_) => true,
        }
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix { .. })
    }

    /// Whether two listeners cannot have these.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(one), Self::Address(other)) => collide(*one, *other),
            (Self::Unix { path: one, .. }, Self::Unix { path: other, .. }) => one == other,
            (Self::Systemd(one), Self::Systemd(other)) => one == other,
            _ => false,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "{UNIX}{}", path.display()),
            Self::Systemd(name) => write!(f, "{SYSTEMD}{name}"),
        }
    }
}

/// Reads `bind` and `mode`.
pub(crate) fn read(section: &Section<'_>) -> Option<Bind> {
    const HINT: &str = "say where to listen, such as bind = \"0.0.0.0:8883\"";
    let Some(text) = section.required("bind", HINT) else {
        section.ignore(&["mode"]);
        return None;
    };
    if let Some(path) = text.value.strip_prefix(UNIX) {
        let mode = section.choice("mode", MODES[0].1, &MODES);
        let resolved = section.reader.resolve(path);
        let bytes = resolved.as_os_str().len();
        if path.is_empty() {
            section.fault(text.line, "bind", "has no path behind \"unix:\"");
        } else if bytes > PATH_BYTES_MAX {
            let message = format!(
                "\"{}\" has {bytes} bytes as a whole path; the path of a socket has at most {PATH_BYTES_MAX}",
                text.value
            );
            section.fault(text.line, "bind", &message);
        }
        return Some(Bind::Unix { path: resolved, mode });
    }
    section.meaningless(&["mode"], "without bind = \"unix:...\"; remove it");
    if let Some(name) = text.value.strip_prefix(SYSTEMD) {
        if name.is_empty() || name.contains(':') {
            let message = format!(
                "\"{}\" is no name; write \"systemd:NAME\" with the FileDescriptorName of a socket unit",
                text.value
            );
            section.fault(text.line, "bind", &message);
        }
        return Some(Bind::Systemd(name.to_owned()));
    }
    let address = text.value.parse().ok();
    if address.is_none() {
        let message = format!(
            "\"{}\" is not an address and a port; write \"0.0.0.0:8883\", or \"[::]:8883\" for IPv6",
            text.value
        );
        section.fault(text.line, "bind", &message);
    }
    address.map(Bind::Address)
}

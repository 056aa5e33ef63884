//! `path` and `origins` of a listener: where its WebSocket is, and which pages may open it.

use crate::section::Section;

/// A WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Where it is: begins with a slash, and has nothing that would be encoded in an address.
    pub path: String,
    /// Origins of pages that may open it besides those of the gateway's own host; `*` is any.
    pub origins: Vec<String>,
}

/// Where clients look for MQTT unless they are told.
const DEFAULT_PATH: &str = "/mqtt";

/// Reads the two keys. `kind` is whether the listener speaks WebSocket, and the word for what it speaks;
/// none if that is not known.
pub(crate) fn read(section: &Section<'_>, kind: Option<(bool, &str)>) -> Option<WebSocket> {
    match kind {
        Some((true, _)) => Some(WebSocket { path: path(section), origins: origins(section) }),
        Some((false, word)) => {
            let why = format!("with transport = \"{word}\"; remove it");
            section.meaningless(&["path", "origins"], &why);
            None
        }
        None => {
            section.ignore(&["path", "origins"]);
            None
        }
    }
}

fn path(section: &Section<'_>) -> String {
    let Some(path) = section.text("path") else { return DEFAULT_PATH.to_owned() };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.value.starts_with('/') || !path.value.bytes().all(is_plain) {
        let message = format!(
            "\"{}\" is not a path such as \"{DEFAULT_PATH}\"; begin with a slash, and use letters, \
             digits, \"/\", \"-\", \".\", \"_\" and \"~\"",
            path.value
        );
        section.fault(path.line, "path", &message);
    }
    path.value.to_owned()
}

fn origins(section: &Section<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for origin in section.texts("origins").unwrap_or_default() {
        if !is_origin(origin.value) {
            let message = format!(
                "holds \"{}\", which is no origin; write what browsers send, such as \
                 \"https://panel.example\" or \"http://localhost:3000\", \"null\" for pages without \
                 one, or \"*\" for all",
                origin.value
            );
            section.fault(origin.line, "origins", &message);
        }
        origins.push(origin.value.to_owned());
    }
    origins
}

/// Scheme, host and perhaps a port, without a path.
fn is_origin(text: &str) -> bool {
    let is_host = |host: &str| {
        !host.is_empty() && !host.contains(|c: char| "/?#@*".contains(c) || c.is_whitespace())
    };
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    matches!(text, "*" | "null")
        || text.split_once("://").is_some_and(|(scheme, host)| is_scheme(scheme) && is_host(host))
}

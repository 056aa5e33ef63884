//! `[extensions.NAME.connections.NAME]`: servers elsewhere that an extension may use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::section::{Located, Section};
use crate::url;

/// One server that speaks HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpConnection {
    /// Its name in the file, by which the extension asks for it.
    pub name: String,
    /// `https://...`, or `http://...` of this machine, without query. Requests go below it.
    pub url: String,
    /// PEM file with the authorities that are trusted instead of the public ones.
    pub ca: Option<PathBuf>,
    /// Time for a request and its answer.
    pub timeout: Duration,
    /// Time of that to be connected.
    pub connect_timeout: Duration,
    /// Requests at a time.
    pub max_concurrent: u32,
    /// Bytes of the body of an answer.
    pub max_response: u64,
    /// What every request says. May hold secrets.
    pub headers: BTreeMap<String, String>,
    /// The same, with the values in files; no name is in both.
    pub secret_headers: BTreeMap<String, PathBuf>,
}

/// Leaves out what headers say.
impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("ca", &self.ca)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_concurrent", &self.max_concurrent)
            .field("max_response", &self.max_response)
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("secret_headers", &self.secret_headers)
            .finish()
    }
}

/// Kinds of servers that the contract has and this release has nothing for.
pub(crate) const NOT_BUILT_IN: [&str; 3] = ["sql", "redis", "ldap"];

/// Introspection in a data centre, over a link of a site.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// As many as the instances of two extensions; more would be a burden for the server.
const DEFAULT_CONCURRENT: u32 = 4;
const DEFAULT_RESPONSE: u64 = 64 << 10;
/// It must fit the guest's memory several times over.
const RESPONSE_MAX: u64 = 1 << 20;

/// Reads the connections of one extension; one whose essentials are faulty is left out.
pub(crate) fn read(extension: &Section<'_>) -> Vec<HttpConnection> {
    let sections = extension.named("connections", "connection");
    sections.into_iter().filter_map(|(name, section)| read_one(name, &section)).collect()
}

fn read_one(name: String, section: &Section<'_>) -> Option<HttpConnection> {
    if !is_http(section) {
        return None;
    }
    let url = base(section);
    let ca = section.file("ca");
    let range = TIMEOUT_MIN..=TIMEOUT_MAX;
    let timeout = section.duration("timeout", DEFAULT_TIMEOUT, range.clone());
    let connect_timeout = section.duration("connect-timeout", DEFAULT_CONNECT_TIMEOUT, range);
    let max_concurrent = section.number("max-concurrent", DEFAULT_CONCURRENT, 1..=64);
    let max_response = section.size("max-response", DEFAULT_RESPONSE, 1..=RESPONSE_MAX);
    let headers = section.free("headers");
    let secret_headers = secret_headers(section, &headers);
    section.finish();
    Some(HttpConnection {
        name,
        url: url?,
        ca,
        timeout,
        connect_timeout,
        max_concurrent,
        max_response,
        headers: headers.into_iter().map(|(header, found)| (header, found.value)).collect(),
        secret_headers,
    })
}

/// Whether the connection is of the one kind that there is.
fn is_http(section: &Section<'_>) -> bool {
    let Some(kind) = section.text("kind") else { return true };
    if NOT_BUILT_IN.contains(&kind.value) {
        section.fault(
            kind.line,
            "kind",
            &format!("\"{}\": {}", kind.value, not_built_in(kind.value)),
        );
        return false;
    }
    section.chosen("kind", &kind, &[("http", ())]).is_some()
}

/// Why there is nothing behind a kind of servers.
pub(crate) fn not_built_in(kind: &str) -> String {
    format!(
        "{kind} connections are not built into this gateway; use a release that has them, or reach the \
         server through one that speaks HTTP"
    )
}

fn base(section: &Section<'_>) -> Option<String> {
    let text =
        section.required("url", "say where the server is, such as \"https://HOST/PATH/\"")?;
    if let Err(why) = url::check_base(text.value) {
        // Whoever reads the report is not to read a password in it.
        let shown = if text.value.contains('@') { "..." } else { text.value };
        section.fault(text.line, "url", &format!("\"{shown}\" {why}"));
        return None;
    }
    Some(text.value.to_owned())
}

fn secret_headers(
    section: &Section<'_>,
    headers: &BTreeMap<String, Located<String>>,
) -> BTreeMap<String, PathBuf> {
    let table = section.part("secret-headers");
    let mut files = BTreeMap::new();
    for (header, path) in section.free("secret-headers") {
        let located = Located { value: path.value.as_str(), line: path.line };
        files.insert(header.clone(), table.readable(&header, &located));
        let other = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(&header));
        if let Some((_, other)) = other {
            let message = format!("is also in headers, in line {}; keep one of them", other.line);
            table.fault(path.line, &header, &message);
        }
    }
    files
}

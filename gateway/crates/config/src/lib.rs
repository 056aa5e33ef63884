//! The gateway's configuration: `gateway.toml` as written, and as checked.
//!
//! [`parse`] reads the whole file and finds everything that is wrong with it, each fault with its
//! line, in words that name the value, the rule and the fix. What it returns needs no further
//! checking: paths are resolved, sizes are bytes, names refer to something.
//!
//! `examples/gateway.toml` documents every key. [`fixture`] reads what extensions are tested with, in the same way.

mod address;
mod admin;
mod algorithm;
mod bind;
mod bridge;
mod broker;
mod checked;
mod compiler;
mod component;
mod connection;
mod decisions;
mod duration;
mod extension;
pub mod fixture;
mod key_set;
mod limits;
mod listener;
mod log;
mod mqtt;
mod nearest;
mod network;
mod probe;
mod project;
mod quantity;
mod quic;
mod rates;
mod reach;
mod reader;
mod relations;
mod report;
mod roster;
mod section;
mod sessions;
mod size;
mod store;
mod tls;
mod topics;
mod trust;
mod url;
mod value;
mod web;

use std::path::Path;

pub use admin::Admin;
pub use bind::Bind;
pub use bridge::{
    Bridge, BridgeCredential, BridgeProbe, BridgeProxy, BridgeProxyKind, BridgeSas, BridgeTls,
    BridgeToken, BridgeVersion, Budget, Carrier, Upstream,
};
pub use broker::Broker;
pub use checked::Checked;
pub use compiler::{Brought, Compiler, CompilerProcess};
pub use component::place;
pub use connection::HttpConnection;
pub use decisions::Decisions;
pub use duration::parse as parse_duration;
pub use extension::{Deadlines, Extension, Grant};
pub use key_set::{Expected, KeySet, KeySource, KeyUrl};
pub use limits::Limits;
pub use listener::{ACCEPT_PLAINTEXT, Listener, Transport};
pub use log::{Format, Level, Log};
pub use mqtt::Mqtt;
pub use nearest::nearest;
pub use network::Network;
pub use probe::{Disk, FileProbe, Found};
pub use project::{Language, PROJECT_FILE, Project};
pub use quic::{Congestion, Quic};
pub use rates::{OnExcess, Rate, Rates};
pub use reach::{BrokerGrant, KeyValueGrant, MessageGrant, OnFailure};
pub use report::{Fault, Report};
pub use sessions::Sessions;
pub use store::{Engine, Store};
pub use tls::{CertificateFiles, ClientAuth, Judgement, Revocation, Tls, TlsVersion};
pub use topics::{Durability, Overflow, TopicRule};
pub use trust::{SignatureRule, Trust, TrustedKey};
pub use web::WebSocket;

/// Reads and checks a configuration file.
///
/// # Errors
/// Everything that is wrong with the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Checked, Report> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path, &Disk),
        Err(error) => Err(Report::unreadable(path, &error)),
    }
}

/// Checks the text of a configuration file. `file` is its path, against which relative paths are
/// resolved; `files` says which other files there are.
///
/// # Errors
/// Everything that is wrong with the text, in the order of its lines. If it is not TOML, then
/// only that: what the rest means cannot be known.
pub fn parse(text: &str, file: &Path, files: &dyn FileProbe) -> Result<Checked, Report> {
    checked::check(text, file, files).result
}

use std::fmt::Write as _;

use serde_json::{Value, json};
use transport::{Credential, utc};

use super::metrics::{Kind, Metric, escaped};
use crate::certificates::{Certificates, seconds_left};
use crate::clock;

/// The family of series that say how long certificates and revocation lists last.
pub(super) const SECONDS_LEFT: &str = "portcullis_certificate_seconds_left";

/// Each certificate and list with how long it lasts.
pub(super) fn document(certificates: &Certificates) -> Value {
    let now = clock::wall();
    let one = |(listener, credential): (&str, Credential)| {
        json!({
            "listener": listener,
            "kind": credential.kind.as_str(),
            "setting": credential.setting,
            "file": credential.path.to_string_lossy(),
            "subject": credential.subject,
            "names": credential.names,
            "not_after": credential.not_after_unix_s.map(utc),
            "seconds_left": seconds_left(&credential, now),
        })
    };
    certificates.all().map(one).collect()
}

/// The same for Prometheus. A file may hold several of one subject: the one that ends first is shown.
pub(super) fn series(certificates: &Certificates) -> String {
    let now = clock::wall();
    let mut lines = std::collections::BTreeMap::new();
    for (listener, credential) in certificates.all() {
        let Some(left) = seconds_left(&credential, now) else { continue };
        let labels = format!(
            "listener=\"{}\",kind=\"{}\",file=\"{}\",subject=\"{}\"",
            escaped(listener),
            credential.kind.as_str(),
            escaped(&credential.path.to_string_lossy()),
            escaped(&credential.subject)
        );
        let soonest = lines.entry(labels).or_insert(left);
        *soonest = left.min(*soonest);
    }
    let mut text = String::new();
    for (labels, left) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{SECONDS_LEFT}{{{labels}}} {left}");
    }
    text
}

pub(super) fn counters(certificates: &Certificates) -> Vec<Metric> {
    vec![
        ("certificate_reloads", Kind::Counter, certificates.reloads.get()),
        ("certificate_reload_failures", Kind::Counter, certificates.failures.get()),
        ("revoked_connections", Kind::Counter, certificates.revoked.get()),
    ]
}

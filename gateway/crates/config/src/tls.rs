//! `[listeners.NAME.tls]`: certificates, keys, and whose certificates clients may show.

use std::path::PathBuf;

use crate::section::Section;

/// The TLS side of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the server's certificate chain.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// Certificates for clients that ask for one of their names.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients present certificates.
    pub client_auth: ClientAuth,
    /// Which of those count no more.
    pub revocation: Revocation,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file with the chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Whether clients present certificates, and the PEM file with the authorities that issue them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They may; a bad one is refused.
    Optional(PathBuf),
    /// They must.
    Required(PathBuf),
}

/// Which client certificates count no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// PEM files with revocation lists.
    pub lists: Vec<PathBuf>,
    /// What becomes of a client if there are lists, and none of the issuer of its certificate.
    pub unknown: Judgement,
    /// What becomes of a client if the list of its issuer should have been replaced by now.
    pub outdated: Judgement,
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is let in.
    Allow,
    /// It is refused.
    Refuse,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Certificates of a listener besides the first: each name of each takes memory and a start reads all.
const MAX_CERTIFICATES: usize = 100;

/// The TLS side of the listener in `section`, whose `transport` is this; `None` if its essentials are faulty.
pub(crate) fn read(section: &Section<'_>, transport: &str) -> Option<Tls> {
    let why = format!("with transport = \"{transport}\"; remove it");
    section.meaningless(&["insecure-plaintext"], &why);
    let tls = section.part("tls");
    let cert = tls.required_file("cert", "name the PEM file with the server's certificate chain");
    let key = tls.required_file("key", "name the PEM file with the private key of tls.cert");
    let certificates = certificates(&tls);
    let client_auth = client_auth(&tls);
    let revocation = revocation(&tls, client_auth.as_ref());
    let versions = [("1.3", TlsVersion::V1_3), ("1.2", TlsVersion::V1_2)];
    let min_version = tls.choice("min-version", TlsVersion::V1_3, &versions);
    tls.finish();
    let client_auth = client_auth?;
    Some(Tls { cert: cert?, key: key?, certificates, client_auth, revocation, min_version })
}

fn certificates(tls: &Section<'_>) -> Vec<CertificateFiles> {
    let sections = tls.list("certificates", "tls.certificates");
    if let (Some(line), true) = (tls.line_of("certificates"), sections.len() > MAX_CERTIFICATES) {
        let message = format!(
            "has {} entries, the most is {MAX_CERTIFICATES}; put more names into each certificate",
            sections.len()
        );
        tls.fault(line, "certificates", &message);
    }
    let one = |section: Section<'_>| {
        let cert = section.required_file("cert", "name the PEM file with the certificate chain");
        let key = section.required_file("key", "name the PEM file with the private key of cert");
        section.finish();
        Some(CertificateFiles { cert: cert?, key: key? })
    };
    sections.into_iter().filter_map(one).collect()
}

#[derive(Clone, Copy)]
enum Asked {
    None,
    Optional,
    Required,
}

fn client_auth(tls: &Section<'_>) -> Option<ClientAuth> {
    let asked = tls.choice(
        "client-auth",
        Asked::None,
        &[("none", Asked::None), ("optional", Asked::Optional), ("required", Asked::Required)],
    );
    match (asked, tls.file("client-ca")) {
        (Asked::None, None) => Some(ClientAuth::None),
        (Asked::None, Some(_)) => {
            tls.meaningless(
                &["client-ca"],
                "with tls.client-auth = \"none\"; remove it, or ask for certificates with \
                 \"optional\" or \"required\"",
            );
            None
        }
        (_, None) => {
            if !tls.has("client-ca") {
                tls.missing(
                    "client-ca",
                    "name the PEM file with the authorities that issue client certificates, or \
                     set tls.client-auth = \"none\"",
                );
            }
            None
        }
        (Asked::Optional, Some(ca)) => Some(ClientAuth::Optional(ca)),
        (Asked::Required, Some(ca)) => Some(ClientAuth::Required(ca)),
    }
}

fn revocation(tls: &Section<'_>, client_auth: Option<&ClientAuth>) -> Revocation {
    const ABOUT_LISTS: [&str; 2] = ["client-crl-unknown", "client-crl-outdated"];
    let judge = |key| {
        let options = [("allow", Judgement::Allow), ("refuse", Judgement::Refuse)];
        tls.choice(key, Judgement::Allow, &options)
    };
    let [unknown, outdated] = ABOUT_LISTS.map(judge);
    let mut lists = Vec::new();
    for path in tls.texts("client-crl").unwrap_or_default() {
        lists.push(tls.readable("client-crl", &path));
    }
    if client_auth == Some(&ClientAuth::None) {
        tls.meaningless(
            &["client-crl"],
            "with tls.client-auth = \"none\"; remove it, or ask for certificates with \
             \"optional\" or \"required\"",
        );
    }
    if lists.is_empty() && !tls.has("client-crl") {
        tls.meaningless(&ABOUT_LISTS, "without tls.client-crl; name the revocation lists there");
    }
    Revocation { lists, unknown, outdated }
}

use std::path::PathBuf;
use std::time::Duration;

use super::BridgeVersion;
use crate::section::{Located, Section};

/// What upstream is shown besides a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeCredential {
    /// Nothing.
    None,
    /// The password in a file.
    PasswordFile(PathBuf),
    /// A JSON Web Token that the gateway makes.
    Token(BridgeToken),
    /// A shared access signature that the gateway makes.
    Sas(BridgeSas),
}

/// What a JSON Web Token says, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeToken {
    /// PEM file with the private key.
    pub key: PathBuf,
    /// The name of the key (`kid`).
    pub key_id: Option<String>,
    /// For whom it is (`aud`).
    pub audience: Option<String>,
    /// Who issues it (`iss`).
    pub issuer: Option<String>,
    /// Who shows it (`sub`).
    pub subject: Option<String>,
    /// How long it holds, in whole seconds.
    pub lifetime: Duration,
    /// The authentication method of MQTT 5 by which it is shown; `None` shows it as password.
    pub method: Option<String>,
}

/// What a shared access signature is for, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSas {
    /// What it opens, as it is before it is encoded for a URL.
    pub resource: String,
    /// The file with the key, in base64.
    pub key_file: PathBuf,
    /// The name of the policy that the key belongs to (`skn`).
    pub policy: Option<String>,
    /// How long it holds, in whole seconds.
    pub lifetime: Duration,
}

const ONE_OF: [&str; 3] = ["password-file", "token", "sas"];

/// What is shown is made anew before it ends, so it has to hold for a while; and whoever steals one is not to have it for ever.
const LIFETIME: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(30 * 24 * 3600);
const LIFETIME_USUAL: Duration = Duration::from_secs(3600);

/// Bytes of a claim, or of another text of these.
const TEXT_MAX: usize = 1024;

pub(super) fn read(
    section: &Section<'_>,
    username: Option<&String>,
    version: BridgeVersion,
) -> BridgeCredential {
    let password_file = section.file("password-file");
    let token = section.has("token").then(|| token(section, version));
    let sas = section.has("sas").then(|| sas(section));
    let stated: Vec<_> = ONE_OF.into_iter().filter(|key| section.has(key)).collect();
    if let [first, .., last] = *stated {
        let line = section.line_of(last).unwrap_or_default();
        let why =
            format!("stands beside {first}, and upstream is shown one of them; remove the other");
        section.fault(line, last, &why);
    }
    let by_method = token
        .as_ref()
        .is_some_and(|token| token.as_ref().is_some_and(|token| token.method.is_some()));
    match (stated.first(), username) {
        (Some(&"sas"), None) => {
            section.missing("username", "a shared access signature is the password of one");
        }
        (Some(key), None) if version == BridgeVersion::V3_1_1 && !by_method => {
            let line = section.line_of(key).unwrap_or_default();
            let why =
                "means nothing without username in MQTT 3.1.1 (MQTT-3.1.2-22 of it); name one";
            section.fault(line, key, why);
        }
        _ => {}
    }
    match (password_file, token.flatten(), sas.flatten()) {
        (Some(file), _, _) => BridgeCredential::PasswordFile(file),
        (_, Some(token), _) => BridgeCredential::Token(token),
        (_, _, Some(sas)) => BridgeCredential::Sas(sas),
        _ => BridgeCredential::None,
    }
}

fn token(section: &Section<'_>, version: BridgeVersion) -> Option<BridgeToken> {
    let token = section.part("token");
    let key = token.required_file("key", "say which private key signs, such as \"pki/site-7.key\"");
    let claim = |key: &'static str| text(&token, key).map(|found| found.value.to_owned());
    let (audience, issuer) = (claim("audience"), claim("issuer"));
    let (subject, key_id) = (claim("subject"), claim("key-id"));
    let lifetime = token.duration("lifetime", LIFETIME_USUAL, LIFETIME);
    let method = text(&token, "method");
    if let Some(method) = method.as_ref().filter(|_| version == BridgeVersion::V3_1_1) {
        let why = "is of MQTT 5, which version = \"3.1.1\" is not; remove one of them";
        token.fault(method.line, "method", why);
    }
    token.finish();
    let method = method.map(|found| found.value.to_owned());
    Some(BridgeToken { key: key?, key_id, audience, issuer, subject, lifetime, method })
}

fn sas(section: &Section<'_>) -> Option<BridgeSas> {
    let sas = section.part("sas");
    let hint = "say what it opens, such as \"HUB.azure-devices.net/devices/DEVICE\"";
    let resource = if sas.has("resource") { text(&sas, "resource") } else { None };
    if !sas.has("resource") {
        sas.required("resource", hint);
    }
    let key_file = sas.required_file("key-file", "name the file with the key, in base64");
    let policy = text(&sas, "policy").map(|found| found.value.to_owned());
    let lifetime = sas.duration("lifetime", LIFETIME_USUAL, LIFETIME);
    sas.finish();
    let resource = resource?.value.to_owned();
    Some(BridgeSas { resource, key_file: key_file?, policy, lifetime })
}

fn text<'a>(section: &Section<'a>, key: &'static str) -> Option<Located<&'a str>> {
    let text = section.text(key)?;
    if !(1..=TEXT_MAX).contains(&text.value.len()) || text.value.contains('\0') {
        let why = format!("has not from 1 to {TEXT_MAX} bytes, or one that is 0");
        section.fault(text.line, key, &why);
    }
    Some(text)
}

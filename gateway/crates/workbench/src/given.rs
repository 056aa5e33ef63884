//! From what a fixture states to what the host loads and asks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use config::fixture::{Carrier, Certificate, Connect};
use extension_host::{
    Capability, CertificateInfo, Connecting, ExtensionLimits, ExtensionSpec, Facilities, Keyring,
    PeerAddress, Transport,
};

use crate::failure::Failure;

/// A component as a fixture has it loaded. Its settings are those of no case in particular.
pub(crate) fn spec(
    component: Arc<[u8]>,
    stated: &config::Extension,
    keyring: Arc<Keyring>,
) -> Result<ExtensionSpec, Failure> {
    let grants = stated.grants.iter().filter_map(|grant| Capability::from_name(grant.name()));
    Ok(ExtensionSpec {
        name: stated.name.clone(),
        component,
        sha256_pin: stated.sha256,
        attestation: None,
        grants: grants.collect(),
        config: settings(stated)?,
        keyring,
        facilities: Facilities::default(),
        limits: ExtensionLimits {
            memory_bytes: usize::try_from(stated.memory).unwrap_or(usize::MAX),
            instances: stated.instances as usize,
            deadline_init: stated.deadlines.init,
            deadline_authenticate: stated.deadlines.authenticate,
            deadline_authorize: stated.deadlines.authorize,
            deadline_intercept: stated.deadlines.intercept,
            deadline_observe: stated.deadlines.observe,
            ..ExtensionLimits::default()
        },
    })
}

/// The table `config`, and the text of each of `files`.
fn settings(stated: &config::Extension) -> Result<BTreeMap<String, String>, Failure> {
    let mut settings = stated.config.clone();
    for (key, path) in &stated.files {
        let text = fs::read_to_string(path).map_err(Failure::file("read", path))?;
        settings.insert(key.clone(), text);
    }
    Ok(settings)
}

/// The CONNECT of a case, the `number`th connection of its file.
pub(crate) fn connecting(number: u64, stated: &Connect) -> Result<Connecting, Failure> {
    let chain = stated.certificate.iter().flat_map(|certificate| &certificate.chain);
    let read = |path: &std::path::PathBuf| fs::read(path).map_err(Failure::file("read", path));
    Ok(Connecting {
        connection_id: number,
        client_id: stated.client_id.clone(),
        username: stated.username.clone(),
        version: stated.version,
        transport: match stated.transport {
            Carrier::Tcp => Transport::Tcp,
            Carrier::Tls => Transport::Tls,
            Carrier::Quic => Transport::Quic,
            Carrier::WebSocket => Transport::WebSocket,
            Carrier::Unix => Transport::Unix,
            Carrier::Bridge => Transport::Bridge,
        },
        listener: stated.listener.clone(),
        peer_address: stated.peer_address.map_or(PeerAddress::Unix, PeerAddress::Ip),
        server_name: stated.server_name.clone(),
        alpn: stated.alpn.clone(),
        keep_alive: stated.keep_alive,
        clean_start: stated.clean_start,
        session_expiry: stated.session_expiry,
        user_properties: stated.user_properties.clone(),
        will_topic: stated.will_topic.clone(),
        certificates: chain.map(read).collect::<Result<_, _>>()?,
        certificate: stated.certificate.as_ref().map(certificate),
    })
}

fn certificate(stated: &Certificate) -> CertificateInfo {
    CertificateInfo {
        sha256: stated.sha256.clone(),
        subject: stated.subject.clone(),
        common_name: stated.common_name.clone(),
        issuer: stated.issuer.clone(),
        serial: stated.serial.clone(),
        not_after_unix_s: stated.not_after.as_secs(),
        san_dns: stated.san_dns.clone(),
        san_uri: stated.san_uri.clone(),
        san_email: stated.san_email.clone(),
        san_ip: stated.san_ip.clone(),
    }
}

/// The bytes of a component.
pub(crate) fn component(path: &Path) -> Result<Arc<[u8]>, Failure> {
    Ok(fs::read(path).map_err(Failure::file("read", path))?.into())
}

use std::sync::Arc;

use extension_host::{CertificateInfo, Connecting, PeerAddress, Transport};
use mqtt::{Connect, Version};
use transport::{PeerIdentity, TransportKind};

/// What extensions are told about a client that connects.
pub(crate) fn connecting(
    connection_id: u64,
    listener: &str,
    peer: PeerIdentity,
    connect: &Connect<'_>,
    client_id: &str,
) -> Arc<Connecting> {
    let properties = &connect.properties;
    let session_expiry = match connect.version {
        Version::V5 => properties.session_expiry.unwrap_or(0),
        Version::V3_1 | Version::V3_1_1 if connect.clean_start => 0,
        Version::V3_1 | Version::V3_1_1 => u32::MAX,
    };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Arc::new(Connecting {
        connection_id,
        client_id: client_id.to_owned(),
        username: connect.username.map(str::to_owned),
        version: connect.version,
        transport: match peer.transport {
            TransportKind::Tcp => Transport::Tcp,
            TransportKind::Tls => Transport::Tls,
            TransportKind::WebSocket => Transport::WebSocket,
            TransportKind::Unix => Transport::Unix,
        },
        listener: listener.to_owned(),
        peer_address: peer.address.ip().map_or(PeerAddress::Unix, PeerAddress::Ip),
        server_name: peer.server_name,
        alpn: peer.alpn,
        keep_alive: connect.keep_alive,
        clean_start: connect.clean_start,
        session_expiry,
        user_properties: properties.user.iter().map(owned).collect(),
        will_topic: connect.will.as_ref().map(|will| will.topic.as_str().to_owned()),
        certificates: peer.certificates,
        certificate: peer.leaf.map(certificate),
    })
}

fn certificate(leaf: transport::Certificate) -> CertificateInfo {
    CertificateInfo {
        sha256: leaf.sha256,
        subject: leaf.subject,
        common_name: leaf.common_name,
        issuer: leaf.issuer,
        serial: leaf.serial,
        not_after_unix_s: leaf.not_after_unix_s,
        san_dns: leaf.san_dns,
        san_uri: leaf.san_uri,
        san_email: leaf.san_email,
        san_ip: leaf.san_ip,
    }
}

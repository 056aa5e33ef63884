use std::net::Ipv4Addr;
use std::time::Duration;

use admin::Answer;
use base64ct::{Base64, Encoding};
use extension_host::{CertificateInfo, Connecting, PeerAddress, Transport};
use mqtt::Version;
use tokio::time::Instant;

use super::fields::{Fields, bad};

/// How long the decision about a client that does not exist may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The network connection that no client has.
const NO_CONNECTION: u64 = 0;

/// A client that might come.
pub(super) struct Stranger {
    pub(super) connecting: Connecting,
    pub(super) password: Option<Vec<u8>>,
    /// Until when it is to be decided.
    pub(super) until: Instant,
}

impl Stranger {
    /// Reads the description of a CONNECT. What is left out is as simple clients have it.
    pub(super) fn read(mut fields: Fields) -> Result<Self, Answer> {
        let password = match (fields.text("password")?, fields.text("password_base64")?) {
            (Some(_), Some(_)) => {
                return Err(bad("password and password_base64 are two passwords"));
            }
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(text)) => {
                let bytes = Base64::decode_vec(&text);
                Some(bytes.map_err(|_| bad("connect.password_base64 is not base64"))?)
            }
            (None, None) => None,
        };
        let connecting = Connecting {
            connection_id: NO_CONNECTION,
            listener: fields.required("listener")?,
            client_id: fields.required("client_id")?,
            username: fields.text("username")?,
            version: version(fields.text("version")?.as_deref())?,
            transport: transport(fields.text("transport")?.as_deref())?,
            peer_address: address(fields.text("address")?.as_deref())?,
            server_name: fields.text("server_name")?,
            alpn: fields.text("alpn")?,
            keep_alive: fields.number("keep_alive")?.unwrap_or(60),
            clean_start: fields.flag("clean_start")?,
            session_expiry: fields.number("session_expiry")?.unwrap_or(0),
            user_properties: fields.pairs("user_properties")?,
            will_topic: fields.text("will_topic")?,
            certificates: Vec::new(),
            certificate: fields.object("certificate")?.map(certificate).transpose()?,
        };
        fields.finish()?;
        Ok(Self { connecting, password, until: Instant::now() + PATIENCE })
    }
}

fn version(word: Option<&str>) -> Result<Version, Answer> {
    match word {
        None | Some("5.0" | "5") => Ok(Version::V5),
        Some("3.1.1") => Ok(Version::V3_1_1),
        Some("3.1") => Ok(Version::V3_1),
        Some(other) => Err(bad(format!("connect.version {other:?} is none of 5.0, 3.1.1, 3.1"))),
    }
}

fn transport(word: Option<&str>) -> Result<Transport, Answer> {
    match word {
        None | Some("tls") => Ok(Transport::Tls),
        Some("tcp") => Ok(Transport::Tcp),
        Some("websocket") => Ok(Transport::WebSocket),
        Some("unix") => Ok(Transport::Unix),
        Some(other) => {
            Err(bad(format!("connect.transport {other:?} is none of tls, tcp, websocket, unix")))
        }
    }
}

fn address(text: Option<&str>) -> Result<PeerAddress, Answer> {
    let Some(text) = text else { return Ok(PeerAddress::Ip(Ipv4Addr::LOCALHOST.into())) };
    text.parse()
        .map_err(|_| bad(format!("connect.address {text:?} is not an IP address, and not unix")))
}

/// What was read from a certificate; the certificate itself need not exist.
fn certificate(mut fields: Fields) -> Result<CertificateInfo, Answer> {
    let certificate = CertificateInfo {
        sha256: fields.text("sha256")?.unwrap_or_default(),
        subject: fields.text("subject")?.unwrap_or_default(),
        common_name: fields.text("common_name")?,
        issuer: fields.text("issuer")?.unwrap_or_default(),
        serial: fields.text("serial")?.unwrap_or_default(),
        not_after_unix_s: fields.number("not_after_unix_s")?.unwrap_or(0),
        san_dns: fields.texts("san_dns")?,
        san_uri: fields.texts("san_uri")?,
        san_email: fields.texts("san_email")?,
        san_ip: fields.texts("san_ip")?,
    };
    fields.finish()?;
    Ok(certificate)
}

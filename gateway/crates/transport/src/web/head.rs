//! The request that opens a WebSocket (RFC 6455 section 4.2), judged by its head.

use base64ct::{Base64, Encoding as _};
use httparse::{EMPTY_HEADER, Header, Request, Status};

use crate::settings::WebSettings;
use crate::web::origin;
use crate::web::upgrade::UpgradeError;

/// Headers of a request at most; browsers send a dozen.
const HEADERS_MAX: usize = 64;

/// The only version of the protocol (RFC 6455 section 11.6).
const VERSION: &str = "13";

/// What the key is hashed with (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer that opens the WebSocket.
///
/// # Errors
/// If the request is not one for it; the error has the answer.
pub(crate) fn accept(
    head: &[u8],
    settings: &WebSettings,
    encrypted: bool,
) -> Result<String, UpgradeError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(len)) if len == head.len() => {}
        // A client has to wait for the answer.
        Ok(Status::Complete(_)) => return Err(UpgradeError::Early),
        Ok(Status::Partial) => return Err(UpgradeError::NotHttp),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooLarge),
        Err(_) => return Err(UpgradeError::NotHttp),
    }
    if request.version != Some(1) {
        return Err(UpgradeError::NotHttp);
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(settings.path.as_str()) {
        return Err(UpgradeError::Path { path: settings.path.clone() });
    }
    if request.method != Some("GET") {
        return Err(UpgradeError::Method);
    }
    let headers = Headers(request.headers);
    if !headers.lists("upgrade", "websocket") || !headers.lists("connection", "upgrade") {
        return Err(UpgradeError::NoUpgrade);
    }
    if headers.one("sec-websocket-version") != Some(VERSION) {
        return Err(UpgradeError::Version);
    }
    let Some(host) = headers.one("host").filter(|host| !host.is_empty()) else {
        return Err(UpgradeError::Header("Host"));
    };
    let key = headers.one("sec-websocket-key").filter(|key| is_key(key));
    let Some(key) = key else { return Err(UpgradeError::Header("Sec-WebSocket-Key")) };
    let mut origins = headers.all("origin");
    if !origins.all(|origin| origin::is_allowed(origin, host, encrypted, &settings.origins)) {
        return Err(UpgradeError::Origin);
    }
    if !headers.has_item("sec-websocket-protocol", |item| item == settings.subprotocol) {
        return Err(UpgradeError::Subprotocol { subprotocol: settings.subprotocol.clone() });
    }
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        proof_of(key),
        settings.subprotocol
    ))
}

struct Headers<'a>(&'a [Header<'a>]);

impl<'a> Headers<'a> {
    /// What all headers of this name say; what is not text says nothing.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    }

    /// What the only header of this name says.
    fn one(&self, name: &str) -> Option<&'a str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    fn lists(&self, name: &str, wanted: &str) -> bool {
        self.has_item(name, |item| item.eq_ignore_ascii_case(wanted))
    }

    /// Whether a list has such an item.
    fn has_item(&self, name: &str, wanted: impl Fn(&str) -> bool) -> bool {
        self.all(name).flat_map(|list| list.split(',')).any(|item| wanted(item.trim()))
    }
}

/// Whether it is 16 bytes of base64.
fn is_key(key: &str) -> bool {
    let mut bytes = [0; 18];
    Base64::decode(key, &mut bytes).is_ok_and(|bytes| bytes.len() == 16)
}

/// What proves that the request with this key was understood.
pub(crate) fn proof_of(key: &str) -> String {
    // SHA-1 is what the protocol asks for; nothing depends on its strength.
    let algorithm = &ring::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let digest = ring::digest::digest(algorithm, &[key.as_bytes(), GUID].concat());
    Base64::encode_string(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: gw.example:8084\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, mqtt\r\n\r\n";

    fn judged(head: &str) -> Result<String, &'static str> {
        let settings = WebSettings {
            path: "/mqtt".to_owned(),
            subprotocol: "mqtt".to_owned(),
            origins: Vec::new(),
        };
        accept(head.as_bytes(), &settings, true).map_err(|error| error.status())
    }

    #[test]
    fn a_good_request_is_answered_as_the_rfc_shows() {
        let answer = judged(GOOD).expect("it is good");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.ends_with("Sec-WebSocket-Protocol: mqtt\r\n\r\n"), "{answer}");
        assert!(judged(&GOOD.replace("/mqtt ", "/mqtt?a=b ")).is_ok());
        assert!(judged(&GOOD.replace("Host:", "Origin: https://gw.example\r\nHost:")).is_ok());
    }

    #[test]
    fn anything_else_is_refused_with_the_status_that_says_why() {
        for (from, to, status) in [
            ("GET /mqtt HTTP/1.1", "GET /mqtt HTTP/1.0", "400 Bad Request"),
            ("GET /mqtt HTTP/1.1", "nonsense", "400 Bad Request"),
            ("GET /mqtt ", "POST /mqtt ", "405 Method Not Allowed"),
            ("GET /mqtt ", "GET /other ", "404 Not Found"),
            ("GET /mqtt ", "GET /mqtt/ ", "404 Not Found"),
            ("Upgrade: websocket", "Upgrade: h2c", "426 Upgrade Required"),
            ("keep-alive, Upgrade", "keep-alive", "426 Upgrade Required"),
            ("Version: 13", "Version: 8", "426 Upgrade Required"),
            ("Sec-WebSocket-Version: 13\r\n", "", "426 Upgrade Required"),
            ("Host: gw.example:8084\r\n", "", "400 Bad Request"),
            ("Host: gw", "Host: other\r\nHost: gw", "400 Bad Request"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", "400 Bad Request"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "&&&", "400 Bad Request"),
            ("chat, mqtt", "chat, mqttv3.1", "400 Bad Request"),
            ("Sec-WebSocket-Protocol: chat, mqtt\r\n", "", "400 Bad Request"),
            ("Host:", "Origin: https://evil.example\r\nHost:", "403 Forbidden"),
            ("Host:", "Origin: \u{0}\r\nHost:", "400 Bad Request"),
            ("\r\n\r\n", "\r\n\r\nearly", "400 Bad Request"),
        ] {
            let request = GOOD.replacen(from, to, 1);
            assert_eq!(judged(&request), Err(status), "{request}");
        }
        let many = format!("Host: gw\r\n{}", "X: y\r\n".repeat(HEADERS_MAX));
        let status = judged(&GOOD.replace("Host: gw.example:8084\r\n", &many));
        assert_eq!(status, Err("431 Request Header Fields Too Large"));
    }
}

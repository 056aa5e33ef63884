//! WebSocket (RFC 6455) as a client.

mod answer;
mod stream;

use base64ct::{Base64, Encoding as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::DialError;
use answer::HEAD_MAX;

pub(super) use stream::WebClient;

/// What is asked for in the request that opens a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialWeb {
    /// From the first slash on, without a fragment.
    pub path: String,
    /// What is spoken inside (`Sec-WebSocket-Protocol`); the server has to agree.
    pub subprotocol: String,
}

impl DialWeb {
    /// Asks over `carrier`, and gives the bytes inside the WebSocket once the server agrees.
    pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut carrier: S,
        host: &str,
        port: u16,
        encrypted: bool,
    ) -> Result<WebClient<S>, DialError> {
        let broken = |error: std::io::Error| DialError::Web(error.to_string());
        let key = Base64::encode_string(&stream::random::<16>().map_err(broken)?);
        let request = self.request(&host_header(host, port, encrypted), &key);
        carrier.write_all(request.as_bytes()).await.map_err(broken)?;
        carrier.flush().await.map_err(broken)?;
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = answer::end_of_head(&head) {
                break end;
            }
            if head.len() >= HEAD_MAX {
                let why = format!("its answer has more than {HEAD_MAX} bytes before an empty line");
                return Err(DialError::Web(why));
            }
            if carrier.read_buf(&mut head).await.map_err(broken)? == 0 {
                return Err(DialError::Web("it closed the connection instead".to_owned()));
            }
        };
        // What the server sends behind its answer belongs to the WebSocket.
        let early = head.split_off(end);
        answer::check(&head, &key, &self.subprotocol).map_err(DialError::Web)?;
        Ok(WebClient::new(carrier, early))
    }

    fn request(&self, host: &str, key: &str) -> String {
        let Self { path, subprotocol } = self;
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        )
    }
}

/// What the request calls the server: with its port, unless that is the usual one (RFC 6455, section 4.1).
fn host_header(host: &str, port: u16, encrypted: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (encrypted, port) {
        (true, 443) | (false, 80) => host,
        _ => format!("{host}:{port}"),
    }
}

//! From an established stream to a WebSocket: the request is read, judged and answered.

use std::fmt;
use std::io;

use tokio::io::AsyncWriteExt;

use crate::connection::Stream;
use crate::settings::WebSettings;
use crate::web::head;
use crate::web::stream::WebStream;

/// Bytes of a request's head at most. Browsers send less than one KiB, and up to a few of cookies.
pub(crate) const HEAD_MAX: usize = 8 * 1024;

/// Bytes that are read and thrown away behind a request that is refused, at most.
const UNREAD_MAX: usize = 64 * 1024;

/// Why a connection did not become a WebSocket.
#[derive(Debug)]
pub enum UpgradeError {
    /// The peer closed before its request was whole.
    Closed,
    /// The stream failed.
    Io(io::Error),
    /// What arrived is no request of HTTP/1.1.
    NotHttp,
    /// The head has more than 8 KiB, or more than 64 headers.
    TooLarge,
    /// Nothing is at the path that was asked for.
    Path {
        /// Where the WebSocket is.
        path: String,
    },
    /// The method is not GET.
    Method,
    /// The request does not ask for a WebSocket.
    NoUpgrade,
    /// The version of the protocol is not 13.
    Version,
    /// A header that must be there once is missing, doubled or not well-formed.
    Header(&'static str),
    /// A page of another host may not connect.
    Origin,
    /// The client does not speak what is spoken here.
    Subprotocol {
        /// What is spoken here.
        subprotocol: String,
    },
    /// Something was sent behind the request before it was answered.
    Early,
}

/// Reads the request, answers it, and gives the bytes inside the WebSocket if it is a good one.
///
/// It waits for the peer as long as the peer likes. A peer that is refused has been told so.
///
/// # Errors
/// If the peer goes away or asks for something else.
pub(crate) async fn upgrade(
    mut stream: Stream,
    settings: &WebSettings,
    encrypted: bool,
) -> Result<WebStream, UpgradeError> {
    let mut head = Vec::new();
    let judged = match read_head(&mut stream, &mut head).await {
        Ok(()) => head::accept(&head, settings, encrypted),
        Err(error) => Err(error),
    };
    match judged {
        Ok(answer) => {
            stream.write_all(answer.as_bytes()).await.map_err(UpgradeError::Io)?;
            stream.flush().await.map_err(UpgradeError::Io)?;
            Ok(WebStream::new(stream))
        }
        Err(error) => {
            tell_and_close(&mut stream, &error).await;
            Err(error)
        }
    }
}

async fn read_head(stream: &mut Stream, head: &mut Vec<u8>) -> Result<(), UpgradeError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut searched = 0;
    loop {
        // A stream takes no memory while nothing arrives.
        let room = HEAD_MAX.saturating_sub(head.len());
        if room == 0 {
            return Err(UpgradeError::TooLarge);
        }
        let read = stream.receive(room, |piece| head.extend_from_slice(piece)).await;
        match read {
            Ok(0) => return Err(UpgradeError::Closed),
            Ok(_) => {}
            Err(error) => return Err(UpgradeError::Io(error)),
        }
        // Whoever speaks something else, such as MQTT, hears so at once.
        if head.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            return Err(UpgradeError::NotHttp);
        }
        let unsearched = head.get(searched..).unwrap_or_default();
        let ends = unsearched.windows(END.len()).any(|window| window == END);
        // With TLS a read may bring more than was asked for.
        if head.len() > HEAD_MAX {
            return Err(UpgradeError::TooLarge);
        }
        if ends {
            return Ok(());
        }
        searched = head.len().saturating_sub(END.len() - 1);
    }
}

/// Says why not. What the peer has sent meanwhile is read first, since closing over unread bytes resets
/// the connection, and a reset overtakes the answer.
async fn tell_and_close(stream: &mut Stream, error: &UpgradeError) {
    if matches!(error, UpgradeError::Closed | UpgradeError::Io(_)) {
        return;
    }
    // A peer that cannot be told is told nothing: what it has asked for is what counts.
    let _ = stream.write_all(error.answer().as_bytes()).await;
    let _ = stream.flush().await;
    let _ = stream.shutdown().await;
    let mut unread = 0;
    while unread < UNREAD_MAX {
        match stream.receive(UNREAD_MAX, |_| {}).await {
            Ok(more @ 1..) => unread += more,
            Ok(0) | Err(_) => return,
        }
    }
}

impl UpgradeError {
    /// A constant name of the cause, for metrics and log fields.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::NotHttp => "not-http",
            Self::TooLarge => "too-large",
            Self::Path { .. } => "path",
            Self::Method => "method",
            Self::NoUpgrade => "no-upgrade",
            Self::Version => "version",
            Self::Header(_) => "header",
            Self::Origin => "origin",
            Self::Subprotocol { .. } => "subprotocol",
            Self::Early => "early",
        }
    }

    /// Code and phrase of the answer.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::Path { .. } => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::NoUpgrade | Self::Version => "426 Upgrade Required",
            Self::Origin => "403 Forbidden",
            Self::TooLarge => "431 Request Header Fields Too Large",
            _ => "400 Bad Request",
        }
    }

    /// The whole answer. Nothing of what was asked is in it.
    fn answer(&self) -> String {
        let body = format!("{self}\n");
        let more = match self {
            Self::NoUpgrade | Self::Version => {
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            }
            Self::Method => "Allow: GET\r\n",
            _ => "",
        };
        // Where a protocol is to be changed the header has to say both (RFC 9110 section 7.8).
        let connection = if more.starts_with("Upgrade") { "Upgrade, close" } else { "close" };
        format!(
            "HTTP/1.1 {}\r\nConnection: {connection}\r\n{more}Content-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\n\r\n{body}",
            self.status(),
            body.len()
        )
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("peer closed the connection before its request was whole"),
            Self::Io(cause) => write!(f, "connection failed while a websocket was opened ({cause})"),
            Self::NotHttp => f.write_str(
                "this is no request of HTTP/1.1; this listener speaks WebSocket, so give the client a ws or wss address, or the port of another listener",
            ),
            Self::TooLarge => write!(
                f,
                "the head of the request has more than {HEAD_MAX} bytes or 64 headers; send fewer cookies and headers"
            ),
            Self::Path { path } => {
                write!(f, "nothing is at this path; the WebSocket is at {path}")
            }
            Self::Method => f.write_str("the method must be GET"),
            Self::NoUpgrade => f.write_str(
                "only WebSocket is spoken here; ask for it with Upgrade: websocket and Connection: Upgrade (a proxy between must pass both on)",
            ),
            Self::Version => f.write_str("Sec-WebSocket-Version must be 13"),
            Self::Header(name) => {
                write!(f, "the header {name} must be there once and be well-formed")
            }
            Self::Origin => f.write_str(
                "pages of this Origin may not connect; add it to origins of the listener in gateway.toml",
            ),
            Self::Subprotocol { subprotocol } => {
                write!(f, "Sec-WebSocket-Protocol must offer {subprotocol}")
            }
            Self::Early => f.write_str("the client sent more before its request was answered"),
        }
    }
}

impl std::error::Error for UpgradeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            _ => None,
        }
    }
}

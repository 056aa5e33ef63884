//! `[listeners.NAME.quic]`: what QUIC has and TCP has not.

use std::time::Duration;

use crate::section::Section;
use crate::tls::Tls;

/// The QUIC side of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quic {
    /// Certificates and clients.
    pub tls: Tls,
    /// Time without a packet after which a connection is given up; `None` leaves it to the client.
    pub idle_timeout: Option<Duration>,
    /// How fast is sent over a path.
    pub congestion: Congestion,
    /// Bytes that a client may send ahead of what has been read, on each stream.
    pub receive_window: u32,
    /// Bytes that are on their way to a client, at most.
    pub send_window: u32,
    /// Streams that a client may have open, that which is the connection included; 0 and 1 are one.
    pub max_streams: u32,
    /// Handshakes under way from which on clients have to show that their address is theirs.
    pub retry_from: u32,
    /// Handshakes under way, at most.
    pub max_handshakes: u32,
}

/// A congestion controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// CUBIC.
    Cubic,
    /// NewReno.
    NewReno,
    /// BBR.
    Bbr,
}

const CONGESTIONS: [(&str, Congestion); 3] =
    [("cubic", Congestion::Cubic), ("new-reno", Congestion::NewReno), ("bbr", Congestion::Bbr)];

/// Longer than one and a half times the longest usual Keep Alive (20 minutes): MQTT notices first who is gone.
const DEFAULT_IDLE: Duration = Duration::from_secs(1800);

/// On a link with 100 ms it allows 2.6 MB/s, more than such a link has; ten thousand connections that all fill it would
/// take more memory than there is, but do not.
const DEFAULT_WINDOW: u64 = 256 << 10;

/// What EMQX grants, nearly. Each stream can hold a window of bytes, and a packet that has not come whole.
const DEFAULT_STREAMS: u32 = 8;

/// A crowd after a power cut is let in without a further round trip; a flood is not.
const DEFAULT_RETRY: u32 = 64;
const DEFAULT_HANDSHAKES: u32 = 1024;

/// Reads the table beside the TLS settings of the listener.
pub(crate) fn read(section: &Section<'_>, tls: Option<Tls>) -> Option<Quic> {
    let table = section.part("quic");
    let window = |key| {
        let bytes = table.size(key, DEFAULT_WINDOW, 16 << 10..=16 << 20);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
    let idle = table.duration(
        "idle-timeout",
        DEFAULT_IDLE,
        Duration::ZERO..=Duration::from_secs(24 * 3600),
    );
    let congestion = table.choice("congestion", Congestion::Cubic, &CONGESTIONS);
    let (receive_window, send_window) = (window("receive-window"), window("send-window"));
    let max_streams = table.number("max-streams", DEFAULT_STREAMS, 0..=100);
    let retry_from = table.number("retry-from", DEFAULT_RETRY, 0..=1_000_000);
    let max_handshakes = table.number("max-handshakes", DEFAULT_HANDSHAKES, 1..=1_000_000);
    table.finish();
    Some(Quic {
        tls: tls?,
        idle_timeout: (idle > Duration::ZERO).then_some(idle),
        congestion,
        receive_window,
        send_window,
        max_streams,
        retry_from,
        max_handshakes,
    })
}

//! What a QUIC listener is told.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::settings::TlsSettings;

/// The QUIC side of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuicSettings {
    /// Certificates and clients. TLS 1.3 is the only version that QUIC has.
    pub tls: TlsSettings,
    /// Time without a packet after which a connection is given up; the client may ask for less (RFC 9000, 10.1). `None`
    /// leaves it to the client.
    pub idle_timeout: Option<Duration>,
    /// How fast is sent over a path.
    pub congestion: Congestion,
    /// Bytes that a client may send ahead of what has been read, on each stream; until somebody asks for the streams beside the
    /// first, on all together.
    pub receive_window: u32,
    /// Bytes that are sent to a client and not acknowledged, at most.
    pub send_window: u32,
    /// Bidirectional streams that a client may have open, that which is the connection included; it may have one
    /// unidirectional stream less. 0 is as 1.
    pub streams_max: u32,
    /// Handshakes under way from which on a client has to show that it gets packets at its address, by a
    /// Retry (RFC 9000, 8.1.2), before anything is kept for it.
    pub retry_from: usize,
    /// Handshakes under way, at most. More are refused.
    pub handshakes_max: usize,
}

/// A congestion controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// NewReno (RFC 9002, 7).
    NewReno,
    /// BBR, which its authors call an experiment.
    Bbr,
}

impl QuicSettings {
    /// Bytes that a client may send ahead on all streams together, so that none has to wait for another; 0 where there is
    /// one stream only.
    pub(super) fn window_of_all(&self) -> u32 {
        match self.streams_max {
            0 | 1 => 0,
            streams => self.receive_window.saturating_mul(streams.saturating_mul(2) - 1),
        }
    }

    pub(super) fn transport(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(self.streams_max.max(1)))
            .max_concurrent_uni_streams(VarInt::from_u32(self.streams_max.saturating_sub(1)))
            .max_idle_timeout(self.idle_timeout.and_then(|time| IdleTimeout::try_from(time).ok()))
            .stream_receive_window(VarInt::from_u32(self.receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(self.send_window.into())
            // Nothing is sent in datagrams, and without a buffer they are not announced.
            .datagram_receive_buffer_size(None);
        match self.congestion {
            Congestion::Cubic => {
                transport.congestion_controller_factory(Arc::new(CubicConfig::default()))
            }
            Congestion::NewReno => {
                transport.congestion_controller_factory(Arc::new(NewRenoConfig::default()))
            }
            Congestion::Bbr => {
                transport.congestion_controller_factory(Arc::new(BbrConfig::default()))
            }
        };
        transport
    }
}

//! QUIC (RFC 9000), as a server: from settings to an endpoint, from a connection to its first stream. As a client it is in `dial`.
//!
//! A connection is used as TCP with TLS is: its client opens one bidirectional stream, and that is the byte stream. What
//! QUIC adds beneath is its own: a connection survives another address of its client, and lost packets of one do not hold up others.
//! Whoever wants to may have the streams that a client opens beside the first as well.

mod endpoint;
mod settings;
mod side;
mod stream;

pub(crate) use endpoint::{Endpoint, Knock};
pub use settings::{Congestion, QuicSettings};
pub use side::{SideStream, SideStreams};
pub use stream::QuicStream;

//! The state machine of one MQTT conversation, as values: no socket, clock, disk or
//! random number inside. The owner passes in packets and the time, and puts on the wire
//! what comes out.
//!
//! - [`Outbound`]: the sending side, from queueing to confirmation, with resending.
//! - [`Inbound`]: the receiving side, with acknowledgements that wait for a promise.
//! - [`KeepAlive`]: when a silent client is gone.
//! - [`Lane`]: which of several streams something goes on.
//! - [`Bucket`]: how much may happen in a time.
//! - [`Message`]: an application message that outlives its packet.
//! - [`Timestamp`]: the time, always an argument.

mod bucket;
mod inbound;
mod keep_alive;
mod lane;
mod message;
mod outbound;
mod time;

pub use bucket::Bucket;
pub use inbound::{AckKind, Acknowledgement, Inbound, Ticket};
pub use keep_alive::KeepAlive;
pub use lane::Lane;
pub use message::Message;
pub use outbound::{Class, Delivery, Load, Outbound, Rest, Returning, Settled, Sum, Transmission};
pub use time::Timestamp;

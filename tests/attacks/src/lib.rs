//! Attacks on a gateway on loopback, each bounded in rate, memory and time, and a well-behaved client that measures meanwhile what
//! it notices of them.
//!
//! | to | read |
//! |---|---|
//! | know what there is | [`Attack`] |
//! | make one | [`Field`]: where the gateway is, and until when |
//! | know what came of it | [`Tally`] |
//! | be the client that means well | [`Witness`] |
//! | start the gateway that is attacked | [`Ground`] |
//!
//! Attackers come from 127.9.0.0/16, so that what a gateway does to their addresses does not meet the client that means well.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "an attack that cannot be set up has failed, and says so"
)]

mod attack;
mod crowd;
mod drips;
mod field;
mod garbage;
mod ground;
mod initials;
mod knocks;
mod messages;
mod pace;
mod packets;
mod peer;
mod sessions;
mod storm;
mod strangers;
mod tally;
mod topics;
mod witness;

pub use attack::Attack;
pub use field::{Doors, Field};
pub use ground::{Ground, MALLORY, PASSWORD, WITNESS};
pub use tally::Tally;
pub use witness::{Seen, Witness};

//! Who may knock at the gateway and how often, who is kept waiting, and who is banned: one value, [`Warden`], that is
//! told what happens and when, and answers what is to be done.
//!
//! It counts by where a connection comes from, at two widths (an address and the network around it), and by the names
//! that a CONNECT shows, each within that network only: what a stranger does elsewhere must not keep a rightful client
//! out. All of its tables are bounded, and what is forgotten for lack of room is still counted at the next width.
//!
//! No socket, clock, disk or random number is inside, and addresses are values.

mod ban;
mod bans;
mod bucket;

mod limits;
mod names;
mod network;
mod now;
mod origins;
mod pass;
mod refusal;
mod stats;
mod table;
mod warden;
mod window;

pub use ban::{Ban, BanError, By, Guest, Whom};
pub use limits::Limits;
pub use network::{Network, NetworkError};
pub use now::Now;
pub use pass::Pass;
pub use refusal::Refusal;
pub use stats::Stats;
pub use warden::{Glance, Newcomer, Warden};

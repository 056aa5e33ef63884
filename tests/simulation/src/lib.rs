//! The broker in a simulated world.
//!
//! | to | read |
//! |---|---|
//! | drive the broker step by step | [`World`] |
//! | know what would be on disk | [`Disk`] |
//! | let random things happen, from a seed | [`Simulation`] |
//! | know what MQTT demands | `reference` |
//!
//! Whoever finds a broken promise panics; [`replay`] says how to see it again.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a broken promise ends the run, and says so"
)]

mod device;
mod disk;
mod history;
mod plan;
mod random;
mod reference;
mod seed;
mod simulation;
mod world;

pub use disk::Disk;
pub use history::{Moment, What};
pub use seed::run;
pub use simulation::{Outcome, Simulation};
pub use world::{Door, Login, World};

//! What the gateway tells its operator: the log, and counters.
//!
//! - [`init`] sends what the crates log through `tracing` to standard error;
//! - [`Sampler`] keeps one client from filling the log;
//! - [`Counters`] count what happens;
//! - [`Lines`] are written by a thread of their own, to a [`RotatingFile`] for one;
//! - [`Redacted`] keeps secrets out of both.

mod counters;
mod lines;
mod log;
mod redacted;
mod rotating;
mod sampler;
mod writer;

pub use counters::{Counter, Counters};
pub use lines::Lines;
pub use log::{DROPPED, Format, Guard, InitError, Level, Settings, init};
pub use redacted::Redacted;
pub use rotating::RotatingFile;
pub use sampler::{Sample, Sampler, SamplerSettings};

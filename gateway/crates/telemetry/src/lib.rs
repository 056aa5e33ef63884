//! What the gateway tells its operator: the log, and counters.
//!
//! - [`init`] sends what the crates log through `tracing` to standard error;
//! - [`Sampler`] keeps one client from filling the log;
//! - [`Counters`] count what happens;
//! - [`Redacted`] keeps secrets out of both.

mod counters;
mod log;
mod redacted;
mod sampler;
mod writer;

pub use counters::{Counter, Counters};
pub use log::{DROPPED, Format, Guard, InitError, Level, Settings, init};
pub use redacted::Redacted;
pub use sampler::{Sample, Sampler, SamplerSettings};

//! Bridges of real gateways, to Mosquitto and to each other, while links and processes come and go.
//!
//! `PORTCULLIS_BRIDGE_CYCLES=50 cargo test --test bridge -- --nocapture` is the long run of those that kill.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

mod downstream;
mod killed;
mod mosquitto;
mod outages;
mod refusals;
mod ring;
mod upstream;

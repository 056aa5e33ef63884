//! Clients that others have written: Mosquitto's programs, and the cases of `cases/` with paho (Python),
//! mqtt.js and the crate `mqtt5`; and a page in Chromium.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and says what it has played"
)]

mod browser;
mod libraries;
mod mosquitto;
mod mosquitto_options;
mod play;
mod script;

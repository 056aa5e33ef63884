//! Bridges of real gateways, to brokers of others and to each other, while links and processes come and go.
//!
//! `PORTCULLIS_BRIDGE_CYCLES=50 cargo test --test bridge -- --nocapture` is the long run of those that kill.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

mod batches;
mod clouds;
mod day;
mod downstream;
mod exchange;
mod extensions;
mod fleet;
mod flow;
mod killed;
mod links;
mod mosquitto;
mod nats;
mod old;
mod operator;
mod outages;
mod probe;
mod rabbitmq;
mod refusals;
mod reload;
mod restarts;
mod ring;
mod scripted;
mod upstream;
mod windows;

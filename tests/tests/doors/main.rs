//! The ways into a real gateway besides TCP and TLS: each lets a client in, tells extensions and operator how it
//! came, and ends what strangers try with a clear answer.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod ipv6;
mod proxy;
mod systemd;
mod told;
mod unix;
mod websocket;

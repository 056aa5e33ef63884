//! The real gateway on a disk that is full, slow, broken, read-only or damaged. Each test prints what was seen
//! (`-- --nocapture`).

// The shims go before a Linux C library.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod damaged;
mod full;
mod read_only;
mod refused;
mod scene;
mod slow;

//! The store as its users see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by failing"
)]

mod commit;
mod committer;
mod damage;
#[cfg(target_os = "linux")]
mod disk_full;
mod harness;
mod key_values;
mod kill;
mod survey;
mod upgrade;

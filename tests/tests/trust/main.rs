//! Signed components, kept code, and machines with few addresses.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and says what it saw"
)]

mod addresses;
mod code;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;
mod layout;
mod signatures;

//! Tokens and key sets: what the RFCs sign verifies, and what attackers would sign does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

mod claims;
mod confusion;
mod form;
mod key_sets;
mod keys;
mod mutations;
mod openssl;
mod signing;
mod time;
mod vectors;

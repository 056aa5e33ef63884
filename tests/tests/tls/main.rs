//! The life of certificates under a real gateway: renewal, revocation, expiry, without a connection lost.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod authority;
mod bench;
mod expiry;
mod load;
mod openssl;
mod renewal;

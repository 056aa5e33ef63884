//! The gateway on a box that nobody looks after: what its service manager is told, a clock that is not set, a root that is
//! read-only, and code that was compiled elsewhere.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod brought;
mod clock;
mod runtime_only;
mod service;
mod unit;

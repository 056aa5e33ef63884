//! Kills both ends of a bridge and cuts the link between them while devices publish, and counts what did not arrive.
//!
//! | to | read |
//! |---|---|
//! | torture a bridge | [`Torture`], and the [`Report`] of it |
//! | see what is done to it | `plan`, carried out by `torture` |
//! | see what bridges: a gateway, or Mosquitto beside it | `broker`, `mosquitto` |
//! | see what devices do, and who reads upstream | `device`, `reader` |
//! | see what counts as lost, repeated, out of order | `judge` |
//!
//! Devices publish to the **edge**, which has a bridge to **upstream** through a proxy. Upstream is a gateway whatever the edge is.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod broker;
mod device;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;
mod judge;
mod mosquitto;
mod plan;
mod reader;
mod report;
mod torture;

pub use report::Report;
pub use torture::{Bridge, Torture};

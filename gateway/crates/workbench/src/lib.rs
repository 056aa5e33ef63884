//! What the author of an extension works with: `portcullis extension` is this crate on the command line.
//!
//! | to | call |
//! |---|---|
//! | begin | [`new()`] |
//! | make a component of a folder | [`build()`] |
//! | see what a component imports and whether it starts | [`check()`] |
//! | run fixtures against a component | [`test()`], and [`run`] from `cargo test` |
//! | measure its hooks | [`bench()`] |
//! | build and test whenever a file changes | [`watch()`] |
//!
//! A fixture is a file of cases ([`config::fixture`]). Each case meets the extension as a client meets the gateway: CONNECT,
//! the permission set checked natively, and the extension asked where the set says so. The clock stands still and the
//! random numbers come from a seed, servers answer what a script says, and what the extension keeps and orders stays in the
//! case; so a case comes out the same each time.

mod arrival;
mod bench;
mod build;
mod check;
mod compare;
mod diff;
mod failure;
mod given;
mod keys;
mod lines;
mod messages;
mod nature;
mod new;
mod pattern;
mod questions;
mod report;
mod scripted;
mod suite;
mod template;
mod visit;
mod watch;
mod world;

pub use bench::{Measured, bench};
pub use build::build;
pub use check::{Checked, check};
pub use config::{Language, PROJECT_FILE};
pub use failure::Failure;
pub use new::new;
pub use report::Summary;
pub use suite::{Selection, run, run_component, test};
pub use watch::watch;

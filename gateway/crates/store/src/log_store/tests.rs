//! The store on simulated files, with an engine in memory: power cuts, failures, little space.

mod damage;
mod full;
mod machine;
mod model;
mod space;
mod survey;

/// Values to store: those that the tests from outside use.
#[allow(dead_code, reason = "those tests use all of it")]
#[path = "../../tests/store/harness.rs"]
mod harness;

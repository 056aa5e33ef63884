//! Rules in a text: who may publish and subscribe where. What they look like is told in `extensions/README.md`.

mod contract;
mod filter;
mod limit;
mod line;
mod rules;

pub use filter::{BadFilter, check as check_filter};
pub use rules::{Faults, Rules};

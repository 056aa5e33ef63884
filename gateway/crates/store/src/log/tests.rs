//! The log as the store sees it.

mod append;
mod damage;
mod failure;
mod harness;
mod model;
mod real;

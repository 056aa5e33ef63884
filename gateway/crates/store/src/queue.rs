//! Queues as pages of small entries that say where their messages are.
//!
//! A page holds the entries whose sequences differ in their lowest bits only, so that its
//! place is computed and nothing is ever split or merged. What changed since the last
//! checkpoint is in memory, besides a few other pages; the rest is in the engine.

mod entry;
mod packed;
mod page;
mod pages;

pub(crate) use entry::{Entry, SPARE, Trail};
pub(crate) use page::{QueuePage, SLOTS, extend, place, sequence};
pub(crate) use pages::{PageId, Pages};

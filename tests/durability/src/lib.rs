//! Kills the gateway, cuts its power and takes its disk away under load, and counts what was promised and is gone.
//!
//! | to | read |
//! |---|---|
//! | kill a real gateway many times | [`Kills`] |
//! | record a run and cut the power anywhere in it | [`Recording`] |
//! | have a disk that is full, slow, read-only or broken | [`BadDisk`], `shim/fault.c` |
//! | see what clients do | `cast`, and `publisher`, `subscriber`, `will` below it |
//! | see what counts as a broken promise | `judge` after kills, `verdict` after power cuts |
//! | see how a store is read after a power cut | `stored`, and `observed` through a gateway |
//! | see how writes are recorded | `shim/trace.c`, `record`, `disk`, `remains` |
//!
//! All clients share one clock (`clock`): each thing that one of them sends or hears has a number. So the
//! promises that held at any moment can be told from those that came later, and in a recording the same
//! numbers stand between the gateway's writes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod bad_disk;
mod cast;
mod clock;
mod cuts;
mod disk;
mod fault;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;
mod judge;
mod key;
mod kill;
mod observed;
mod power_cut;
mod publisher;
mod random;
mod record;
mod remains;
mod retained;
mod session;
mod stage;
mod stored;
mod subscriber;
mod verdict;
mod will;

pub use bad_disk::{BadDisk, EIO, Refused, Rule};
pub use fault::{Fault, Faults, Kind};
pub use kill::{Kills, Report as KillReport};
pub use power_cut::{How, Recording, Report as CutReport};
pub use stage::Stage;

//! What must hold whatever clients, disk and time do. The fuzz target and the replay of the committed
//! corpus call the same function; an input for which it returns has found nothing.

use std::collections::BTreeSet;

mod client;
mod interceptors;
mod packets;
mod play;
mod settings;
#[path = "../../../session/tests/checks/source.rs"]
#[allow(dead_code, reason = "a session asks it for more")]
mod source;

use source::Source;

/// Names of what an input brought about, so that a corpus can be held to reach everything.
pub(crate) type Reached = BTreeSet<&'static str>;

/// Every name that [`broker`] can answer with.
pub(crate) const ALL: &[&[&str]] = &[play::ALL, client::ALL];

/// Bytes for the settings, then for what happens, until there are no more; then everybody drains.
pub(crate) fn broker(input: &[u8]) -> Reached {
    let mut source = Source::new(input);
    let mut play = play::Play::new(settings::settings(&mut source), source.flag());
    while !source.is_empty() {
        play.step(&mut source);
    }
    play.come_to_rest();
    play.wipe();
    play.reached
}

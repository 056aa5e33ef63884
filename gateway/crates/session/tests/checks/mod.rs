//! What must hold whatever a conversation does. The fuzz target and the replay of the committed corpus
//! call the same function; an input for which it returns has found nothing.

use std::collections::BTreeSet;

mod inbound;
mod outbound;
mod source;
mod watch;

use source::Source;

/// Names of what an input brought about, so that a corpus can be held to reach everything.
pub(crate) type Reached = BTreeSet<&'static str>;

/// Every name that [`session`] can answer with.
pub(crate) const ALL: &[&[&str]] = &[outbound::ALL, inbound::ALL, watch::ALL];

/// One byte for the part of a conversation to try, then what is done with it.
pub(crate) fn session(input: &[u8]) -> Reached {
    let mut source = Source::new(input);
    let mut reached = Reached::new();
    match source.below(8) {
        0..5 => outbound::check(&mut source, &mut reached),
        5..7 => inbound::check(&mut source, &mut reached),
        _ => watch::check(&mut source, &mut reached),
    }
    reached
}

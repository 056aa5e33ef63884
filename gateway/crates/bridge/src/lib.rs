//! A bridge as values: no socket, clock, disk or random number inside.
//!
//! - [`Relay`]: one connection to an upstream broker, and the local conversations that belong to it, one for each
//!   [`Priority`]. Bytes of all go in, bytes for all come out.
//! - [`Rule`]: which topics pass, and under which names; [`loops`] finds rules that feed each other.
//! - [`Backoff`]: how long to wait before the next connection.
//! - [`Timetable`]: at which times of the week there may be one, and which messages go over it then.
//!
//! A relay keeps nothing that must outlive it: what is on its way is known to the sessions at both ends, which send it again
//! over the next relay. `gateway/decisions/0046-a-bridge-without-state.md` has the reasons.

mod aliases;
mod backoff;
mod batches;
mod bounds;
mod counts;
mod end;
mod envelope;
mod event;
mod heartbeat;
mod held;
mod lane;
mod letters;
mod pace;
mod packing;
mod passing;
mod priority;
mod probe;
mod relay;
mod review;
mod rule;
mod settings;
mod side;
mod template;
mod timetable;
mod trail;
mod windows;

pub use backoff::Backoff;
pub use bounds::Bounds;
pub use counts::Counts;
pub use end::End;
pub use envelope::{
    BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, BATCH_MESSAGES_MAX, ENCODING_PROPERTY, EnvelopeFault,
    expand, unpack,
};
pub use event::Event;
pub use pace::Pace;
pub use packing::{Batch, Packing};
pub use passing::{Passing, Ruling};
pub use priority::{Each, Priority};
pub use probe::{Health, ProbeTerms};
pub use relay::{LocalTerms, Relay};
pub use rule::{Rule, RuleFault, loops};
pub use settings::{Authentication, LocalLimits, Settings};
pub use template::{Template, TemplateFault};
pub use timetable::{Opening, Timetable};
pub use trail::{GATEWAY_PROPERTY, TRAIL_PROPERTY};
pub use windows::{Outlook, Span, Windows};

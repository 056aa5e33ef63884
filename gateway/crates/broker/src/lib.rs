//! All MQTT sessions and what they share, as one value: inputs and the time go in,
//! effects come out.
//!
//! Start reading at [`Broker`]. A packet of a connected client comes in through
//! [`Broker::receive`]; where its permission set says "ask", the broker answers with a
//! [`Question`] and does nothing until it gets the same packet with the [`Answer`]. What
//! must survive a power cut goes out as [`durable::Op`]s, and acknowledgements that depend
//! on them wait inside until [`Broker::committed`] is called.
//!
//! The crate knows no socket, clock, disk, thread or extension; a run can be replayed from
//! its inputs.

mod accept;
mod acknowledge;
mod aliases;
mod arrangement;
mod availability;
mod broker;
mod census;
mod client;
mod connect;
mod control;
mod deliver;
mod disconnect;
pub mod durable;
mod effect;
mod estate;
mod frames;
mod groups;
mod interception;
mod journal;
mod lanes;
mod limit;
mod memory;
mod outbox;
mod outside;
mod pace;
mod publish;
mod question;
mod queue;
mod quota;
mod read_ahead;
mod reauthenticate;
mod refusal;
mod restore;
mod retained;
mod review;
mod room;
mod routes;
mod settings;
mod shared;
mod stats;
mod streams;
mod subscribe;
mod subscriptions;
mod system;
mod timers;
mod treatment;
mod will;

pub use arrangement::Arrangement;
pub use broker::{Broker, Conversation, Flow};
pub use census::{Ground, Rights, SessionPage, SessionView, SubscriptionView, ground};
pub use connect::{Admission, Admitted};
pub use effect::{Action, Closing, DropCause, Effect, Event, LinkId, Reader};
pub use interception::{Draft, Interception, Interests};
pub use limit::Limit;
pub use memory::Memory;
pub use outbox::{Outbox, SHARED_PAYLOAD_MIN};
pub use question::{
    Answer, Asked, Authentication, Grounds, Question, Renewal, Requested, Ruling, Verdict,
};
pub use refusal::{answer_to_broken_connect, refusal};
pub use review::{DELIVERIES_MAX, Delivery, Reviewed};
pub use session::{Lane, Message, Timestamp};
pub use settings::Settings;
pub use stats::Stats;
pub use streams::{Ending, Taken};
pub use treatment::{Durability, Overflow, TopicRule};

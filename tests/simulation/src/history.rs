use std::sync::Arc;

use broker::{Answer, Delivery, Event, LinkId, Reviewed, Timestamp};

/// What happened at the broker's border, in order.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// One input that the broker handled, or one output that left it.
#[derive(Clone, Debug)]
pub enum What {
    /// A CONNECT was accepted.
    Accepted {
        /// The new connection.
        link: LinkId,
        /// Its client identifier.
        client_id: Arc<str>,
        /// The CONNECT, as on the wire.
        connect: Vec<u8>,
    },
    /// A packet was handled: the first time, or with the answer of a guest.
    Handled {
        /// Whose.
        link: LinkId,
        /// The packet, as on the wire.
        packet: Vec<u8>,
        /// What a guest said about it.
        answer: Option<Answer>,
    },
    /// What guests said before does not count any more for this connection.
    Forgotten(LinkId),
    /// The broker looked at the clock.
    Due,
    /// The broker was given what it had asked the disk for.
    Read,
    /// The broker told the operator something.
    Told(Event),
    /// Bytes left the broker.
    Emitted {
        /// For whom.
        link: LinkId,
        /// Whole packets.
        bytes: Vec<u8>,
    },
    /// Interceptors are to see these deliveries before they leave.
    Shown {
        /// For whom they are.
        link: LinkId,
        /// The deliveries.
        deliveries: Vec<Delivery>,
    },
    /// Interceptors have seen them.
    Reviewed {
        /// For whom they are.
        link: LinkId,
        /// What was made of them.
        made: Vec<Reviewed>,
    },
    /// The broker let go of a connection.
    Closed(LinkId),
    /// The shell said that a connection is gone.
    Lost(LinkId),
}

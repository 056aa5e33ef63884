/// One of the ways on which a client and the server talk to each other: the connection itself, or a stream that the client
/// has opened beside it. Whoever numbers the streams of a connection uses no number twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

impl Lane {
    /// The connection itself: the only way where a transport has no streams.
    pub const CONTROL: Self = Self(0);
}

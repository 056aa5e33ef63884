use core::net::IpAddr;

/// A connection that the [`Warden`](crate::Warden) lets try. It is counted until it is handed back by
/// [`Warden::leave`](crate::Warden::leave).
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "a connection that is not handed back is counted for ever"]
pub struct Pass {
    /// Where it comes from; `None` for this machine.
    pub(crate) address: Option<IpAddr>,
    /// Nobody counts what it does.
    pub(crate) exempt: bool,
    /// Whether its address, and the network around it, count it.
    pub(crate) counted: [bool; 2],
    /// It is no stranger any more.
    pub(crate) is_in: bool,
    /// The identity that counts it, by its hash.
    pub(crate) identity: Option<u64>,
}

impl Pass {
    /// Where it comes from, if that is counted.
    pub(crate) fn origin(&self) -> Option<IpAddr> {
        self.address.filter(|_| !self.exempt)
    }
}

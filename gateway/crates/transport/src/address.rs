//! Where the ends of a connection are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where one end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// In a network: address and port.
    Network(SocketAddr),
    /// On this machine, by a Unix socket; who it is if it is a peer.
    Unix(Option<Process>),
}

/// Who is at the other end of a Unix socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// The user that it runs as.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// The process that connected, where the system says so.
    pub pid: Option<i32>,
}

impl Address {
    /// The address without the port; none for a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Who it is, apart from which of its connections: the address without the port, or the user.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Network(address) => address.ip().to_string(),
            Self::Unix(None) => "unix".to_owned(),
            Self::Unix(Some(Process { uid, .. })) => format!("unix uid={uid}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Unix(None) => f.write_str("unix"),
            Self::Unix(Some(Process { uid, gid, pid })) => {
                write!(f, "unix uid={uid} gid={gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid={pid}"))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Network(address)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        *self == Self::Network(*other)
    }
}

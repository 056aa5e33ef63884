//! The PROXY protocol, version 2: a proxy in front says whose connection it passes on.

mod announced;
mod error;
mod header;

pub(crate) use announced::announced;
pub use error::ProxyError;
pub use header::{ProxyHeader, ProxyRest};

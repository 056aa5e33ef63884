//! Requests to servers elsewhere, over HTTP.
//!
//! A [`Fetcher`] gets one document from one address, within a time and a size, from a server that the operator's
//! authorities vouch for. It follows no redirect, uses no proxy and keeps no connection.
//!
//! Calls block. Nothing here knows what a document means or when it is wanted; no type of the HTTP or TLS library leaves
//! this crate.

mod authorities;
mod error;
mod fetcher;

pub use authorities::SYSTEM_BUNDLES;
pub use error::FetchError;
pub use fetcher::{Fetcher, Settings};

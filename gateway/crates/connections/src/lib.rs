//! Requests to servers elsewhere, over HTTP.
//!
//! A [`Fetcher`] gets one document from one address, within a time and a size, from a server that the operator's
//! authorities vouch for. It follows no redirect, uses no proxy and keeps no connection. An [`HttpConnection`] sends many
//! requests to one server, below one address, so many at a time, over connections that it keeps.
//!
//! Calls block. Nothing here knows what a document means or when it is wanted; no type of the HTTP or TLS library leaves
//! this crate.

mod authorities;
mod error;
mod fetcher;
mod http;

pub use authorities::SYSTEM_BUNDLES;
pub use error::FetchError;
pub use fetcher::{Fetcher, Settings};
pub use http::{
    HttpConnection, HttpFailure, HttpRequest, HttpResponse, HttpSettings, MAX_BODY_BYTES,
    MAX_HEADER_BYTES, MAX_HEADERS, is_header_name, is_header_value, is_reserved_header,
};

//! The admin socket: requests of the operator to a program that runs, as HTTP/1.1 with JSON over a Unix socket.
//!
//! A [`Socket`] is a place in the file system that one living program holds, with a mode that says who may use it.
//! [`serve`] answers on it with a [`Handler`], within [`Limits`]; a [`Client`] asks.
//!
//! Whoever may write to the socket may do everything that the handler does: there is no password, and the mode of the
//! file is the permission. Nothing here knows what is asked for; no type of the HTTP library leaves this crate.

mod answer;
mod client;
mod error;
mod limits;
mod request;
mod server;
mod socket;

pub use answer::{Answer, Body};
pub use client::{Client, Reply, segment};
pub use error::{ClientError, SocketError};
pub use limits::Limits;
pub use request::{Method, Request};
pub use server::{Handler, serve};
pub use socket::{PATH_BYTES_MAX, Socket};

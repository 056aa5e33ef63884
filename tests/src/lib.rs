//! Starts the real gateway as a process of its own and talks to it like a client.
//!
//! | to | read |
//! |---|---|
//! | have certificates, users and a configuration | [`Site`] |
//! | start, signal, kill and look into a gateway | [`Gateway`] |
//! | speak MQTT packet by packet | [`Client`], and [`Wire`] below it |
//! | keep a stream of numbered messages going through crashes | [`Publisher`], [`Subscriber`] |
//! | ask and order a gateway as its operator | [`Operator`] |
//! | say what time it is | [`Wall`] |
//! | cut, throttle and swallow connections | [`Proxy`] |
//! | have a document on the web | [`Web`] |
//! | speak in a WebSocket, frame by frame | [`WebSocket`] |
//! | leave out what cannot be tested here | [`omit`] |
//! | use other people's clients | [`tools`], [`Driver`] |
//! | bridge to other people's brokers | [`RabbitMq`], [`NatsCluster`]; [`StandIn`] for those in a [`cloud`] |
//!
//! Everything is on loopback and ends only processes that it has started. A test fails by a panic, here too.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed, and says so"
)]

mod censor;
mod client;
pub mod cloud;
mod driver;
mod figures;
mod gateway;
mod log;
mod nats;
mod omission;
mod operator;
mod process;
mod program;
mod proxy;
mod publisher;
mod quic;
mod rabbitmq;
mod received;
mod server;
mod site;
mod stand_in;
mod subscriber;
pub mod tools;
mod wall;
mod web;
mod websocket;
mod wire;

pub use client::{Client, Options};
pub use driver::Driver;
pub use figures::{Dice, Latencies};
pub use gateway::{Counters, Gateway};
pub use log::Log;
pub use nats::{NATS_NODES, NatsCluster};
pub use omission::omit;
pub use operator::Operator;
pub use process::Meter;
pub use program::{Program, program};
pub use proxy::{Fault, Proxy, Way};
pub use publisher::Publisher;
pub use quic::QuicWire;
pub use rabbitmq::RabbitMq;
pub use received::{Message, Received};
pub use site::{DEMO, Site, free_port};
pub use stand_in::StandIn;
pub use subscriber::{Subscriber, collect, number};
pub use wall::Wall;
pub use web::Web;
pub use websocket::{MQTT, Offer, WebSocket};
pub use wire::Wire;

use std::time::Duration;

/// How long anything may take before a test gives up. Machines that test are small and busy, and those that are emulated take
/// some times as long: `PORTCULLIS_PATIENCE` says how many, when the tests are built.
pub const PATIENCE: Duration = Duration::from_secs(30 * times());

const fn times() -> u64 {
    let Some(text) = option_env!("PORTCULLIS_PATIENCE") else { return 1 };
    match u64::from_str_radix(text, 10) {
        Ok(times @ 1..=100) => times,
        _ => panic!("PORTCULLIS_PATIENCE is a number from 1 to 100"),
    }
}

//! The operator asks and orders a gateway that runs, through its admin socket and by its command line.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod clients;
mod counters;
mod explain;
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;
mod socket;
mod versions;

use std::fs;

use guest::{ACCEPT, Fallback, Guest};
use mqtt::ReasonCode;
use portcullis_tests::{Site, free_port};
use serde_json::Value;

/// Denies topics that begin with `x`, with 0x97, and those that begin with `y` for a minute.
const DENY_X: &str = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 120)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x97)))) \
    (if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 121)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x97)) \
    (i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 60000))))";

/// Denies everything.
const DENY: &str =
    "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))";

const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// Lets everybody in, leaves subscriptions to rules, and publishes to `body`.
fn policy(body: &str) -> Vec<u8> {
    guest_of(body).build()
}

fn guest_of(body: &str) -> Guest {
    let subscribe = guest::Rule { actions: 2, ..guest::allow("#") };
    let guest = Guest::authenticator(ACCEPT).granting(&[subscribe], Fallback::Ask);
    guest.authorize_publish(body)
}

/// A site with one more listener, whose chain is the extension `policy`.
fn asked_site() -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    fs::write(site.path("policy.wasm"), policy(DENY_X)).expect("the component is written");
    site.configure(&format!(
        "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"policy.wasm\"\n"
    ));
    (site, port)
}

/// The text of a value.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

//! The link itself: what carries it, who is between, and what upstream is shown.

mod fallback;
mod migration;
mod proxies;
mod quic;
mod signatures;
mod tokens;
mod udp_way;
mod websocket;

use std::collections::BTreeSet;
use std::fs;

use mqtt::QoS;
use portcullis_tests::{Client, DEMO, Gateway, Options, Received, Site};

use crate::downstream::{QUICK, rules};

/// A site whose bridge `up` sends what is below `demo/up` to `upstream`, as its user [`DEMO`], and fetches `demo/down`. `keys` say
/// where upstream is, and more.
pub(crate) fn configure(site: &Site, upstream: &Site, keys: &str) {
    fs::write(site.path("up.password"), &upstream.password).expect("the password is written");
    let ca = upstream.ca();
    let rules = rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    site.configure(&format!(
        "[bridges.up]\nusername = \"{DEMO}\"\npassword-file = \"up.password\"\ntls.ca = {ca:?}\n{QUICK}{keys}\n{rules}"
    ));
}

/// A client with a session that outlives its connection.
pub(crate) fn kept(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).persistent()
}

/// One that is in at `there` and has subscribed to what comes up.
pub(crate) fn reader(there: &Site) -> Client {
    let mut reader = kept(there, "reader").connect();
    assert!(!reader.subscribe("demo/up/#", QoS::ExactlyOnce).is_error());
    reader
}

/// Sends a message of this size in both directions at QoS 1, and sees it arrive.
pub(crate) fn exchange(here: &Gateway<'_>, there: &mut Client, size: usize) {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
    let mut device = here.client("device");
    assert!(!device.subscribe("demo/down/#", QoS::AtLeastOnce).is_error());
    assert!(!there.subscribe("demo/up/#", QoS::AtLeastOnce).is_error());
    let pass = |from: &mut Client, to: &mut Client, topic: &str| {
        from.publish(topic, &payload, QoS::AtLeastOnce, false);
        let message = to.message();
        assert_eq!((&*message.topic, message.payload.len()), (topic, size));
        assert!(message.payload == payload, "a message of {size} bytes has changed");
        assert!(matches!(from.receive(), Received::Ack(..)));
    };
    pass(&mut device, there, "demo/up/x");
    pass(there, &mut device, "demo/down/x");
}

/// The numbers without those that came again.
pub(crate) fn first_times(numbers: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    numbers.iter().copied().filter(|number| seen.insert(*number)).collect()
}

//! Mosquitto's programs over TLS.

use std::process::Output;
use std::time::Instant;

use mqtt::QoS;
use portcullis_tests::tools::{mosquitto_pub, mosquitto_sub};
use portcullis_tests::{Gateway, PATIENCE, Site};
use serde_json::Value;

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

#[test]
fn mosquitto_at_every_qos() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let topic = format!("demo/{version}/{qos}");
            let format = ["-C", "1", "-F", "%q %t %p"];
            let arguments = [&["-V", version, "-q", qos, "-t", &topic], &format[..]].concat();
            let subscriber = mosquitto_sub(&site, &arguments);
            gateway.wait_for("subscriptions", 1);
            let message = ["-V", version, "-q", qos, "-t", &topic, "-m", "hello"];
            expect(&mosquitto_pub(&site, &message), "");
            expect(&subscriber.finish(), &format!("{qos} {topic} hello\n"));
            gone(&gateway);
        }
    }
    gateway.assert_sound();
}

/// MQTT 3.1 is spoken where the operator asks for it, and refused in its own words elsewhere.
#[test]
fn mosquitto_speaks_mqtt_3_1_where_it_is_allowed() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let message = ["-V", "mqttv31", "-q", "2", "-t", "demo/old", "-m", "hello"];
    let refused = mosquitto_pub(&site, &message);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("unacceptable protocol version"), "{said}");
    gateway.assert_sound();
    drop(gateway);

    let text = std::fs::read_to_string(site.config()).expect("the configuration is there");
    let text = text.replace("[listeners.tls]\n", "[listeners.tls]\nmqtt-3-1 = true\n");
    std::fs::write(site.config(), text).expect("the configuration is written");
    let mut gateway = Gateway::start(&site);
    let format = ["-C", "1", "-F", "%q %t %p"];
    let wanted = [&["-V", "mqttv31", "-q", "2", "-t", "demo/old"], &format[..]].concat();
    let subscriber = mosquitto_sub(&site, &wanted);
    gateway.wait_for("subscriptions", 1);
    expect(&mosquitto_pub(&site, &message), "");
    expect(&subscriber.finish(), "2 demo/old hello\n");
    gone(&gateway);
    let long = [&["-i", "abcdefghijklmnopqrstuvwx"], &message[..]].concat();
    let refused = mosquitto_pub(&site, &long);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("identifier rejected"), "{said}");
    gateway.assert_sound();
}

#[test]
fn mosquitto_gets_what_was_retained() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    for version in VERSIONS {
        let publish = |message: &[&str]| {
            let arguments = [&["-V", version, "-q", "1", "-r", "-t", "demo/state"], message];
            expect(&mosquitto_pub(&site, &arguments.concat()), "");
        };
        publish(&["-m", "first"]);
        publish(&["-m", "second"]);
        let wanted = ["-V", version, "-t", "demo/+", "-C", "1", "-F", "%r %t %p"];
        expect(&mosquitto_sub(&site, &wanted).finish(), "1 demo/state second\n");
        publish(&["-n"]);
        assert_eq!(gateway.counters().get("retained"), 0, "an empty message removes it");
    }
    gateway.assert_sound();
}

/// All devices of a site come back at once after a power cut. Each is let in when it is its turn,
/// although together they need many times the deadline of the extension that checks them.
#[test]
fn a_crowd_is_let_in_one_after_the_other() {
    const CROWD: usize = 60;
    let site = Site::new();
    site.configure_with(
        &["hasty", "acl"],
        "[extensions.hasty]\ncomponent = \"extensions/password.wasm\"\n\
         grants = [\"config\", \"credentials\", \"log\"]\nfiles.users = \"users.txt\"\n\
         deadline.authenticate = \"250ms\"\n",
    );
    let mut gateway = Gateway::start(&site);
    let crowd: Vec<_> = (0..CROWD)
        .map(|n| {
            let options = gateway.options(&format!("device{n}")).plain();
            std::thread::spawn(move || options.connect())
        })
        .collect();
    let inside: Vec<_> = crowd.into_iter().map(|device| device.join()).collect();
    assert!(inside.iter().all(Result::is_ok), "everybody is let in");
    gateway.assert_sound();
}

#[test]
fn mosquitto_leaves_a_will_when_it_is_killed() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut witness = gateway.client("witness");
    for version in VERSIONS {
        let mark = gateway.log.mark();
        witness.subscribe("demo/will", QoS::AtLeastOnce);
        let will = ["--will-topic", "demo/will", "--will-payload", version, "--will-qos", "1"];
        let arguments = [&["-V", version, "-t", "demo/other"], &will[..]].concat();
        let mortal = mosquitto_sub(&site, &arguments);
        gateway.wait_for("subscriptions", 2);
        mortal.kill();
        let message = witness.message();
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("demo/will", version.as_bytes())
        );
        let lost = |event: &Value| event["message"] == "client disconnected";
        let line = gateway.log.wait(mark, PATIENCE, lost).expect("the loss is reported");
        println!("clients: {line}");
    }
    gateway.assert_sound();
}

pub(crate) fn expect(out: &Output, printed: &str) {
    let (said, complaint) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{complaint}");
    assert_eq!(said, printed, "{complaint}");
}

/// The session of a client that has left may outlive it by an instant.
pub(crate) fn gone(gateway: &Gateway<'_>) {
    let until = Instant::now() + PATIENCE;
    while gateway.counters().get("subscriptions") > 0 {
        assert!(Instant::now() < until, "a subscription stays: {:?}", gateway.counters());
    }
}

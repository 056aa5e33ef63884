//! Each profile of a cloud, at a stand-in that takes what the cloud's documents say and ends the connection for anything else: what is
//! within passes both ways, what is beyond becomes a dead letter and never costs the connection. The same bridge without its
//! profile loses it, which shows that the stand-in looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode};
use portcullis_tests::cloud::{self, Cloud};
use portcullis_tests::{Client, Gateway, PATIENCE, Publisher, Site, StandIn, collect};

use crate::downstream::{
    QUICK, client_certificate, counters, rules, wait_for, wait_until_connected, wait_until_empty,
};
use crate::exchange::{arrival, publish, publish_as};
use crate::upstream::Mosquitto;

const QUIET: Duration = Duration::from_secs(3);

/// What is tried with a cloud. Topics are those here; `demo/up/...` goes out.
struct Trial {
    profile: &'static str,
    cloud: &'static Cloud,
    /// Further lines of the bridge.
    more: &'static str,
    out: &'static str,
    inward: Vec<String>,
    /// What `demo/up/a` is called there.
    there: &'static str,
    /// A topic there, and what it is called here.
    back: (&'static str, &'static str),
    /// Messages that it does not take.
    beyond: Vec<(String, usize)>,
    /// Messages that come at once: as many as it takes in three seconds, and as the broker behind it lets wait.
    burst: u64,
}

/// `out` and `in` of a cloud with topics of the site's own.
fn usual(profile: &'static str, cloud: &'static Cloud) -> Trial {
    Trial {
        profile,
        cloud,
        more: "",
        out: "filter = \"demo/up/#\"\nstrip = \"demo\"\nprefix = \"site\"",
        inward: vec!["filter = \"site/down/#\"\nstrip = \"site\"\nprefix = \"demo\"".to_owned()],
        there: "site/up/a",
        back: ("site/down/b", "demo/down/b"),
        beyond: Vec::new(),
        burst: 0,
    }
}

/// So many more rules of `in`.
fn more_rules(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|number| format!("filter = \"site/more-{number}\"\nprefix = \"demo\""))
}

impl Trial {
    /// A site with the bridge, with or without its profile.
    fn configure(&self, site: &Site, stand_in: &StandIn, names: bool) {
        let certificate = client_certificate(site, "bridge");
        let (port, ca) = (stand_in.tls, site.ca());
        let inward: Vec<&str> = self.inward.iter().map(String::as_str).collect();
        let rules = rules("cloud", &[self.out], &inward);
        let profile = if names { format!("profile = {:?}\n", self.profile) } else { String::new() };
        let (waits, more) = if names { ("", self.more) } else { (QUICK, "") };
        site.configure(&format!(
            "[bridges.cloud]\n{profile}url = \"mqtts://localhost:{port}\"\ntls.ca = {ca:?}\n\
             tls.cert = \"{certificate}.pem\"\ntls.key = \"{certificate}.key\"\n{waits}{more}\n{rules}\
             [sessions]\nmax-packet-size = \"4 MiB\"\n[broker]\noutbound-buffer = \"8 MiB\"\n"
        ));
    }

    /// Everything that is beyond, in between of what is not.
    fn send(&self, device: &mut Client) {
        for (topic, bytes) in &self.beyond {
            let payload = vec![b'x'; *bytes];
            assert_eq!(device.publish_and_wait(topic, &payload, false), ReasonCode::Success);
            device.publish_and_wait("demo/up/a", b"within", false);
        }
        publish(device, "demo/up/a", b"exactly once", QoS::ExactlyOnce);
        publish_as(device, "demo/up/a", b"kept", QoS::AtLeastOnce, true);
    }

    fn within_and_beyond(&self) {
        let site = Site::new();
        let broker = Mosquitto::start(&site, "");
        let stand_in = StandIn::start(&site, self.cloud, broker.plain);
        self.configure(&site, &stand_in, true);
        let mut gateway = Gateway::start(&site);
        wait_until_connected(&gateway, 1);
        let mut there = broker.client(&site, "onlooker");
        there.subscribe(self.there, QoS::ExactlyOnce);
        let mut device = gateway.client("device");
        device.subscribe(self.back.1, QoS::ExactlyOnce);

        self.send(&mut device);
        let most = QoS::from_u8(self.cloud.qos).expect("a QoS");
        for _ in &self.beyond {
            let expected = (self.there.to_owned(), b"within".to_vec(), QoS::AtLeastOnce, false);
            assert_eq!(arrival(&mut there), expected);
        }
        // A message of QoS 2 may be overtaken, for it is handed on when it is released.
        let last: BTreeMap<_, _> =
            (0..2).map(|_| arrival(&mut there)).map(|it| (it.1, it.2)).collect();
        let sent = [(&b"exactly once"[..], QoS::ExactlyOnce), (b"kept", QoS::AtLeastOnce)];
        assert_eq!(last, sent.map(|(payload, qos)| (payload.to_vec(), qos.min(most))).into());
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publish(&mut there, self.back.0, b"back", qos);
            let expected = (self.back.1.to_owned(), b"back".to_vec(), qos.min(most), false);
            assert_eq!(arrival(&mut device), expected);
        }
        self.bursts(&mut device, &mut there);
        wait_for(&gateway, "refused", self.beyond.len() as u64);
        wait_until_empty(&gateway);
        let counters = counters(&gateway);
        assert_eq!(stand_in.violations(), [] as [&str; 0]);
        assert_eq!((stand_in.connections(), counters["connections"].as_u64()), (1, Some(1)));
        assert_eq!(counters["refused"].as_u64(), Some(self.beyond.len() as u64), "{counters}");
        gateway.assert_sound();
    }

    /// What comes faster than the cloud takes it waits here.
    fn bursts(&self, device: &mut Client, there: &mut Client) {
        if self.burst == 0 {
            return;
        }
        let begun = Instant::now();
        let mut publisher = Publisher::new("demo/up/a", QoS::AtLeastOnce, 64);
        publisher.publish(device, self.burst).expect("the gateway stays");
        let numbers = collect(there, QUIET);
        let took = begun.elapsed().saturating_sub(QUIET).as_secs_f64();
        let rate = f64::from(self.cloud.messages_per_second);
        println!("{} burst={} seconds={took:.1}", self.profile, self.burst);
        assert_eq!(numbers, (0..self.burst).collect::<Vec<_>>());
        assert!(took * rate * 1.1 > self.burst as f64 - rate, "{took} s are too short for it");
    }

    fn fails_without_profile(&self) {
        let site = Site::new();
        let broker = Mosquitto::start(&site, "");
        let stand_in = StandIn::start(&site, self.cloud, broker.plain);
        self.configure(&site, &stand_in, false);
        let gateway = Gateway::start(&site);
        // It may be turned away before any message passes.
        let until = Instant::now() + PATIENCE;
        while stand_in.connections() == 0 && stand_in.violations().is_empty() {
            assert!(Instant::now() < until, "the bridge does not come:\n{}", gateway.log.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.send(&mut gateway.client("device"));
        while stand_in.violations().len() < 2 {
            assert!(Instant::now() < until, "the stand-in bears it: {:?}", stand_in.violations());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn aws_iot_core() {
    let mut trial = usual("aws-iot-core", &cloud::AWS_IOT_CORE);
    trial.inward.extend(more_rules(19));
    trial.burst = 300;
    trial.beyond = vec![
        ("demo/up/large".to_owned(), 131_073),
        ("demo/up/3/4/5/6/7/8/9".to_owned(), 1),
        (format!("demo/up/{}", "x".repeat(250)), 1),
    ];
    trial.within_and_beyond();
    trial.fails_without_profile();
}

#[test]
fn azure_event_grid() {
    let mut trial = usual("azure-event-grid", &cloud::AZURE_EVENT_GRID);
    trial.inward.extend(more_rules(24));
    trial.beyond = vec![
        ("demo/up/large".to_owned(), 524_289),
        (format!("demo/up{}", "/x".repeat(14)), 1),
        (format!("demo/up/{}", "x".repeat(250)), 1),
    ];
    trial.within_and_beyond();
    trial.fails_without_profile();
}

#[test]
fn azure_iot_hub() {
    let mut trial = usual("azure-iot-hub", &cloud::AZURE_IOT_HUB);
    trial.more = "client-id = \"site-7\"";
    trial.out =
        "filter = \"demo/up/#\"\nstrip = \"demo/up\"\nprefix = \"devices/site-7/messages/events\"";
    trial.inward = vec![
        "filter = \"devices/site-7/messages/devicebound/#\"\nstrip = \"devices/site-7/messages\"\nprefix = \"demo\""
            .to_owned(),
    ];
    trial.there = "devices/site-7/messages/events/a";
    trial.back = ("devices/site-7/messages/devicebound/stop", "demo/devicebound/stop");
    trial.beyond = vec![("demo/up/large".to_owned(), 262_145)];
    trial.within_and_beyond();
    trial.fails_without_profile();
}

/// It says itself what it takes, so that a bridge without the profile does as well.
#[test]
fn hivemq_cloud() {
    usual("hivemq-cloud", &cloud::HIVEMQ_CLOUD).within_and_beyond();
}

#[test]
fn emqx_cloud() {
    let mut trial = usual("emqx-cloud", &cloud::EMQX_CLOUD);
    trial.inward.extend(more_rules(9));
    trial.burst = 30;
    trial.beyond =
        vec![("demo/up/large".to_owned(), 1_048_576), (format!("demo/up{}", "/x".repeat(9)), 1)];
    trial.within_and_beyond();
    trial.fails_without_profile();
}

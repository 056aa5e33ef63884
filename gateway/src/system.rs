use std::sync::Arc;
use std::time::Duration;

use broker::Stats;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bridges::{Bridges, Told};
use crate::budget::Usage;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::hub::Hub;
use crate::load::{self, Load};
use crate::meter;

/// Everything that is counted, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) broker: Stats,
    /// Connections that a listener accepted.
    pub(crate) sockets: u64,
    /// CONNECT packets, those of clients that are refused included.
    pub(crate) connects: u64,
    /// Lines of the decision log that were dropped.
    pub(crate) decisions_dropped: u64,
    /// Events that could not be told to the extensions that observe.
    pub(crate) events_missed: u64,
    /// What memory comes to.
    pub(crate) memory: Usage,
    /// How often a connection was not read on because the disk had not caught up.
    pub(crate) pauses: u64,
    /// What the store occupies, and what it wrote since the start.
    pub(crate) store: store::Usage,
    /// What the process wrote to the device since the start, where that is known.
    pub(crate) device_bytes: Option<u64>,
}

impl Totals {
    pub(crate) fn gather(hub: &Hub, disk: &Disk) -> Self {
        Self { store: disk.stats().usage, device_bytes: meter::device_bytes(), ..hub.totals() }
    }

    /// Bytes written to the device for each message that went to a client: what a message costs
    /// the card. `None` while it is not known, or nothing was delivered.
    pub(crate) fn device_bytes_per_delivery(&self) -> Option<f64> {
        let delivered = Some(self.broker.publishes_sent).filter(|delivered| *delivered > 0)?;
        Some(self.device_bytes? as f64 / delivered as f64)
    }
}

/// A value with the topic that it has below `$SYS/broker`, both as Mosquitto has them: that is
/// where dashboards look. What Mosquitto has no name for is named in its manner.
type Value = (&'static str, fn(&Totals) -> u64);

const VALUES: [Value; 27] = [
    ("clients/total", |t| t.broker.sessions),
    ("clients/connected", |t| t.broker.clients_connected),
    ("clients/active", |t| t.broker.clients_connected),
    ("clients/disconnected", |t| t.broker.sessions - t.broker.clients_connected),
    ("clients/inactive", |t| t.broker.sessions - t.broker.clients_connected),
    ("clients/maximum", |t| t.broker.clients_maximum),
    ("clients/expired", |t| t.broker.sessions_expired),
    ("heap/current", |t| t.memory.heap as u64),
    ("messages/received", |t| t.broker.packets_received),
    ("messages/sent", |t| t.broker.packets_sent),
    ("messages/stored", |t| t.broker.retained + t.broker.queued),
    ("messages/inflight", |t| t.broker.in_flight),
    ("store/messages/count", |t| t.broker.retained + t.broker.queued),
    ("store/messages/bytes", |t| t.broker.retained_bytes + t.broker.queued_bytes),
    ("store/files/bytes", |t| t.store.file_bytes),
    ("store/log/bytes/written", |t| t.store.written_to_log),
    ("store/database/bytes/written", |t| t.store.written_to_engine),
    ("subscriptions/count", |t| t.broker.subscriptions),
    ("shared_subscriptions/count", |t| t.broker.shared_subscriptions),
    ("retained messages/count", |t| t.broker.retained),
    ("bytes/received", |t| t.broker.bytes_received),
    ("bytes/sent", |t| t.broker.bytes_sent),
    ("publish/messages/received", |t| t.broker.publishes_received),
    ("publish/messages/sent", |t| t.broker.publishes_sent),
    ("publish/messages/dropped", |t| t.broker.dropped()),
    ("publish/bytes/received", |t| t.broker.publish_bytes_received),
    ("publish/bytes/sent", |t| t.broker.publish_bytes_sent),
];

/// Told where they are known only.
const DEVICE_BYTES: &str = "store/device/bytes/written";
const DEVICE_BYTES_PER_DELIVERY: &str = "store/device/bytes/per-message";

/// What is told per minute too, below `$SYS/broker/load`.
const LOADS: [Value; 9] = [
    ("messages/received", |t| t.broker.packets_received),
    ("messages/sent", |t| t.broker.packets_sent),
    ("publish/received", |t| t.broker.publishes_received),
    ("publish/sent", |t| t.broker.publishes_sent),
    ("publish/dropped", |t| t.broker.dropped()),
    ("bytes/received", |t| t.broker.bytes_received),
    ("bytes/sent", |t| t.broker.bytes_sent),
    ("sockets", |t| t.sockets),
    ("connections", |t| t.connects),
];

/// Publishes what the gateway says of itself, now and after each `interval`, for ever.
pub(crate) async fn report(
    hub: Arc<Hub>,
    disk: Disk,
    bridges: Arc<Bridges>,
    clock: Clock,
    interval: Duration,
) {
    let look = || Totals::gather(&hub, &disk);
    let (mut system, mut told) = (System::new(Instant::now(), look()), Told::default());
    let mut ticks = tokio::time::interval(interval);
    // After a pause one look is as good as many.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let mut values = system.values(now, look());
        let unix = Duration::from_millis(clock.now().as_unix_ms());
        values.extend(told.values(&bridges.statuses(), &hub, (now.into_std(), unix)));
        hub.publish_system(&values);
    }
}

/// What the gateway knows of its own past.
#[derive(Debug)]
struct System {
    started: Instant,
    looked: Instant,
    before: Totals,
    loads: [Load; LOADS.len()],
}

impl System {
    fn new(started: Instant, before: Totals) -> Self {
        Self { started, looked: started, before, loads: [Load::default(); LOADS.len()] }
    }

    /// All topics with their values at `now`.
    fn values(&mut self, now: Instant, totals: Totals) -> Vec<(String, String)> {
        let over = now.saturating_duration_since(self.looked);
        let uptime = now.saturating_duration_since(self.started).as_secs();
        let mut values = vec![
            topic("version", format!("portcullis version {}", env!("CARGO_PKG_VERSION"))),
            topic("uptime", format!("{uptime} seconds")),
        ];
        values.extend(VALUES.iter().map(|(name, value)| topic(name, value(&totals).to_string())));
        values.extend(totals.device_bytes.map(|it| topic(DEVICE_BYTES, it.to_string())));
        let per_delivery = totals.device_bytes_per_delivery();
        values.extend(per_delivery.map(|it| topic(DEVICE_BYTES_PER_DELIVERY, format!("{it:.1}"))));
        for (load, (name, value)) in self.loads.iter_mut().zip(LOADS) {
            load.update(value(&totals).saturating_sub(value(&self.before)), over);
            for (window, average) in load::NAMES.iter().zip(load.per_minute()) {
                values.push(topic(&format!("load/{name}/{window}"), format!("{average:.2}")));
            }
        }
        self.looked = now;
        self.before = totals;
        values
    }
}

fn topic(name: &str, value: String) -> (String, String) {
    (format!("$SYS/broker/{name}"), value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_have_the_names_and_forms_that_dashboards_know() {
        let started = Instant::now();
        let mut system = System::new(started, Totals::default());
        let mut totals = Totals { sockets: 12, connects: 6, ..Totals::default() };
        totals.broker.sessions = 3;
        totals.broker.clients_connected = 1;
        totals.broker.publishes_received = 60;
        totals.broker.dropped_expired = 2;
        totals.broker.dropped_queue_full = 3;
        let values = system.values(started + Duration::from_secs(60), totals);
        let count = values.len();
        let values: BTreeMap<_, _> = values.into_iter().collect();
        assert_eq!(values.len(), count, "no topic stands twice");
        for (name, value) in [
            ("uptime", "60 seconds"),
            ("clients/total", "3"),
            ("clients/connected", "1"),
            ("clients/disconnected", "2"),
            ("publish/messages/dropped", "5"),
            ("load/publish/received/1min", "37.93"),
            ("load/publish/received/15min", "3.87"),
            ("load/sockets/1min", "7.59"),
            ("load/connections/1min", "3.79"),
            ("load/bytes/sent/5min", "0.00"),
        ] {
            assert_eq!(
                values.get(&format!("$SYS/broker/{name}")).map(|v| &**v),
                Some(value),
                "{name}"
            );
        }
        let version = &values["$SYS/broker/version"];
        assert!(version.starts_with("portcullis version "), "{version}");
        for topic in values.keys() {
            assert!(mqtt::TopicName::new(topic).is_ok(), "{topic}");
        }
    }

    #[test]
    fn the_meter_is_told_where_there_is_one() {
        let now = Instant::now();
        let told = |device_bytes, delivered| {
            let mut totals = Totals { device_bytes, ..Totals::default() };
            totals.store.written_to_log = 5000;
            totals.broker.publishes_sent = delivered;
            let values = System::new(now, Totals::default()).values(now, totals);
            let of_store = |(topic, value): (String, String)| {
                let name = topic.strip_prefix("$SYS/broker/store/")?;
                (name.starts_with("device") || name.starts_with("log"))
                    .then(|| format!("{name} {value}"))
            };
            values.into_iter().filter_map(of_store).collect::<Vec<_>>()
        };
        assert_eq!(told(None, 10), ["log/bytes/written 5000"]);
        assert_eq!(told(Some(8192), 0), ["log/bytes/written 5000", "device/bytes/written 8192"]);
        assert_eq!(
            told(Some(8192), 10),
            [
                "log/bytes/written 5000",
                "device/bytes/written 8192",
                "device/bytes/per-message 819.2"
            ]
        );
    }
}

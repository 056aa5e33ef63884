use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, QoS, ReasonCode, Version};
use portcullis_durability::{BadDisk, Stage};
use portcullis_tests::{Client, Gateway, Latencies, PATIENCE, Received, Subscriber, number};

/// What everything for the absent subscriber is published to.
pub(crate) const KEPT: &str = "kept/messages";
/// What goes from client to client.
pub(crate) const LIVE: &str = "live/messages";

/// How long a session is listened to that should have nothing left.
const QUIET: Duration = Duration::from_millis(700);

/// A gateway's surroundings, with a bad disk.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) disk: BadDisk,
}

/// What an acknowledgement said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Said(ReasonCode),
    /// The connection was closed without one.
    Closed,
    Nothing,
}

pub(crate) const ACCEPTED: Answer = Answer::Said(ReasonCode::Success);
pub(crate) const REFUSED: Answer = Answer::Said(ReasonCode::QuotaExceeded);

impl Scene {
    pub(crate) fn new(store: &str) -> Self {
        let stage = Stage::with_store(store);
        let disk = BadDisk::under(&stage);
        Self { stage, disk }
    }

    pub(crate) fn start(&self) -> Gateway<'_> {
        self.stage.start_on(&self.disk)
    }

    pub(crate) fn client(&self, client_id: &str) -> Client {
        self.stage.options(client_id).connect()
    }

    /// The subscriber that is away: it comes, subscribes, and goes.
    pub(crate) fn absent(&self, client_id: &str) {
        let mut client = self.stage.options(client_id).persistent().connect();
        assert!(!client.subscribe("kept/#", QoS::ExactlyOnce).is_error());
        client.leave();
    }

    pub(crate) fn old_client(&self, client_id: &str) -> Client {
        self.stage.options(client_id).version(Version::V3_1_1).connect()
    }

    /// Comes back and takes what waits for it, until it has all of `wanted` and nothing more comes.
    pub(crate) fn drain(&self, client_id: &str, wanted: &BTreeSet<u64>) -> Vec<u64> {
        let mut client = self.stage.options(client_id).persistent().connect();
        let got = take(&mut client, wanted);
        client.leave();
        got
    }
}

/// Takes what comes until all of `wanted` is there and nothing more comes, or nothing has come for long.
pub(crate) fn take(client: &mut Client, wanted: &BTreeSet<u64>) -> Vec<u64> {
    let mut subscriber = Subscriber::default();
    let until = Instant::now() + Duration::from_secs(8);
    loop {
        subscriber.receive(client, QUIET).expect("the connection stays");
        let got = &subscriber.numbers;
        if wanted.iter().all(|number| got.contains(number)) || Instant::now() > until {
            return subscriber.numbers;
        }
    }
}

pub(crate) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_string().into_bytes();
    payload.resize(payload.len().max(bytes), b'.');
    payload
}

/// Publishes one message and waits for what is said to it; a QoS 2 exchange is completed.
pub(crate) fn publish(client: &mut Client, topic: &str, payload: &[u8], qos: QoS) -> Answer {
    let id = client.publish(topic, payload, qos, false);
    let answer = answer(client, PATIENCE);
    if qos == QoS::ExactlyOnce && answer == ACCEPTED {
        client.ack(PacketKind::PubRel, id).expect("the connection is there");
        let completed = client.receive();
        assert!(matches!(completed, Received::Ack(PacketKind::PubComp, ..)), "{completed:?}");
    }
    answer
}

pub(crate) fn answer(client: &mut Client, patience: Duration) -> Answer {
    match client.receive_within(patience) {
        None => Answer::Nothing,
        Some(Received::Ack(PacketKind::PubAck | PacketKind::PubRec, _, code)) => Answer::Said(code),
        Some(Received::Closed) => Answer::Closed,
        Some(other) => panic!("{other:?} instead of an acknowledgement"),
    }
}

/// A publisher and a subscriber that are there, and how long their QoS 1 messages take to be acknowledged.
pub(crate) struct Pair {
    publisher: Client,
    subscriber: Client,
    times: Vec<Duration>,
}

impl Pair {
    /// The subscriber's session ends with its connection, or not.
    pub(crate) fn new(scene: &Scene, name: &str, durable: bool) -> Self {
        let options = scene.stage.options(&format!("{name}-subscriber"));
        let options = if durable { options.persistent() } else { options };
        let mut subscriber = options.connect();
        assert!(!subscriber.subscribe(&format!("{name}/#"), QoS::AtLeastOnce).is_error());
        let publisher = scene.client(&format!("{name}-publisher"));
        Self { publisher, subscriber, times: Vec::new() }
    }

    /// Sends one message through; it must be acknowledged once its subscriber has acknowledged it.
    pub(crate) fn exchange(&mut self, topic: &str) {
        let began = Instant::now();
        self.publisher.publish(topic, b"0", QoS::AtLeastOnce, false);
        assert_eq!(number(&self.subscriber.message().payload), 0);
        assert_eq!(answer(&mut self.publisher, PATIENCE), ACCEPTED);
        self.times.push(began.elapsed());
    }

    /// The same at QoS 0, where nothing is acknowledged.
    pub(crate) fn pass(&mut self, topic: &str) {
        self.publisher.publish(topic, b"0", QoS::AtMostOnce, false);
        assert_eq!(number(&self.subscriber.message().payload), 0);
    }

    /// How long each exchange took since the last call.
    pub(crate) fn take_times(&mut self) -> Latencies {
        Latencies::new(std::mem::take(&mut self.times))
    }
}

/// Fails unless everything that was acknowledged has come, and nothing twice.
pub(crate) fn assert_kept(acknowledged: &BTreeSet<u64>, got: &[u64], what: &str) {
    let distinct: BTreeSet<u64> = got.iter().copied().collect();
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    println!(
        "{what}: acknowledged={} delivered={} lost={} twice={}",
        acknowledged.len(),
        distinct.len(),
        lost.len(),
        got.len() - distinct.len()
    );
    assert!(lost.is_empty(), "{what}: {lost:?} were acknowledged and are lost");
    assert_eq!(distinct.len(), got.len(), "{what}: something came twice over one connection");
}

/// Waits for a line of the log and prints it.
pub(crate) fn said(gateway: &Gateway<'_>, from: usize, message: &str) {
    let found = gateway.log.wait(from, PATIENCE, |event| event["message"] == message);
    let event = found.unwrap_or_else(|| panic!("no {message:?}:\n{}", gateway.log.text()));
    println!("  log: {event}");
}

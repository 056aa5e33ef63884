use std::sync::Mutex;

use auth::{Fallback, Limits, PermissionSet, Permissions};
use broker::durable::{Commit, Snapshot};
use broker::{Admission, Admitted, Authentication, Broker, Settings, Verdict};
use mqtt::{Decoded, Packet, PacketKind, QoS, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::clock::Clock;
use crate::disk::Errand;
use crate::report::Reporter;

/// A hub whose disk commits when the test says so.
struct Stage {
    hub: Arc<Hub>,
    commits: Arc<Mutex<Vec<Commit>>>,
}

/// The client's end of a link that runs.
struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
    decoder: Decoder,
    link: JoinHandle<Vec<Question>>,
}

const SOON: Duration = Duration::from_secs(2);

impl Stage {
    fn new(settings: Settings) -> Self {
        let clock = Clock::start();
        let broker = Broker::new(settings, 1, clock.now(), Snapshot::default());
        let commits = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&commits);
        let disk = Box::new(move |errand| match errand {
            Errand::Commit(commit) => kept.lock().unwrap().push(commit),
            Errand::Read { read, .. } => panic!("nobody comes back here: {read:?}"),
        });
        Self {
            hub: Arc::new(Hub::new(broker, clock, disk, Arc::new(Reporter::new(None)))),
            commits,
        }
    }

    /// Makes durable what the hub has handed out so far, and what follows from that.
    fn commit_all(&self) {
        loop {
            let Some(commit) = self.commits.lock().unwrap().pop() else { return };
            self.hub.committed(commit.upto, true);
        }
    }

    /// A client with `room` bytes of socket, whose extension answers every question with yes.
    fn connect(&self, id: &str, version: Version, clean: bool, room: usize) -> Client {
        let level = if version.is_v5() { 5 } else { 4 };
        let mut bytes = vec![0, 4, b'M', b'Q', b'T', b'T', level, u8::from(clean) << 1, 0, 0];
        if version.is_v5() {
            bytes.push(0);
        }
        bytes.extend([0, u8::try_from(id.len()).unwrap()]);
        bytes.extend(id.as_bytes());
        bytes.splice(0..0, [0x10, u8::try_from(bytes.len()).unwrap()]);
        let mut decoder = Decoder::new(1 << 20);
        let Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) = decoder.decode(&bytes)
        else {
            panic!("CONNECT is one")
        };
        let registration = self.hub.register();
        let fallback = if id.starts_with("asked") { Fallback::Ask } else { Fallback::Allow };
        let stated = Permissions { rules: Vec::new(), fallback, source: "test".into() };
        let admission = Admission {
            link: registration.link,
            connect: &connect,
            client_id: id.into(),
            principal: "p".into(),
            attributes: Vec::new(),
            permissions: Arc::new(PermissionSet::compile(&stated).unwrap()),
            authentication_data: None,
            durability: broker::Durability::Strict,
            valid_for_ms: None,
            limits: Limits::default(),
            will_verdict: None,
            will_interception: None,
            listener: None,
            arrangement: None,
        };
        let Admitted::Accepted(conversation) = self.hub.connect(admission) else {
            panic!("nothing speaks against it")
        };
        let (stream, served) = duplex(room);
        let hub = Arc::clone(&self.hub);
        let link = Link::new(served, hub, registration, conversation, decoder, Vec::new());
        let mut own = Decoder::new(1 << 28);
        own.set_version(version);
        Client { stream, unread: Vec::new(), decoder: own, link: tokio::spawn(serve(link)) }
    }
}

/// Runs a link, and tells what it asked.
async fn serve(mut link: Link<DuplexStream>) -> Vec<Question> {
    let mut asked = Vec::new();
    let mut judge = Judge::of_nobody();
    loop {
        let question = match link.run(&mut judge).await {
            Step::Ask(question) => question,
            Step::Yield => {
                tokio::task::yield_now().await;
                continue;
            }
            Step::Review(_) | Step::Done => return asked,
        };
        link.answer(match &question {
            Question::Publish { .. } => Answer::Publish(Verdict::Allow.into()),
            Question::Subscribe(filters) => {
                Answer::Subscribe(filters.iter().map(|_| Verdict::Allow).collect())
            }
            Question::Authenticate { .. } => {
                Answer::Authenticate(Authentication::Challenge { data: None })
            }
            Question::Intercept(_) => Answer::Intercept(broker::Interception::Pass),
        });
        asked.push(question);
    }
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        timeout(SOON, self.stream.write_all(bytes)).await.expect("the link reads").unwrap();
    }

    /// The next packet: its kind and its payload, if it is a PUBLISH.
    async fn receive(&mut self) -> (PacketKind, Vec<u8>) {
        loop {
            match self.decoder.decode(&self.unread).unwrap() {
                Decoded::Packet { packet, len } => {
                    let kind = packet.kind();
                    let payload = match packet {
                        Packet::Publish(publish) => publish.payload.to_vec(),
                        _ => Vec::new(),
                    };
                    self.unread.drain(..len);
                    return (kind, payload);
                }
                Decoded::Incomplete { .. } => {
                    let read = self.stream.read_buf(&mut self.unread);
                    let read = timeout(SOON, read).await.expect("something arrives").unwrap();
                    assert_ne!(read, 0, "the link has closed");
                }
            }
        }
    }

    /// Whether nothing arrives for a while.
    async fn is_silent(&mut self) -> bool {
        let wait = Duration::from_millis(100);
        self.unread.is_empty()
            && timeout(wait, self.stream.read_buf(&mut self.unread)).await.is_err()
    }

    async fn subscribe(&mut self, filter: &str) {
        let len = u8::try_from(filter.len()).unwrap();
        let mut bytes = vec![0x82, len + 5, 0, 1, 0, len];
        bytes.extend(filter.as_bytes());
        bytes.push(0);
        self.send(&bytes).await;
        assert_eq!(self.receive().await.0, PacketKind::SubAck);
    }
}

fn publish(topic: &str, qos: QoS, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
    body.extend(topic.as_bytes());
    if qos != QoS::AtMostOnce {
        body.extend([0, 7]);
    }
    body.extend(payload);
    let mut bytes = vec![0x30 | (qos as u8) << 1];
    let mut rest = body.len();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn packets_may_come_in_any_pieces() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.connect("c", Version::V3_1_1, true, 1 << 16);
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
    client.subscribe("t").await;
    let payload: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut bytes = publish("t", QoS::AtMostOnce, b"small");
    bytes.extend(publish("t", QoS::AtLeastOnce, &payload));
    bytes.extend([0xC0, 0]);
    let (mut read, mut write) = tokio::io::split(client.stream);
    let sender = tokio::spawn(async move {
        for (at, piece) in [1, 3, 10_000, 70_000].iter().cycle().scan(0, |at, size| {
            let from = *at;
            *at += size;
            Some((from, *size))
        }) {
            if at >= bytes.len() {
                return write;
            }
            write.write_all(&bytes[at..(at + piece).min(bytes.len())]).await.unwrap();
            tokio::task::yield_now().await;
        }
        write
    });
    let mut kinds = Vec::new();
    let mut payloads = Vec::new();
    while kinds.len() < 4 {
        match client.decoder.decode(&client.unread).unwrap() {
            Decoded::Packet { packet, len } => {
                kinds.push(packet.kind());
                if let Packet::Publish(publish) = packet {
                    payloads.push(publish.payload.to_vec());
                }
                client.unread.drain(..len);
            }
            Decoded::Incomplete { .. } => {
                let more = timeout(SOON, read.read_buf(&mut client.unread)).await;
                assert_ne!(more.expect("all arrives").unwrap(), 0);
            }
        }
    }
    sender.await.unwrap();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    let expected =
        [PacketKind::PingResp, PacketKind::PubAck, PacketKind::Publish, PacketKind::Publish];
    assert_eq!(kinds, expected);
    assert!(payloads == [b"small".to_vec(), payload], "payloads are as they were sent");
}

#[tokio::test]
async fn a_message_wakes_an_idle_link() {
    let stage = Stage::new(Settings::default());
    let mut reader = stage.connect("reader", Version::V5, true, 4096);
    let mut writer = stage.connect("writer", Version::V3_1_1, true, 4096);
    assert_eq!(reader.receive().await.0, PacketKind::ConnAck);
    assert_eq!(writer.receive().await.0, PacketKind::ConnAck);
    reader.send(&[0x82, 7, 0, 1, 0, 0, 1, b't', 0]).await;
    assert_eq!(reader.receive().await.0, PacketKind::SubAck);
    assert!(reader.is_silent().await);
    writer.send(&publish("t", QoS::AtMostOnce, b"hello")).await;
    assert_eq!(reader.receive().await, (PacketKind::Publish, b"hello".to_vec()));
}

#[tokio::test]
async fn connack_of_a_durable_session_waits_for_the_disk() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.connect("kept", Version::V3_1_1, false, 4096);
    assert!(client.is_silent().await, "nothing is promised before it is on disk");
    stage.commit_all();
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
}

#[tokio::test]
async fn a_link_does_not_read_while_the_disk_is_behind() {
    let stage = Stage::new(Settings { max_journal_bytes: 1, ..Settings::default() });
    let mut client = stage.connect("other", Version::V3_1_1, true, 256);
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
    // Its session goes to disk, and the disk takes its time.
    let _behind = stage.connect("kept", Version::V3_1_1, false, 256);
    client.send(&[0xC0, 0]).await;
    assert_eq!(client.receive().await.0, PacketKind::PingResp, "this read was under way");
    let message = publish("t", QoS::AtMostOnce, &[0; 100]);
    let flood = async {
        loop {
            client.stream.write_all(&message).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_millis(200), flood).await.is_err(), "the socket fills up");
    let before = stage.hub.totals().broker.publishes_received;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stage.hub.totals().broker.publishes_received, before);
    stage.commit_all();
    let resumed = async {
        while stage.hub.totals().broker.publishes_received == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, resumed).await.expect("it reads again");
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_a_bounded_amount_and_is_let_go() {
    let stage = Stage::new(Settings { max_outbox_bytes: 10_000, ..Settings::default() });
    let mut slow = stage.connect("slow", Version::V3_1_1, true, 256);
    assert_eq!(slow.receive().await.0, PacketKind::ConnAck);
    slow.subscribe("t").await;
    let mut writer = stage.connect("writer", Version::V3_1_1, true, 1 << 16);
    assert_eq!(writer.receive().await.0, PacketKind::ConnAck);
    for _ in 0..1000 {
        writer.send(&publish("t", QoS::AtMostOnce, &[1; 1000])).await;
    }
    writer.send(&[0xC0, 0]).await;
    assert_eq!(writer.receive().await.0, PacketKind::PingResp);
    let dropped = stage.hub.totals().broker.dropped_outbox_full;
    assert!((900..1000).contains(&dropped), "{dropped} were dropped");
    // What was kept arrives whole.
    assert_eq!(slow.receive().await, (PacketKind::Publish, vec![1; 1000]));

    let began = Instant::now();
    stage.hub.shut_down();
    timeout(LINGER + SOON, slow.link).await.expect("it is let go").unwrap();
    assert!(began.elapsed() >= LINGER / 2, "it had its time to read");
}

#[tokio::test]
async fn a_question_holds_back_what_comes_after_it() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.connect("asked", Version::V3_1_1, true, 4096);
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
    let mut bytes = vec![0x82, 6, 0, 1, 0, 1, b'#', 0];
    bytes.extend(publish("a", QoS::AtMostOnce, b"1"));
    bytes.extend(publish("b", QoS::AtMostOnce, b"2"));
    bytes.extend([0xE0, 0]);
    client.send(&bytes).await;
    assert_eq!(client.receive().await.0, PacketKind::SubAck);
    assert_eq!(client.receive().await, (PacketKind::Publish, b"1".to_vec()));
    assert_eq!(client.receive().await, (PacketKind::Publish, b"2".to_vec()));
    drop(client.stream);
    let asked = timeout(SOON, client.link).await.unwrap().unwrap();
    let topics: Vec<&str> = asked
        .iter()
        .map(|question| match question {
            Question::Publish { topic, .. } => topic,
            Question::Subscribe(requested) => &*requested[0].filter,
            Question::Authenticate { .. } => "AUTH",
            Question::Intercept(draft) => draft.topic.as_str(),
        })
        .collect();
    assert_eq!(topics, ["#", "a", "b"]);
}

#[tokio::test]
async fn the_last_words_arrive_although_the_peer_goes_on_sending() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.connect("c", Version::V5, true, 4096);
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
    // A packet type that does not exist, and more behind it.
    client.send(&[0x00, 0x00]).await;
    client.send(&[0xC0; 3000]).await;
    assert_eq!(client.receive().await.0, PacketKind::Disconnect);
    let ended = timeout(SOON, client.stream.read_buf(&mut client.unread)).await.unwrap();
    assert_eq!(ended.unwrap(), 0, "nothing follows DISCONNECT");
    drop(client.stream);
    timeout(SOON, client.link).await.unwrap().unwrap();
    assert_eq!(stage.hub.totals().broker.clients_connected, 0);
}

#[tokio::test]
async fn a_link_that_is_dropped_takes_its_client_along() {
    let stage = Stage::new(Settings::default());
    let mut client = stage.connect("c", Version::V3_1_1, true, 4096);
    assert_eq!(client.receive().await.0, PacketKind::ConnAck);
    assert_eq!(stage.hub.totals().broker.clients_connected, 1);
    client.link.abort();
    assert!(client.link.await.is_err());
    assert_eq!(stage.hub.totals().broker.clients_connected, 0);
    assert_eq!(stage.hub.totals().broker.sessions, 0);
}

/// Many filters of many levels make each publish to a new topic cost its time; a batch of them kept all others waiting.
#[tokio::test]
async fn who_sends_what_takes_long_gets_in_line_again() {
    const PUBLISHES: u64 = 200;
    let stage = Stage::new(Settings::default());
    let mut costly = stage.connect("costly", Version::V3_1_1, true, 1 << 17);
    let mut other = stage.connect("other", Version::V3_1_1, true, 4096);
    assert_eq!(costly.receive().await.0, PacketKind::ConnAck);
    assert_eq!(other.receive().await.0, PacketKind::ConnAck);
    for number in 0..500_u32 {
        let level = |at: u32| if number >> (at % 9) & 1 == 0 { "a/" } else { "+/" };
        costly.subscribe(&format!("{}+", (0..55).map(level).collect::<String>())).await;
    }
    let mut batch = Vec::new();
    for number in 0..PUBLISHES {
        batch.extend(publish(&format!("{}{number}", "a/".repeat(55)), QoS::AtMostOnce, b"x"));
    }
    costly.send(&batch).await;
    other.send(&[0xC0, 0]).await;
    assert_eq!(other.receive().await.0, PacketKind::PingResp);
    let before = stage.hub.totals().broker.publishes_received;
    assert!(before < PUBLISHES, "the other client waited for all of them");
    for _ in 0..PUBLISHES {
        assert_eq!(costly.receive().await, (PacketKind::Publish, b"x".to_vec()));
    }
}

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mqtt::{
    Ack, Connect, ConnectProperties, Decoded, Decoder, Packet, PacketId, PacketKind, Publish, QoS,
    ReasonCode, Subscribe, SubscribeFiltersBuf, SubscribeOptions, TopicFilter, TopicName,
    UserProperties, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

/// How long anything may take that the gateway owes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients of one listener. Each sends numbered messages of QoS 1 to itself, at the same pace, until all are stopped.
pub(crate) struct Fleet {
    runtime: Runtime,
    clients: JoinSet<Result<Log, String>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ready: AtomicU64,
    starts: AtomicBool,
    stops: AtomicBool,
}

/// What one client saw: when each message was sent, and how long it was under way.
pub(crate) type Log = Vec<(Instant, Duration)>;

impl Fleet {
    /// Connects `clients`, which then send `rate` messages a second together.
    pub(crate) fn set_out(port: u16, clients: u32, rate: u32) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let shared = Arc::new(Shared::default());
        let pause = Duration::from_secs(1) * clients / rate;
        let mut all = JoinSet::new();
        for number in 0..clients {
            // Spread over the pause, as devices are that know nothing of one another.
            let offset = pause * number / clients;
            let client = sail(port, number, pause, offset, Arc::clone(&shared));
            all.spawn_on(
                async move { client.await.map_err(|why| format!("client {number}: {why}")) },
                runtime.handle(),
            );
        }
        let until = Instant::now() + PATIENCE;
        while shared.ready.load(Ordering::SeqCst) < clients.into() {
            assert!(Instant::now() < until, "not all clients were let in");
            std::thread::sleep(Duration::from_millis(10));
        }
        shared.starts.store(true, Ordering::SeqCst);
        Self { runtime, clients: all, shared }
    }

    /// Stops sending, and waits until all that was sent has arrived and was acknowledged.
    pub(crate) fn return_home(mut self) -> Vec<Log> {
        self.shared.stops.store(true, Ordering::SeqCst);
        self.runtime.block_on(async {
            let mut logs = Vec::new();
            while let Some(ended) = self.clients.join_next().await {
                logs.push(ended.expect("no client panics").unwrap_or_else(|why| panic!("{why}")));
            }
            logs
        })
    }
}

/// One client, from CONNECT to DISCONNECT.
async fn sail(
    port: u16,
    number: u32,
    pause: Duration,
    offset: Duration,
    shared: Arc<Shared>,
) -> Result<Log, String> {
    let topic = format!("swap/{number}");
    let mut wire = Wire::open(port).await.map_err(|error| format!("cannot connect: {error}"))?;
    wire.greet(&format!("c{number}"), &topic).await?;
    shared.ready.fetch_add(1, Ordering::SeqCst);
    while !shared.starts.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut voyage = Voyage::default();
    let mut clock = interval_at(tokio::time::Instant::now() + offset, pause);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stops = shared.stops.load(Ordering::SeqCst);
        if stops && voyage.is_over() {
            break;
        }
        tokio::select! {
            _ = clock.tick(), if !stops => wire.send(&voyage.next(&topic)).await?,
            more = timeout(PATIENCE, wire.read()) => {
                more.map_err(|_| format!("nothing came for {PATIENCE:?}, and {voyage:?} is owed"))??;
                let answers = wire.take(&mut voyage)?;
                wire.send(&answers).await?;
            }
        }
    }
    let mut bytes = Vec::new();
    encode(
        &Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)),
        &mut bytes,
    );
    wire.send(&bytes).await?;
    Ok(voyage.log)
}

/// What a client has sent and seen.
#[derive(Debug, Default)]
struct Voyage {
    sent: u64,
    /// When each message was sent that has not arrived, in order.
    under_way: VecDeque<Instant>,
    /// Identifiers of publishes that are not acknowledged, in order.
    unacknowledged: VecDeque<PacketId>,
    arrived: u64,
    log: Log,
}

impl Voyage {
    fn is_over(&self) -> bool {
        self.under_way.is_empty() && self.unacknowledged.is_empty()
    }

    /// The next message.
    fn next(&mut self, topic: &str) -> Vec<u8> {
        let id = PacketId::new(u16::try_from(self.sent % 60_000).unwrap_or(0) + 1);
        let text = self.sent.to_string();
        let publish = Publish {
            qos: QoS::AtLeastOnce,
            packet_id: id,
            ..Publish::new(TopicName::new(topic).expect("a topic"), text.as_bytes())
        };
        let mut bytes = Vec::new();
        encode(&Packet::Publish(publish), &mut bytes);
        self.sent += 1;
        self.under_way.push_back(Instant::now());
        self.unacknowledged.extend(id);
        bytes
    }

    /// Holds a packet against what must come; answers a message.
    fn see(&mut self, packet: &Packet<'_>) -> Result<Option<Packet<'static>>, String> {
        match packet {
            Packet::Publish(publish) => {
                let expected = self.arrived.to_string();
                if publish.payload != expected.as_bytes() || publish.dup {
                    return Err(format!("{publish:?} came instead of message {expected}"));
                }
                let sent = self.under_way.pop_front();
                let sent = sent.ok_or_else(|| format!("{publish:?} was never sent"))?;
                self.log.push((sent, sent.elapsed()));
                self.arrived += 1;
                let id = publish.packet_id.ok_or("a message of QoS 0 came")?;
                Ok(Some(Packet::PubAck(Ack::new(id, ReasonCode::Success))))
            }
            Packet::PubAck(ack) if ack.code == ReasonCode::Success => {
                match self.unacknowledged.pop_front() {
                    Some(id) if id == ack.packet_id => Ok(None),
                    expected => Err(format!("{ack:?} came instead of PUBACK {expected:?}")),
                }
            }
            other => Err(format!("{other:?} came after {} messages", self.arrived)),
        }
    }
}

/// A connection, and what has come over it and was not looked at.
struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Wire {
    async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(Version::V5);
        Ok(Self { stream, decoder, unread: Vec::new() })
    }

    /// CONNECT and SUBSCRIBE, and their answers.
    async fn greet(&mut self, client_id: &str, topic: &str) -> Result<(), String> {
        let mut bytes = Vec::new();
        encode(&Packet::Connect(Box::new(connect(client_id))), &mut bytes);
        let mut filters = SubscribeFiltersBuf::default();
        let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() };
        filters.push(TopicFilter::new(topic).expect("a filter"), options).expect("room for one");
        let subscribe = Subscribe {
            packet_id: PacketId::new(1).expect("an identifier"),
            subscription_id: None,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        };
        encode(&Packet::Subscribe(subscribe), &mut bytes);
        self.send(&bytes).await?;
        for kind in [PacketKind::ConnAck, PacketKind::SubAck] {
            let heard = loop {
                if let Some(heard) = self.answer()? {
                    break heard;
                }
                self.read().await?;
            };
            if heard != (kind, false) {
                return Err(format!("{heard:?} instead of {kind} that says success"));
            }
        }
        Ok(())
    }

    /// The kind of the next packet, and whether it refuses.
    fn answer(&mut self) -> Result<Option<(PacketKind, bool)>, String> {
        let decoded = self.decoder.decode(&self.unread).map_err(|error| error.to_string())?;
        let Decoded::Packet { packet, len } = decoded else { return Ok(None) };
        let refuses = match &packet {
            Packet::ConnAck(connack) => connack.code.is_error(),
            Packet::SubAck(suback) => suback.codes.iter().any(|code| code.is_error()),
            _ => true,
        };
        let kind = packet.kind();
        self.unread.drain(..len);
        Ok(Some((kind, refuses)))
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| format!("cannot write: {error}"))
    }

    async fn read(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) => Err("the gateway closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("cannot read: {error}")),
        }
    }

    /// Everything that has come; gives what is to be answered.
    fn take(&mut self, voyage: &mut Voyage) -> Result<Vec<u8>, String> {
        let (mut at, mut answers) = (0, Vec::new());
        loop {
            let rest = self.unread.get(at..).unwrap_or_default();
            match self.decoder.decode(rest).map_err(|error| error.to_string())? {
                Decoded::Packet { packet, len } => {
                    if let Some(answer) = voyage.see(&packet)? {
                        encode(&answer, &mut answers);
                    }
                    at += len;
                }
                Decoded::Incomplete { .. } => break,
            }
        }
        self.unread.drain(..at);
        Ok(answers)
    }
}

fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

fn encode(packet: &Packet<'_>, bytes: &mut Vec<u8>) {
    packet.encode(Version::V5, bytes).expect("a packet that can be written");
}

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, ReasonCode, Version};
use portcullis_tests::{Client, Received, Wire};

use crate::field::Doors;
use crate::packets::{Connect, Message, subscribe};

/// Between two messages: a hundred a second.
const INTERVAL: Duration = Duration::from_millis(10);

/// Between two visits of a newcomer.
const VISITS: Duration = Duration::from_millis(500);

/// How long anything may take before the client counts it as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the client that means well sends messages to itself.
const TOPIC: &str = "witness/own";

/// What the client that means well has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A message came back.
    Message {
        /// When it was to be sent.
        at: Instant,
        /// How long it took since.
        took: Duration,
    },
    /// A message did not come back.
    Lost {
        /// When it was to be sent.
        at: Instant,
    },
    /// Something that has to work did not.
    Failed {
        /// When.
        at: Instant,
        /// What.
        what: String,
    },
    /// Another client of the same kind was let in, over TLS or QUIC.
    Newcomer {
        /// When it came.
        at: Instant,
        /// How long it took until it was in.
        took: Duration,
    },
    /// Another client of the same kind was not.
    TurnedAway {
        /// When it came.
        at: Instant,
        /// What happened instead.
        what: String,
    },
}

/// A client that means well: MQTT 5 over TLS, QoS 1, a hundred messages a second to itself; and others of its kind that come, over
/// TLS and QUIC in turns, and go.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The gateway.
    pub doors: Doors,
    /// The certificate that it trusts, in PEM.
    pub ca: PathBuf,
    /// Who it is.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl Witness {
    /// Tells what it sees until `stop`, and then until all messages are back or lost.
    pub fn watch(&self, stop: &AtomicBool, tell: &Sender<Seen>) {
        thread::scope(|scope| {
            let newcomers = tell.clone();
            scope.spawn(move || self.visit(stop, &newcomers));
            // Nobody may listen any more.
            let tell = |seen| drop(tell.send(seen));
            let mut sent = BTreeMap::new();
            while let Err(what) = self.converse(stop, &mut sent, &tell) {
                tell(Seen::Failed { at: Instant::now(), what });
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(VISITS);
            }
            sent.into_values().for_each(|at| tell(Seen::Lost { at }));
        });
    }

    /// Sends and receives until it is to stop.
    fn converse(
        &self,
        stop: &AtomicBool,
        sent: &mut BTreeMap<u64, Instant>,
        tell: &impl Fn(Seen),
    ) -> Result<(), String> {
        let wire = Wire::tls(self.doors.tls, &self.ca).map_err(|error| error.to_string())?;
        let mut client = self.enter(wire, "witness")?;
        client.send_raw(&subscribe(1, &[TOPIC.to_owned()], 1)).map_err(broken)?;
        match client.receive_within(PATIENCE) {
            Some(Received::SubAck(codes)) if codes == [ReasonCode::GrantedQos1] => {}
            other => return Err(format!("{other:?} instead of SUBACK")),
        }
        let mut number = sent.keys().next_back().map_or(0, |last| last + 1);
        let (mut due, mut stalled, mut ended) = (Instant::now(), false, None);
        loop {
            let now = Instant::now();
            let is_over = stop.load(Ordering::Relaxed);
            if is_over {
                let end = *ended.get_or_insert(now + PATIENCE);
                if sent.is_empty() || now > end {
                    return Ok(());
                }
            } else if now >= due {
                // Where the gateway kept it from sending, the time counts from when it was due.
                sent.insert(number, if stalled { due } else { now });
                let (payload, id) = (number.to_be_bytes(), (number % 60_000) as u16 + 1);
                client
                    .send_raw(&Message::new(TOPIC, &payload).at(1, id).bytes())
                    .map_err(broken)?;
                number += 1;
                due += INTERVAL;
                stalled = now.elapsed() > INTERVAL || stalled && now > due;
            }
            let wait =
                if is_over { INTERVAL } else { due.saturating_duration_since(Instant::now()) };
            match client.receive_within(wait) {
                None => {}
                Some(Received::Publish(message)) => {
                    client.acknowledge(&message).map_err(broken)?;
                    let number = message.payload.try_into().map(u64::from_be_bytes);
                    if let Some(at) = number.ok().and_then(|number| sent.remove(&number)) {
                        tell(Seen::Message { at, took: at.elapsed() });
                    }
                }
                Some(Received::Ack(PacketKind::PubAck, _, code)) if !code.is_error() => {}
                Some(other) => return Err(format!("{other:?}")),
            }
        }
    }

    /// Comes in now and then.
    fn visit(&self, stop: &AtomicBool, tell: &Sender<Seen>) {
        for number in 0_u64.. {
            let at = Instant::now();
            let (over_quic, name) = (number % 2 == 1, format!("newcomer-{}", number % 8));
            let wire = match over_quic {
                true => Wire::quic(self.doors.quic, &self.ca, None),
                false => Wire::tls(self.doors.tls, &self.ca),
            };
            let entered = wire.map_err(|error| error.to_string());
            let seen = match entered.and_then(|wire| self.enter(wire, &name)) {
                Ok(mut client) => {
                    // It is in, and goes as it should.
                    let _ = client.send_raw(&crate::packets::DISCONNECT);
                    Seen::Newcomer { at, took: at.elapsed() }
                }
                Err(what) => {
                    let over = if over_quic { "QUIC" } else { "TLS" };
                    Seen::TurnedAway { at, what: format!("{over}: {what}") }
                }
            };
            if tell.send(seen).is_err() {
                return;
            }
            while at.elapsed() < VISITS {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(INTERVAL);
            }
        }
    }

    fn enter(&self, wire: Wire, client_id: &str) -> Result<Client, String> {
        let connect =
            Connect { client_id, user: &self.user, password: &self.password, ..Connect::default() };
        let mut client = Client::on(wire, Version::V5);
        client.send_raw(&connect.bytes()).map_err(broken)?;
        match client.receive_within(PATIENCE) {
            Some(Received::ConnAck(ReasonCode::Success, _)) => Ok(client),
            Some(other) => Err(format!("{other:?} instead of CONNACK")),
            None => Err(format!("no CONNACK within {} s", PATIENCE.as_secs())),
        }
    }
}

fn broken(error: std::io::Error) -> String {
    format!("the connection broke: {error}")
}

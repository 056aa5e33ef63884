use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{Ack, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName};
use portcullis_tests::{Client, Dice, Options, Received};

/// Messages of a device on their way at a time.
const WINDOW: usize = 16;

/// How long a broker may take to let a device in before the device tries again.
const LET_IN: Duration = Duration::from_secs(5);

/// How long is listened for acknowledgements at a time.
const LISTEN: Duration = Duration::from_millis(100);

/// What devices are to do.
#[derive(Debug, Default)]
pub(crate) struct Orders(AtomicU8);

const FINISH: u8 = 1;
const STOP: u8 = 2;

impl Orders {
    /// Nothing new; what is on its way is to be acknowledged yet.
    pub(crate) fn finish(&self) {
        self.0.store(FINISH, Ordering::Relaxed);
    }

    /// At once.
    pub(crate) fn stop(&self) {
        self.0.store(STOP, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STOP
    }

    fn is_last(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= FINISH
    }
}

/// A device that publishes numbered messages to a topic of its own, in order, and notes what was acknowledged. Where
/// its connection breaks it sends again, in order, what was not acknowledged, as MQTT asks.
pub(crate) struct Device {
    pub(crate) index: usize,
    options: Options,
    topic: String,
    qos: QoS,
    interval: Duration,
    dice: Dice,
    /// The next message has this number: so many were sent.
    pub(crate) next: u32,
    /// In the order of sending.
    flights: VecDeque<Flight>,
    /// When each number was acknowledged.
    pub(crate) acknowledged: Vec<(u32, Instant)>,
    /// Messages that were sent again.
    pub(crate) repeated: u64,
    /// Messages that the edge did not want.
    pub(crate) refused: u64,
}

/// A message on its way.
#[derive(Clone, Copy)]
struct Flight {
    id: PacketId,
    number: u32,
    /// At QoS 2: PUBREC was there, PUBREL is what is sent again.
    released: bool,
}

/// The topic of a device.
pub(crate) fn topic(index: usize) -> String {
    format!("torture/{index}")
}

impl Device {
    /// It sends a message at this QoS each `interval`, or so.
    pub(crate) fn new(
        index: usize,
        options: Options,
        qos: QoS,
        interval: Duration,
        seed: u64,
    ) -> Self {
        Self {
            index,
            options,
            topic: topic(index),
            qos,
            interval,
            dice: Dice::new(seed),
            next: 0,
            flights: VecDeque::new(),
            acknowledged: Vec::new(),
            repeated: 0,
            refused: 0,
        }
    }

    /// Publishes until it is told to end.
    pub(crate) fn run(mut self, orders: &Orders) -> Self {
        while !orders.is_over() && !self.is_done(orders) {
            if let Some((mut client, present)) = self.connect() {
                // A broken connection is what this is about.
                let _ = self.talk(&mut client, present, orders);
            }
            thread::sleep(Duration::from_millis(self.dice.between(20, 200)));
        }
        self
    }

    fn is_done(&self, orders: &Orders) -> bool {
        orders.is_last() && self.flights.is_empty()
    }

    fn connect(&self) -> Option<(Client, bool)> {
        let mut client = self.options.knock().ok()?;
        match client.receive_within(LET_IN) {
            Some(Received::ConnAck(code, present)) if !code.is_error() => Some((client, present)),
            _ => None,
        }
    }

    fn talk(&mut self, client: &mut Client, present: bool, orders: &Orders) -> io::Result<()> {
        for at in 0..self.flights.len() {
            self.send(client, at, present)?;
            self.repeated += 1;
        }
        let mut due = Instant::now() + self.pause();
        while !orders.is_over() && !self.is_done(orders) {
            let now = Instant::now();
            if now >= due && !orders.is_last() && self.flights.len() < WINDOW {
                let (id, number) = (self.free_id(), self.next);
                self.flights.push_back(Flight { id, number, released: false });
                self.next += 1;
                self.send(client, self.flights.len() - 1, false)?;
                due = now + self.pause();
            }
            let patience = due.saturating_duration_since(now).min(LISTEN);
            let mut heard = client.receive_within(patience);
            while let Some(received) = heard {
                self.hear(client, &received)?;
                heard = client.buffered();
            }
        }
        Ok(())
    }

    fn hear(&mut self, client: &mut Client, received: &Received) -> io::Result<()> {
        match *received {
            Received::Ack(PacketKind::PubRec, id, code) if !code.is_error() => {
                let flight = self.flights.iter_mut().find(|flight| flight.id.get() == id);
                if let Some(flight) = flight.filter(|flight| !flight.released) {
                    flight.released = true;
                    self.acknowledged.push((flight.number, Instant::now()));
                }
                client.ack(PacketKind::PubRel, id)
            }
            Received::Ack(kind, id, code) => {
                let at = self.flights.iter().position(|flight| flight.id.get() == id);
                let Some(flight) = at.and_then(|at| self.flights.remove(at)) else {
                    return Ok(());
                };
                // Whatever PUBCOMP says: after a crash the edge may not know the identifier any more.
                if code.is_error() && kind != PacketKind::PubComp {
                    self.refused += 1;
                } else if !flight.released {
                    self.acknowledged.push((flight.number, Instant::now()));
                }
                Ok(())
            }
            Received::Closed | Received::Disconnect(_) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            ref other => panic!("{other:?} for a device that only publishes"),
        }
    }

    fn send(&self, client: &mut Client, at: usize, dup: bool) -> io::Result<()> {
        let Flight { id, number, released } = self.flights[at];
        if released {
            return client.send(&Packet::PubRel(Ack::new(id, ReasonCode::Success)));
        }
        let payload = format!("{} {number}", self.index);
        let topic = TopicName::new(&self.topic).expect("a topic");
        let packet_id = Some(id);
        let publish =
            Publish { dup, qos: self.qos, packet_id, ..Publish::new(topic, payload.as_bytes()) };
        client.send(&Packet::Publish(publish))
    }

    /// Far from what is on its way: identifiers go round.
    fn free_id(&self) -> PacketId {
        let round = self.next % u32::from(u16::MAX);
        let id = u16::try_from(round).unwrap_or_default() + 1;
        PacketId::new(id).expect("it is not 0")
    }

    fn pause(&mut self) -> Duration {
        let ms = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.dice.between(ms / 2, ms + ms / 2))
    }
}

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use mqtt::{Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName};

use crate::client::Client;
use crate::received::Received;

/// Bytes of a payload: the number in text, then dots.
const PAYLOAD_BYTES: usize = 64;

/// A publisher of numbered messages that knows what was acknowledged. It goes on over a new connection
/// where the last one broke, as MQTT asks: what is not acknowledged is sent again, in order.
#[derive(Debug)]
pub struct Publisher {
    topic: String,
    qos: QoS,
    window: usize,
    retained_topics: Option<u64>,
    next_number: u64,
    next_id: u16,
    flights: BTreeMap<u16, Flight>,
    /// Identifiers in the order in which they were sent first.
    order: VecDeque<u16>,
    /// Numbers that the gateway has promised to keep.
    pub acknowledged: BTreeSet<u64>,
    /// Codes of refusals.
    pub refused: Vec<ReasonCode>,
    /// Messages that were sent again.
    pub repeated: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    number: u64,
    /// At QoS 2: PUBREC was there, PUBREL is what is sent again.
    released: bool,
}

impl Publisher {
    /// `window` messages at most are on their way.
    pub fn new(topic: &str, qos: QoS, window: usize) -> Self {
        Self {
            topic: topic.to_owned(),
            qos,
            window,
            retained_topics: None,
            next_number: 0,
            next_id: 0,
            flights: BTreeMap::new(),
            order: VecDeque::new(),
            acknowledged: BTreeSet::new(),
            refused: Vec::new(),
            repeated: 0,
        }
    }

    /// Publishes retained, to `count` topics in turn: number `n` goes to the level `n % count` below.
    pub fn retained(mut self, count: u64) -> Self {
        self.retained_topics = Some(count);
        self
    }

    /// How many were given a number.
    pub fn numbered(&self) -> u64 {
        self.next_number
    }

    /// Takes up a new connection: sends again what is on its way.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn resume(&mut self, client: &mut Client) -> io::Result<()> {
        let mut bytes = Vec::new();
        for id in self.order.clone() {
            self.write(client, id, true, &mut bytes);
            self.repeated += 1;
        }
        client.send_raw(&bytes)
    }

    /// Publishes until `total` messages have a number and all are done with.
    ///
    /// # Errors
    /// If the connection breaks; [`Publisher::resume`] goes on.
    pub fn publish(&mut self, client: &mut Client, total: u64) -> io::Result<()> {
        while self.next_number < total || !self.flights.is_empty() {
            let mut bytes = Vec::new();
            while self.next_number < total && self.flights.len() < self.window {
                let id = self.take_off();
                self.write(client, id, false, &mut bytes);
            }
            if !bytes.is_empty() {
                client.send_raw(&bytes)?;
            }
            let mut received = Some(client.receive());
            while let Some(packet) = received {
                self.take(client, &packet)?;
                received = client.buffered();
            }
        }
        Ok(())
    }

    fn take_off(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.flights.contains_key(&self.next_id) {
                break;
            }
        }
        self.flights.insert(self.next_id, Flight { number: self.next_number, released: false });
        self.order.push_back(self.next_id);
        self.next_number += 1;
        self.next_id
    }

    fn write(&self, client: &Client, id: u16, dup: bool, bytes: &mut Vec<u8>) {
        let flight = self.flights[&id];
        let packet_id = PacketId::new(id).expect("it is not 0");
        let text = format!("{:.<PAYLOAD_BYTES$}", flight.number);
        let topic = match self.retained_topics {
            Some(count) => format!("{}/{}", self.topic, flight.number % count),
            None => self.topic.clone(),
        };
        let packet = if flight.released {
            Packet::PubRel(mqtt::Ack::new(packet_id, ReasonCode::Success))
        } else {
            Packet::Publish(Publish {
                dup,
                qos: self.qos,
                retain: self.retained_topics.is_some(),
                packet_id: Some(packet_id),
                ..Publish::new(TopicName::new(&topic).expect("a topic"), text.as_bytes())
            })
        };
        packet.encode(client.version(), bytes).expect("a packet that can be sent");
    }

    fn take(&mut self, client: &mut Client, packet: &Received) -> io::Result<()> {
        match *packet {
            Received::Ack(PacketKind::PubAck, id, code) => self.land(id, code),
            Received::Ack(PacketKind::PubRec, id, code) if code.is_error() => self.land(id, code),
            Received::Ack(PacketKind::PubRec, id, _) => {
                if let Some(flight) = self.flights.get_mut(&id) {
                    flight.released = true;
                    self.acknowledged.insert(flight.number);
                }
                client.ack(PacketKind::PubRel, id)?;
            }
            // After a crash the gateway may not remember an identifier that is done with.
            Received::Ack(PacketKind::PubComp, id, _) => self.land(id, ReasonCode::Success),
            Received::Closed | Received::Disconnect(_) => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            ref other => panic!("{other:?} for a publisher"),
        }
        Ok(())
    }

    fn land(&mut self, id: u16, code: ReasonCode) {
        let Some(flight) = self.flights.remove(&id) else { return };
        self.order.retain(|other| *other != id);
        if code.is_error() {
            self.refused.push(code);
        } else {
            self.acknowledged.insert(flight.number);
        }
    }
}

use std::collections::{BTreeMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{Ack, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName, Version};
use portcullis_tests::{Client, PATIENCE, Received};

use crate::clock::Tick;
use crate::fault::Kind;
use crate::key::Key;
use crate::random::Random;
use crate::session::{Gone, Session, Surroundings, leave};

/// What a publisher is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) version: Version,
    /// QoS of its messages; `None` for 1 and 2 mixed.
    pub(crate) qos: Option<QoS>,
    /// Whether its messages are retained; some then have no payload, which clears the topic.
    pub(crate) retains: bool,
    /// Topics that it publishes to.
    pub(crate) topics: u16,
    /// Messages on their way at a time.
    pub(crate) window: usize,
    /// Packet identifiers that it uses; few are used again soon.
    pub(crate) identifiers: u16,
}

/// A publisher with a session that lasts: what is not acknowledged it sends again, as MQTT asks.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) index: u16,
    pub(crate) habits: Habits,
    pub(crate) session: Session,
    /// Everything ever sent, by number.
    pub(crate) sent: Vec<Sent>,
    pub(crate) repeated: u64,
    next_id: u16,
    /// What is under way: packet identifier to number.
    flights: BTreeMap<u16, u32>,
    /// Identifiers in the order in which they were sent first.
    order: VecDeque<u16>,
}

/// One message, from the publisher's side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: u16,
    pub(crate) qos: QoS,
    /// Retained, and without payload.
    pub(crate) clears: bool,
    pub(crate) packet_id: u16,
    /// Before it was sent first.
    pub(crate) first: Tick,
    /// After PUBACK or PUBREC that promised it.
    pub(crate) promised: Option<Tick>,
    /// After PUBACK or PUBCOMP.
    pub(crate) done: Option<Tick>,
    /// The gateway would not have it.
    pub(crate) refused: bool,
}

impl Publisher {
    pub(crate) fn new(index: u16, habits: Habits) -> Self {
        Self {
            index,
            habits,
            session: Session::new(format!("publisher-{index}"), habits.version, None),
            sent: Vec::new(),
            repeated: 0,
            next_id: 0,
            flights: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The topic with that number.
    pub(crate) fn topic(&self, number: u16) -> String {
        let kind = if self.habits.retains { "r" } else { "m" };
        format!("{kind}/{}/{number}", self.index)
    }

    /// The filter for all its topics.
    pub(crate) fn filter(index: u16) -> String {
        if index.is_multiple_of(2) { format!("m/{index}/#") } else { format!("m/{index}/+") }
    }

    /// Publishes until the gateway is gone or time is over.
    pub(crate) fn run(
        &mut self,
        place: &Surroundings<'_>,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let hurried = random.chance(100);
        while !place.is_over() {
            let mut client = self.session.connect(place, false)?;
            self.resume(&mut client)?;
            while !place.is_over() && !random.chance(2) {
                let pause = if hurried { 1 } else { random.between(4, 24) };
                self.burst(&mut client, place, random)?;
                self.listen(&mut client, place, Duration::from_millis(pause))?;
            }
            if random.chance(500) {
                leave(client)?;
            }
        }
        Ok(())
    }

    /// Sends what is under way again, and waits until all of it is done.
    pub(crate) fn finish(&mut self, place: &Surroundings<'_>) -> Result<(), Gone> {
        let mut client = self.session.connect(place, false)?;
        self.resume(&mut client)?;
        let until = Instant::now() + PATIENCE;
        while !self.flights.is_empty() {
            assert!(Instant::now() < until, "publisher {} gets no answer", self.index);
            self.listen(&mut client, place, Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn burst(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        for _ in 0..random.between(1, 8) {
            if self.flights.len() >= self.habits.window {
                break;
            }
            let id = self.take_off(place, random);
            self.write(id, false, &mut bytes);
        }
        Ok(client.send_raw(&bytes)?)
    }

    fn take_off(&mut self, place: &Surroundings<'_>, random: &mut Random) -> u16 {
        loop {
            self.next_id = self.next_id % self.habits.identifiers + 1;
            if !self.flights.contains_key(&self.next_id) {
                break;
            }
        }
        let either = [QoS::AtLeastOnce, QoS::ExactlyOnce];
        let mixed = either[usize::from(random.chance(500))];
        let topic = u16::try_from(random.below(self.habits.topics.into())).unwrap_or_default();
        let number = u32::try_from(self.sent.len()).expect("a run is short enough");
        self.sent.push(Sent {
            topic,
            qos: self.habits.qos.unwrap_or(mixed),
            clears: self.habits.retains && random.chance(250),
            packet_id: self.next_id,
            first: place.tick(),
            promised: None,
            done: None,
            refused: false,
        });
        self.flights.insert(self.next_id, number);
        self.order.push_back(self.next_id);
        self.next_id
    }

    /// The key of the message under way with this identifier, and what is known of it.
    fn flight(&mut self, id: u16) -> Option<&mut Sent> {
        self.sent.get_mut(*self.flights.get(&id)? as usize)
    }

    fn write(&self, id: u16, dup: bool, bytes: &mut Vec<u8>) {
        let number = self.flights[&id];
        let sent = &self.sent[number as usize];
        let packet_id = PacketId::new(id).expect("it is not 0");
        let topic = self.topic(sent.topic);
        let key = Key { publisher: self.index, number };
        let payload = if sent.clears { Vec::new() } else { key.payload() };
        let packet = if sent.qos == QoS::ExactlyOnce && sent.promised.is_some() {
            Packet::PubRel(Ack::new(packet_id, ReasonCode::Success))
        } else {
            Packet::Publish(Publish {
                dup,
                qos: sent.qos,
                retain: self.habits.retains,
                packet_id: Some(packet_id),
                ..Publish::new(TopicName::new(&topic).expect("a topic"), &payload)
            })
        };
        packet.encode(self.habits.version, bytes).expect("a packet that can be sent");
    }

    fn resume(&mut self, client: &mut Client) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        for id in &self.order {
            self.write(*id, true, &mut bytes);
        }
        self.repeated += self.order.len() as u64;
        Ok(client.send_raw(&bytes)?)
    }

    /// Takes what comes for a while.
    fn listen(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        time: Duration,
    ) -> Result<(), Gone> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(received) = client.receive_within(left) else { return Ok(()) };
            self.take(client, place, &received)?;
            if self.flights.is_empty() {
                thread::sleep(until.saturating_duration_since(Instant::now()));
                return Ok(());
            }
        }
    }

    fn take(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        received: &Received,
    ) -> Result<(), Gone> {
        match *received {
            Received::Ack(PacketKind::PubAck, id, code) => self.land(id, place.tick(), code),
            Received::Ack(PacketKind::PubRec, id, code) if code.is_error() => {
                self.land(id, place.tick(), code);
            }
            Received::Ack(PacketKind::PubRec, id, _) => {
                let now = place.tick();
                if let Some(sent) = self.flight(id) {
                    sent.promised.get_or_insert(now);
                }
                client.ack(PacketKind::PubRel, id)?;
            }
            Received::Ack(PacketKind::PubComp, id, _) => {
                self.land(id, place.tick(), ReasonCode::Success);
            }
            Received::Closed | Received::Disconnect(_) => return Err(Gone),
            ref other => {
                let evidence = format!("{} hears {other:?}", self.session.client_id);
                self.session.faults.add(Kind::Corrupt, evidence);
            }
        }
        Ok(())
    }

    fn land(&mut self, id: u16, now: Tick, code: ReasonCode) {
        if let Some(sent) = self.flight(id) {
            sent.done = Some(now);
            sent.refused = code.is_error();
            if !sent.refused {
                sent.promised.get_or_insert(now);
            }
        }
        self.flights.remove(&id);
        self.order.retain(|other| *other != id);
    }
}

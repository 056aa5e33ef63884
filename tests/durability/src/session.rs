use std::sync::atomic::{AtomicBool, Ordering};

use mqtt::{
    Connect, ConnectProperties, Disconnect, MessageProperties, Packet, QoS, ReasonCode, TopicName,
    Version, Will,
};
use portcullis_tests::{Client, PATIENCE, Received, Wire};

use crate::clock::{Clock, Tick};
use crate::fault::{Faults, Kind};

/// Where the gateway is, and what time it is.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) port: u16,
    pub(crate) clock: &'a Clock,
    /// Set when clients are to come to an end.
    pub(crate) over: AtomicBool,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn new(port: u16, clock: &'a Clock) -> Self {
        Self { port, clock, over: AtomicBool::new(false) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn tick(&self) -> Tick {
        self.clock.tick()
    }
}

/// The connection is gone: the gateway was killed, or closed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// A session that outlives its connections, as its client knows it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: String,
    pub(crate) version: Version,
    receive_maximum: Option<u16>,
    /// One after the other: each began with a clean start and ended the one before.
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) faults: Faults,
    pub(crate) resumed: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    /// Before the CONNECT that asked for it first.
    pub(crate) asked: Tick,
    /// After the CONNACK that promised it.
    pub(crate) begun: Option<Tick>,
}

/// The will of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Testament {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

impl Session {
    pub(crate) fn new(client_id: String, version: Version, receive_maximum: Option<u16>) -> Self {
        let (epochs, faults) = (Vec::new(), Faults::default());
        Self { client_id, version, receive_maximum, epochs, faults, resumed: 0 }
    }

    /// Connects: to the session that there is, or, if there is none or `afresh` asks for it, with a new one.
    pub(crate) fn connect(
        &mut self,
        place: &Surroundings<'_>,
        afresh: bool,
    ) -> Result<Client, Gone> {
        if self.epochs.last().is_some_and(|epoch| epoch.begun.is_some()) && !afresh {
            return self.resume(place);
        }
        // An attempt that was not answered may have ended the session before, so it is made again.
        if self.epochs.last().is_none_or(|epoch| epoch.begun.is_some()) {
            self.epochs.push(Epoch { asked: place.tick(), begun: None });
        }
        let (mut client, mut present) = self.open(place, true, None)?;
        if !self.version.is_v5() {
            // In 3.1.1 a clean session ends with its connection; what lasts is begun by the next.
            leave(client)?;
            (client, present) = self.open(place, false, None)?;
        }
        if present {
            let evidence = format!("{} finds a session after a clean start", self.client_id);
            self.faults.add(Kind::Resurrected, evidence);
        }
        if let Some(epoch) = self.epochs.last_mut() {
            epoch.begun = Some(place.tick());
        }
        Ok(client)
    }

    /// The epoch that the client is in.
    pub(crate) fn epoch(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    fn resume(&mut self, place: &Surroundings<'_>) -> Result<Client, Gone> {
        let (client, present) = self.open(place, false, None)?;
        self.resumed += 1;
        if !present {
            let evidence = format!("{} does not find its session again", self.client_id);
            self.faults.add(Kind::Lost, evidence);
        }
        Ok(client)
    }

    /// A connection that was let in, and whether there was a session.
    pub(crate) fn open(
        &self,
        place: &Surroundings<'_>,
        clean_start: bool,
        will: Option<&Testament>,
    ) -> Result<(Client, bool), Gone> {
        let mut client = Client::on(Wire::plain(place.port)?, self.version);
        let will = will.map(|will| Will {
            topic: TopicName::new(&will.topic).expect("a topic"),
            payload: &will.payload,
            qos: QoS::ExactlyOnce,
            retain: false,
            delay: 0,
            message_expiry: None,
            properties: MessageProperties::default(),
        });
        let properties = ConnectProperties {
            session_expiry: self.version.is_v5().then_some(86_400),
            receive_maximum: self.receive_maximum.filter(|_| self.version.is_v5()),
            ..ConnectProperties::default()
        };
        client.send(&Packet::Connect(Box::new(Connect {
            version: self.version,
            client_id: &self.client_id,
            clean_start,
            keep_alive: 0,
            username: None,
            password: None,
            will,
            properties,
        })))?;
        match client.receive_within(PATIENCE) {
            Some(Received::ConnAck(ReasonCode::Success, present)) => Ok((client, present)),
            Some(Received::Closed | Received::Disconnect(_)) => Err(Gone),
            other => panic!("{} hears {other:?} instead of CONNACK", self.client_id),
        }
    }
}

/// DISCONNECT, and until the gateway has closed.
pub(crate) fn leave(mut client: Client) -> Result<(), Gone> {
    client.send(&Packet::Disconnect(Disconnect::default()))?;
    loop {
        match client.receive_within(PATIENCE) {
            Some(Received::Closed) => return Ok(()),
            Some(_) => {}
            None => panic!("the gateway does not close after DISCONNECT"),
        }
    }
}

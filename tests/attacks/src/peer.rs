use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use mqtt::{Decoded, Decoder, ReasonCode, Version};
use portcullis_tests::Received;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::field::Field;
use crate::packets::Connect;
use crate::tally::{Tally, outcome};

/// How long an attacker waits for an answer to its CONNECT.
const ANSWER: Duration = Duration::from_secs(15);

/// Bytes that are read at a time.
const READ: usize = 64 * 1024;

/// A connection to the plain port that speaks MQTT 5. It sends what it is given and counts what comes.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
    unread: Vec<u8>,
    /// What of `unread` has been decoded.
    decoded: usize,
    until: Instant,
}

impl Peer {
    /// On a connection on which nothing was sent.
    pub(crate) fn on(stream: TcpStream, field: &Field) -> Self {
        let mut decoder = Decoder::new(mqtt::limits::VARINT_MAX);
        decoder.set_version(Version::V5);
        Self { stream, decoder, unread: Vec::new(), decoded: 0, until: field.until() }
    }

    /// Comes in as the client that means harm, or says what came instead.
    pub(crate) async fn enter(field: &Field, client_id: &str) -> Result<Self, String> {
        Self::enter_from(field, field.source(), client_id, Connect::default()).await
    }

    /// As [`Peer::enter`] from this address, with what else is in `connect`.
    pub(crate) async fn enter_from(
        field: &Field,
        from: Ipv4Addr,
        client_id: &str,
        connect: Connect<'_>,
    ) -> Result<Self, String> {
        let connect =
            Connect { client_id, user: &field.user, password: &field.password, ..connect };
        let dialled = field.dial_from(from, field.doors.plain).await;
        let stream = dialled.map_err(|error| format!("not accepted: {:?}", error.kind()))?;
        let mut peer = Self::on(stream, field);
        peer.send(&connect.bytes()).await.map_err(|_| "closed before CONNACK".to_owned())?;
        match peer.receive(ANSWER).await {
            Some(Received::ConnAck(ReasonCode::Success, _)) => Ok(peer),
            Some(other) => Err(outcome(&other)),
            None => Err("no CONNACK in time".to_owned()),
        }
    }

    /// Sends bytes, until the attack is over.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout_at(self.until, self.stream.write_all(bytes)).await?
    }

    /// The next packet, if it comes in time and before the attack is over.
    pub(crate) async fn receive(&mut self, patience: Duration) -> Option<Received> {
        let until = (Instant::now() + patience).min(self.until);
        loop {
            if let Some(received) = self.buffered() {
                return Some(received);
            }
            let mut bytes = vec![0; READ];
            match timeout_at(until, self.stream.read(&mut bytes)).await {
                Err(_) => return None,
                Ok(Ok(0) | Err(_)) => return Some(Received::Closed),
                Ok(Ok(count)) => self.unread.extend(bytes.iter().take(count)),
            }
        }
    }

    /// Counts all that has come, without waiting; false once the connection is over.
    pub(crate) fn hear(&mut self, tally: &mut Tally) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            let over = match self.stream.try_read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(0) | Err(_) => true,
                Ok(count) => {
                    self.unread.extend(bytes.iter().take(count));
                    false
                }
            };
            while let Some(received) = self.buffered() {
                tally.hear(&received);
            }
            if over {
                tally.note("closed");
                return false;
            }
        }
    }

    /// Reads until the attack or the connection is over, and looks at nothing; gives how many bytes there were.
    pub(crate) async fn drain(&mut self) -> u64 {
        let (mut bytes, mut total) = (vec![0; READ], 0);
        while let Ok(Ok(count @ 1..)) = timeout_at(self.until, self.stream.read(&mut bytes)).await {
            total += count as u64;
        }
        total
    }

    /// The next packet, if it has been read already.
    fn buffered(&mut self) -> Option<Received> {
        let unread = self.unread.get(self.decoded..).unwrap_or_default();
        match self.decoder.decode(unread) {
            Ok(Decoded::Packet { packet, len }) => {
                let received = Received::from(&packet);
                self.decoded += len;
                Some(received)
            }
            Ok(Decoded::Incomplete { .. }) => {
                self.unread.drain(..self.decoded);
                self.decoded = 0;
                None
            }
            Err(_) => {
                self.unread.clear();
                self.decoded = 0;
                Some(Received::Closed)
            }
        }
    }

    /// Counts all that comes until nothing has for a while.
    pub(crate) async fn hear_out(&mut self, patience: Duration, tally: &mut Tally) {
        while let Some(received) = self.receive(patience).await {
            tally.hear(&received);
            if received == Received::Closed {
                return;
            }
        }
    }
}

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use mqtt::{PacketKind, QoS};

use crate::client::Client;
use crate::received::Received;

/// A receiver of the numbered messages of a [`Publisher`](crate::Publisher). What it knows outlives a
/// connection, as MQTT asks of the client's side of a session: a QoS 2 message that comes again under the
/// same identifier before it was released counts once.
#[derive(Debug, Default)]
pub struct Subscriber {
    /// The numbers in the order of arrival.
    pub numbers: Vec<u64>,
    unreleased: BTreeSet<u16>,
}

impl Subscriber {
    /// Receives and acknowledges until nothing has come for `quiet`.
    ///
    /// # Errors
    /// If the connection breaks; over another one it goes on.
    pub fn receive(&mut self, client: &mut Client, quiet: Duration) -> io::Result<()> {
        while let Some(received) = client.receive_within(quiet) {
            match received {
                Received::Publish(message) => {
                    if message.qos != QoS::ExactlyOnce || self.unreleased.insert(message.id) {
                        self.numbers.push(number(&message.payload));
                    }
                    client.acknowledge(&message)?;
                }
                Received::Ack(PacketKind::PubRel, id, _) => {
                    self.unreleased.remove(&id);
                    client.ack(PacketKind::PubComp, id)?;
                }
                Received::Closed => return Err(io::ErrorKind::ConnectionAborted.into()),
                other => panic!("{other:?} for a subscriber"),
            }
        }
        Ok(())
    }
}

/// Receives over a connection that stays until nothing has come for `quiet`; gives the numbers.
pub fn collect(client: &mut Client, quiet: Duration) -> Vec<u64> {
    let mut subscriber = Subscriber::default();
    subscriber.receive(client, quiet).expect("the connection stays");
    subscriber.numbers
}

/// The number that a payload of a [`Publisher`](crate::Publisher) holds.
pub fn number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).expect("a payload of ours");
    text.trim_end_matches('.').parse().expect("a number")
}

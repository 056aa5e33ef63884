//! Messages, more than anybody wants.

use std::sync::Arc;
use std::time::Duration;

use portcullis_tests::Received;

use crate::crowd::crowd;
use crate::field::Field;
use crate::pace::Pace;
use crate::packets::{Connect, Message};
use crate::peer::Peer;
use crate::tally::Tally;
use crate::topics::{entered, sit, subscribed};

/// Payload of most messages, in bytes.
const KIB: [u8; 1024] = [7; 1024];

/// Acknowledgements that may be awaited. The gateway's default allows 1,000.
const WINDOW: u32 = 800;

/// Packet identifiers that are used in turn.
const IDS: u32 = 50_000;

/// How long somebody waits for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(10);

/// Publishers, and a subscriber for each.
pub(crate) fn flood(field: &Arc<Field>) -> Tally {
    const TOGETHER: usize = 40;
    crowd(field, 4, |client| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let (name, topic) =
                (format!("flood-{client}"), format!("mallory/flood/{}", client / 2));
            let Some(mut peer) = entered(&field, &name, &mut tally).await else { return tally };
            if client % 2 == 1 {
                if subscribed(&mut peer, topic, 0, &mut tally).await {
                    tally.add("delivered KiB", peer.drain().await / 1024);
                }
                return tally;
            }
            let bytes = Message::new(&topic, &KIB).bytes().repeat(TOGETHER);
            let mut pace = Pace::new(1000);
            loop {
                pace.next().await;
                if field.is_over() || peer.send(&bytes).await.is_err() || !peer.hear(&mut tally) {
                    return tally;
                }
                tally.add("published", TOGETHER as u64);
            }
        }
    })
}

/// A retained message for each topic.
pub(crate) fn retained(field: &Arc<Field>) -> Tally {
    crowd(field, 1, |_| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let Some(mut peer) = entered(&field, "retained", &mut tally).await else {
                return tally;
            };
            let mut window = Window::default();
            for first in (0..).step_by(100) {
                let mut bytes = Vec::new();
                for number in first..first + 100 {
                    let topic = format!("mallory/retained/{number}");
                    Message::new(&topic, &KIB[..64]).at(1, id(number)).retained().write(&mut bytes);
                }
                if field.is_over() || !window.send(&mut peer, &bytes, 100, &mut tally).await {
                    break;
                }
            }
            tally
        }
    })
}

/// Messages for two who do not read.
pub(crate) fn slow_reader(field: &Arc<Field>) -> Tally {
    crowd(field, 3, |client| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let (name, qos) = (format!("reader-{client}"), u8::from(client == 1));
            let connect = Connect { session_expiry: 60 * u32::from(qos), ..Connect::default() };
            let entered = Peer::enter_from(&field, field.source(), &name, connect).await;
            let mut peer = match entered {
                Ok(peer) => peer,
                Err(why) => {
                    tally.note(&why);
                    return tally;
                }
            };
            tally.note("let in");
            if client > 0 {
                subscribed(&mut peer, "mallory/slow/#".to_owned(), qos, &mut tally).await;
                sit(&field).await;
                return tally;
            }
            // The others are to be there.
            tokio::time::sleep(Duration::from_millis(300)).await;
            publish_to_all(&field, &mut peer, &mut tally).await;
            tally
        }
    })
}

async fn publish_to_all(field: &Field, peer: &mut Peer, tally: &mut Tally) {
    let (mut window, mut pace) = (Window::default(), Pace::new(100));
    for first in (0..).step_by(50) {
        pace.next().await;
        let mut bytes = Vec::new();
        for number in first..first + 50 {
            Message::new("mallory/slow/0", &KIB).write(&mut bytes);
            Message::new("mallory/slow/1", &KIB).at(1, id(number)).write(&mut bytes);
        }
        if field.is_over() || !window.send(peer, &bytes, 50, tally).await {
            return;
        }
    }
}

fn id(number: u32) -> u16 {
    u16::try_from(number % IDS + 1).unwrap_or(1)
}

/// Publishes that are not acknowledged.
#[derive(Debug, Default)]
struct Window(u32);

impl Window {
    /// Sends so many publishes, and reads until there is room for more; false once the connection is over.
    async fn send(&mut self, peer: &mut Peer, bytes: &[u8], count: u32, tally: &mut Tally) -> bool {
        if peer.send(bytes).await.is_err() {
            tally.note("cut off");
            return false;
        }
        self.0 += count;
        while self.0 > WINDOW {
            let Some(received) = peer.receive(PATIENCE).await else { return false };
            tally.hear(&received);
            match received {
                Received::Ack(..) => self.0 -= 1,
                Received::Closed => return false,
                _ => {}
            }
        }
        true
    }
}

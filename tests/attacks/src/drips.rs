//! Bytes that come one by one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::crowd::crowd;
use crate::field::Field;
use crate::packets::{Connect, Message};
use crate::peer::Peer;
use crate::storm::{Size, storm};
use crate::tally::Tally;

/// Between two bytes of a CONNECT.
const CONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Between two bytes of a PUBLISH.
const PUBLISH_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a PUBLISH that come slowly; all before them come at once, and have to be kept.
const LAST: usize = 2048;

/// A little less than a packet may have.
const PAYLOAD: usize = 1_000_000;

/// CONNECT, byte by byte.
pub(crate) fn connect(field: &Arc<Field>) -> Tally {
    storm(field, Size { rate: 250, at_once: 500 }, |number| {
        let field = Arc::clone(field);
        async move {
            let port = if number % 2 == 0 { field.doors.plain } else { field.doors.web };
            let Ok(stream) = field.dial(port).await else { return "not accepted".to_owned() };
            let mut peer = Peer::on(stream, &field);
            let client_id = "slow".repeat(50);
            let connect = Connect { client_id: &client_id, user: "slow", ..Connect::default() };
            for byte in connect.bytes() {
                if field.is_over() {
                    return "kept".to_owned();
                }
                if peer.send(&[byte]).await.is_err() || !peer.hear(&mut Tally::default()) {
                    return "cut off".to_owned();
                }
                sleep(CONNECT_PAUSE).await;
            }
            "heard out".to_owned()
        }
    })
}

/// The end of a large PUBLISH, byte by byte.
pub(crate) fn publish(field: &Arc<Field>) -> Tally {
    crowd(field, 20, |number| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let mut peer = match Peer::enter(&field, &format!("drip-{number}")).await {
                Ok(peer) => peer,
                Err(why) => {
                    tally.note(&why);
                    return tally;
                }
            };
            tally.note("let in");
            let bytes = Message::new("mallory/drip", &vec![7; PAYLOAD]).bytes();
            let (first, last) = bytes.split_at(bytes.len() - LAST);
            if peer.send(first).await.is_err() {
                tally.note("cut off");
                return tally;
            }
            for byte in last {
                if field.is_over() {
                    tally.note("kept");
                    return tally;
                }
                if peer.send(&[*byte]).await.is_err() || !peer.hear(&mut tally) {
                    tally.note("cut off");
                    return tally;
                }
                sleep(PUBLISH_PAUSE).await;
            }
            tally.note("published");
            tally
        }
    })
}

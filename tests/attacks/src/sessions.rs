//! What the broker is to keep for somebody.

use std::sync::Arc;
use std::time::Duration;

use crate::crowd::crowd;
use crate::field::Field;
use crate::packets::{Connect, Message, subscribe};
use crate::peer::Peer;
use crate::storm::{Size, storm};
use crate::tally::Tally;

/// For how long a session is to be kept.
const HOUR: u32 = 3600;

/// How long an attacker waits for what else comes.
const QUIET: Duration = Duration::from_secs(1);

/// More than a client may have unreleased.
const UNRELEASED: u16 = 1100;

/// QoS 2 publishes, and no PUBREL.
pub(crate) fn unreleased(field: &Arc<Field>) -> Tally {
    crowd(field, 10, |client| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            for round in 0.. {
                if field.is_over() {
                    break;
                }
                let connect = Connect { session_expiry: HOUR, ..Connect::default() };
                let client_id = format!("unreleased-{client}-{round}");
                match Peer::enter_from(&field, field.source(), &client_id, connect).await {
                    Ok(mut peer) => {
                        tally.note("let in");
                        publish_all(&mut peer, &mut tally).await;
                    }
                    Err(why) => tally.note(&why),
                }
            }
            tally
        }
    })
}

async fn publish_all(peer: &mut Peer, tally: &mut Tally) {
    let payload = [7; 256];
    for first in (1..=UNRELEASED).step_by(100) {
        let mut bytes = Vec::new();
        for id in first..first + 100 {
            Message::new("mallory/unreleased", &payload).at(2, id).write(&mut bytes);
        }
        if peer.send(&bytes).await.is_err() || !peer.hear(tally) {
            return;
        }
    }
    peer.hear_out(QUIET, tally).await;
}

/// Sessions that nobody comes back for.
pub(crate) fn abandoned(field: &Arc<Field>) -> Tally {
    storm(field, Size { rate: 30, at_once: 64 }, |number| {
        let field = Arc::clone(field);
        async move {
            let connect = Connect { session_expiry: HOUR, ..Connect::default() };
            let client_id = format!("abandoned-{number}");
            let mut peer = match Peer::enter_from(&field, field.source(), &client_id, connect).await
            {
                Ok(peer) => peer,
                Err(why) => return why,
            };
            let filters: Vec<String> =
                (0..100).map(|at| format!("mallory/{number}/{at}/+")).collect();
            if peer.send(&subscribe(1, &filters, 1)).await.is_err() {
                return "closed before SUBSCRIBE".to_owned();
            }
            match peer.receive(Duration::from_secs(5)).await {
                Some(_) => "left a session".to_owned(),
                None => "no SUBACK".to_owned(),
            }
        }
    })
}

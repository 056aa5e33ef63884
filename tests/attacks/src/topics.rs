//! Topics and filters that are many, long or cunning.

use std::sync::Arc;
use std::time::Duration;

use portcullis_tests::{Dice, Received};
use tokio::time::sleep_until;

use crate::crowd::crowd;
use crate::field::Field;
use crate::pace::Pace;
use crate::packets::{Message, subscribe, unsubscribe};
use crate::peer::Peer;
use crate::tally::Tally;

/// How long somebody waits for a last word.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Filters of one SUBSCRIBE.
const TOGETHER: usize = 100;

/// Levels of a topic that is deep and allowed.
const DEEP: usize = 128;

/// More filters than a client may have, and then filters that come and go.
pub(crate) fn bomb(field: &Arc<Field>) -> Tally {
    crowd(field, 4, |client| {
        let field = Arc::clone(field);
        async move {
            let filters: Vec<String> =
                (0..2000).map(|number| format!("mallory/+/{client}/{number}/+/#")).collect();
            let mut tally = Tally::default();
            let Some(mut peer) = entered(&field, &format!("bomb-{client}"), &mut tally).await
            else {
                return tally;
            };
            for (id, part) in (1..).zip(filters.chunks(TOGETHER)) {
                if peer.send(&subscribe(id, part, 1)).await.is_err() {
                    return tally;
                }
            }
            let mut pace = Pace::new(200);
            for (id, part) in (100..u16::MAX).zip(filters.chunks(TOGETHER).take(10).cycle()) {
                pace.next().await;
                let change = [unsubscribe(id, part), subscribe(id, part, 1)].concat();
                if field.is_over() || peer.send(&change).await.is_err() || !peer.hear(&mut tally) {
                    break;
                }
            }
            tally
        }
    })
}

/// Topics of many levels and many bytes, some of them more than is allowed.
pub(crate) fn deep(field: &Arc<Field>) -> Tally {
    crowd(field, 4, |client| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let (levels, length) = [(DEEP, 1), (199, 1), (150, 430), (32_764, 1)][client % 4];
            let level = format!("/{}", "a".repeat(length));
            let topic = format!("mallory{}", level.repeat(levels - 1));
            let bytes = Message::new(&topic, b"x").at(1, 1).bytes();
            let (mut again, mut pace) = (Pace::new(2), Pace::new(500));
            while !field.is_over() {
                again.next().await;
                let name = format!("deep-{client}");
                let Some(mut peer) = entered(&field, &name, &mut tally).await else { continue };
                while !field.is_over() {
                    pace.next().await;
                    if peer.send(&bytes).await.is_err() || !peer.hear(&mut tally) {
                        break;
                    }
                }
            }
            tally
        }
    })
}

/// Filters that share no path and all match, and topics that no route is known of.
pub(crate) fn maze(field: &Arc<Field>) -> Tally {
    crowd(field, 1, |_| {
        let field = Arc::clone(field);
        async move {
            let mut dice = Dice::new(5);
            let mut filter = || {
                let level = |_| if dice.between(0, 1) == 0 { "/a" } else { "/+" };
                let levels: String = (2..DEEP).map(level).collect();
                format!("mallory{levels}/+")
            };
            let filters: Vec<String> = (0..1000).map(|_| filter()).collect();
            let mut tally = Tally::default();
            let Some(mut peer) = entered(&field, "maze", &mut tally).await else { return tally };
            for (id, part) in (1..).zip(filters.chunks(TOGETHER)) {
                if peer.send(&subscribe(id, part, 0)).await.is_err() {
                    return tally;
                }
            }
            let way = format!("mallory{}", "/a".repeat(DEEP - 2));
            let mut pace = Pace::new(200);
            for number in 0.. {
                pace.next().await;
                let message = Message::new(&format!("{way}/{number}"), b"x").bytes();
                if field.is_over() || peer.send(&message).await.is_err() || !peer.hear(&mut tally) {
                    break;
                }
                tally.note("published");
            }
            tally
        }
    })
}

/// Aliases of long topics.
pub(crate) fn aliases(field: &Arc<Field>) -> Tally {
    crowd(field, 10, |client| {
        let field = Arc::clone(field);
        async move {
            let (mut tally, mut pace) = (Tally::default(), Pace::new(20));
            while !field.is_over() {
                let name = format!("alias-{client}");
                pace.next().await;
                let Some(mut peer) = entered(&field, &name, &mut tally).await else { continue };
                for number in 0..100_u8 {
                    pace.next().await;
                    // The last one is more than is allowed.
                    let alias = if number == 99 { 33 } else { number % 32 + 1 };
                    let topic = format!("mallory/{number}/{}", "x".repeat(60_000));
                    let properties = [0x23, 0, alias];
                    let message = Message { properties: &properties, ..Message::new(&topic, b"x") };
                    if field.is_over() || peer.send(&message.bytes()).await.is_err() {
                        break;
                    }
                    tally.note("published");
                }
                peer.hear_out(LAST_WORD, &mut tally).await;
            }
            tally
        }
    })
}

/// Members of a group that come and go.
pub(crate) fn churn(field: &Arc<Field>) -> Tally {
    crowd(field, 5, |client| {
        let field = Arc::clone(field);
        async move {
            let mut tally = Tally::default();
            let name = format!("churn-{client}");
            let Some(mut peer) = entered(&field, &name, &mut tally).await else { return tally };
            let filters =
                ["$share/one/mallory/share/#".to_owned(), "$share/two/mallory/+/x".to_owned()];
            let message = Message::new("mallory/share/x", b"x").bytes();
            let mut pace = Pace::new(200);
            for id in 1..u16::MAX {
                pace.next().await;
                let bytes = match client {
                    0 => message.repeat(5),
                    _ if id % 2 == 1 => subscribe(id, &filters, 0),
                    _ => unsubscribe(id, &filters),
                };
                if field.is_over() || peer.send(&bytes).await.is_err() || !peer.hear(&mut tally) {
                    break;
                }
            }
            tally
        }
    })
}

/// A client that is in. Otherwise what came instead is counted.
pub(crate) async fn entered(field: &Field, client_id: &str, tally: &mut Tally) -> Option<Peer> {
    match Peer::enter(field, client_id).await {
        Ok(peer) => {
            tally.note("let in");
            Some(peer)
        }
        Err(why) => {
            tally.note(&why);
            None
        }
    }
}

/// A client that is in and subscribes.
pub(crate) async fn subscribed(
    peer: &mut Peer,
    filter: String,
    qos: u8,
    tally: &mut Tally,
) -> bool {
    let sent = peer.send(&subscribe(1, &[filter], qos)).await;
    let answer = peer.receive(LAST_WORD * 10).await;
    if let Some(answer) = &answer {
        tally.hear(answer);
    }
    sent.is_ok() && matches!(answer, Some(Received::SubAck(_)))
}

/// Does nothing until the attack is over.
pub(crate) async fn sit(field: &Field) {
    sleep_until(field.until()).await;
}

//! Who comes and goes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::crowd::crowd;
use crate::field::Field;
use crate::pace::Pace;
use crate::packets::{Connect, DISCONNECT};
use crate::peer::Peer;
use crate::storm::{Size, storm};
use crate::tally::{Tally, outcome};

/// Where somebody lives who does not hide.
const HOME: Ipv4Addr = Ipv4Addr::new(127, 9, 200, 1);

/// How long somebody waits who does not expect to be let in.
const PATIENCE: Duration = Duration::from_secs(15);

/// Guesses, each by somebody else from elsewhere.
pub(crate) fn passwords(field: &Arc<Field>) -> Tally {
    storm(field, Size { rate: 200, at_once: 512 }, |number| {
        let field = Arc::clone(field);
        async move {
            let Ok(stream) = field.dial(field.doors.plain).await else {
                return "not accepted".to_owned();
            };
            let mut peer = Peer::on(stream, &field);
            // Half of the users exist.
            let name = format!("user-{number}");
            let user = if number % 2 == 0 { &field.user } else { &name };
            let (client_id, password) = (format!("guess-{number}"), format!("{number}"));
            let connect =
                Connect { client_id: &client_id, user, password: &password, ..Connect::default() };
            if peer.send(&connect.bytes()).await.is_err() {
                return "closed before CONNECT".to_owned();
            }
            match peer.receive(PATIENCE).await {
                Some(received) => outcome(&received),
                None => "no answer to the end".to_owned(),
            }
        }
    })
}

/// In and out, from one address, under other names each time.
pub(crate) fn flapping(field: &Arc<Field>) -> Tally {
    visits(field, 1, 50, HOME, |_, round| format!("flapper-{}", round % 100))
}

/// All under one name.
pub(crate) fn takeover(field: &Arc<Field>) -> Tally {
    visits(field, 8, 10, Ipv4Addr::UNSPECIFIED, |_, _| "prize".to_owned())
}

/// So many clients come in so many times a second each, stay until their next visit, and go.
fn visits(
    field: &Arc<Field>,
    count: usize,
    rate: u32,
    from: Ipv4Addr,
    name: fn(usize, u64) -> String,
) -> Tally {
    crowd(field, count, |number| {
        let field = Arc::clone(field);
        async move {
            let (mut tally, mut pace) = (Tally::default(), Pace::new(rate));
            for round in 0.. {
                if field.is_over() {
                    break;
                }
                let from = if from.is_unspecified() { field.source() } else { from };
                let client_id = name(number, round);
                match Peer::enter_from(&field, from, &client_id, Connect::default()).await {
                    Err(why) => {
                        tally.note(&why);
                        pace.next().await;
                    }
                    Ok(mut peer) => {
                        tally.note("let in");
                        pace.next().await;
                        peer.hear(&mut tally);
                        // Somebody may have taken its place.
                        let _ = peer.send(&DISCONNECT).await;
                    }
                }
            }
            tally
        }
    })
}

/// Clients that vanish and leave a message.
pub(crate) fn wills(field: &Arc<Field>) -> Tally {
    let payload = Arc::new(vec![b'w'; 1024]);
    storm(field, Size { rate: 30, at_once: 64 }, |number| {
        let (field, payload) = (Arc::clone(field), Arc::clone(&payload));
        async move {
            let topic = format!("mallory/will/{number}");
            let connect = Connect { will: Some((&topic, &payload)), ..Connect::default() };
            let client_id = format!("ghost-{number}");
            match Peer::enter_from(&field, field.source(), &client_id, connect).await {
                Ok(_) => "left a will".to_owned(),
                Err(why) => why,
            }
        }
    })
}

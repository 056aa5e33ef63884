//! What a store holds, seen through a gateway that is started on it: what its clients hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::Duration;

use mqtt::{PacketKind, QoS, Version};
use portcullis_tests::Received;

use crate::cast::Cast;
use crate::clock::{Clock, Tick};
use crate::key::Key;
use crate::remains::{self, Remains};
use crate::retained;
use crate::session::{Gone, Session, Surroundings};
use crate::stage::Stage;
use crate::stored::{Entry, Stored, StoredSession};
use crate::subscriber::Subscriber;

/// Starts a gateway on what a power cut at `now` left; every subscriber comes back and takes all that there
/// is until nothing has come for `quiet`, without a memory of its own. Subscriptions and the publishers'
/// identifiers are not seen that way.
pub(crate) fn observe(
    stage: &Stage,
    remains: &Remains,
    cast: &Cast,
    now: Tick,
    quiet: Duration,
) -> Stored {
    let store = stage.store();
    fs::remove_dir_all(&store).expect("the store of an earlier cut goes");
    fs::create_dir_all(&store).expect("a folder for the store");
    remains::write(remains, &store);
    let mut gateway = stage.start();
    let clock = Clock::default();
    let place = Surroundings::new(stage.port, &clock);
    let mut stored = Stored { partial: true, ..Stored::default() };
    thread::scope(|scope| {
        let come_back =
            |it: &'_ Subscriber| come_back(it, &place, quiet).expect("the gateway stays");
        let threads: Vec<_> =
            cast.subscribers.iter().map(|it| (it, scope.spawn(move || come_back(it)))).collect();
        for (subscriber, thread) in threads {
            let found = thread.join().expect("a subscriber does not fail");
            let client_id = subscriber.session.client_id.clone();
            stored.sessions.extend(found.map(|found| (client_id, found)));
        }
    });
    stored.retained = retained_at(&place, cast, now).expect("the gateway stays");
    gateway.assert_sound();
    gateway.kill();
    stored
}

/// What the session holds; none if there is no session.
fn come_back(
    subscriber: &Subscriber,
    place: &Surroundings<'_>,
    quiet: Duration,
) -> Result<Option<StoredSession>, Gone> {
    let (mut client, present) = subscriber.session.open(place, false, None)?;
    if !present {
        return Ok(None);
    }
    let mut found = StoredSession::default();
    let mut begun = BTreeSet::new();
    while let Some(received) = client.receive_within(quiet) {
        match received {
            Received::Publish(message) => {
                found.queue.push(Entry {
                    packet_id: message.id,
                    qos: message.qos,
                    released: false,
                    key: Key::of(&message.payload),
                });
                if message.qos == QoS::ExactlyOnce {
                    begun.insert(message.id);
                }
                client.acknowledge(&message)?;
            }
            Received::Ack(PacketKind::PubRel, packet_id, _) => {
                if !begun.remove(&packet_id) {
                    let qos = QoS::ExactlyOnce;
                    found.queue.push(Entry { packet_id, qos, released: true, key: None });
                }
                client.ack(PacketKind::PubComp, packet_id)?;
            }
            Received::Closed | Received::Disconnect(_) => return Err(Gone),
            _ => {}
        }
    }
    Ok(Some(found))
}

fn retained_at(
    place: &Surroundings<'_>,
    cast: &Cast,
    now: Tick,
) -> Result<BTreeMap<String, Vec<u8>>, Gone> {
    let retaining: Vec<_> = cast.publishers.iter().filter(|it| it.habits.retains).collect();
    let session = Session::new("reader".to_owned(), Version::V3_1_1, None);
    retained::read(&session, place, &retaining, now)
}

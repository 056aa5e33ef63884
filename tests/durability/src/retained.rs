use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mqtt::{
    Packet, PacketId, QoS, Subscribe, SubscribeFiltersBuf, SubscribeOptions, TopicFilter,
    UserProperties, Version,
};
use portcullis_tests::{PATIENCE, Received};

use crate::clock::Tick;
use crate::fault::{Faults, Kind};
use crate::key::Key;
use crate::publisher::Publisher;
use crate::session::{Gone, Session, Surroundings};

/// How long nothing may come before all retained messages count as sent.
const QUIET: Duration = Duration::from_millis(300);

/// What a topic may hold.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    /// Messages that may be there.
    pub(crate) numbers: Vec<u32>,
    /// Whether there may be none.
    pub(crate) none: bool,
}

impl Allowed {
    /// What a topic of `publisher` may hold at a time: the last that was promised by `promised_by`, or
    /// what was sent later and before `sent_by`.
    pub(crate) fn of(publisher: &Publisher, topic: u16, promised_by: Tick, sent_by: Tick) -> Self {
        let mut allowed = Self { numbers: Vec::new(), none: true };
        for (number, sent) in (0..).zip(&publisher.sent) {
            if sent.topic != topic || sent.refused || sent.first > sent_by {
                continue;
            }
            if sent.promised.is_some_and(|at| at <= promised_by) {
                allowed = Self::default();
            }
            if sent.clears {
                allowed.none = true;
            } else {
                allowed.numbers.push(number);
            }
        }
        allowed
    }

    /// What is wrong with what was found.
    pub(crate) fn check(
        &self,
        topic: &str,
        found: Option<&[u8]>,
        publisher: u16,
        faults: &mut Faults,
    ) {
        let found = match found.map(Key::of) {
            None if self.none => return,
            None => {
                let evidence = format!("{topic} holds nothing; allowed are {:?}", self.numbers);
                return faults.add(Kind::Lost, evidence);
            }
            Some(None) => {
                return faults.add(Kind::Corrupt, format!("{topic} holds bytes nobody sent"));
            }
            Some(Some(key)) => key,
        };
        if found.publisher != publisher || !self.numbers.contains(&found.number) {
            let kind = if self.numbers.is_empty() { Kind::Resurrected } else { Kind::Lost };
            let evidence = format!(
                "{topic} holds {found}; allowed are {:?}{}",
                self.numbers,
                if self.none { " and nothing" } else { "" }
            );
            faults.add(kind, evidence);
        }
    }
}

/// Reads what the gateway has retained and compares it with what the publishers know.
pub(crate) fn check(
    place: &Surroundings<'_>,
    publishers: &[Publisher],
    faults: &mut Faults,
) -> Result<(), Gone> {
    let retaining: Vec<_> = publishers.iter().filter(|it| it.habits.retains).collect();
    // In 3.1.1 its session ends with its connection.
    let session = Session::new("reader".to_owned(), Version::V3_1_1, None);
    let asked = place.tick();
    let found = read(&session, place, &retaining, asked)?;
    let now = place.tick();
    for publisher in retaining {
        for number in 0..publisher.habits.topics {
            let topic = publisher.topic(number);
            let allowed = Allowed::of(publisher, number, asked, now);
            let payload = found.get(&topic).map(Vec::as_slice);
            allowed.check(&topic, payload, publisher.index, faults);
        }
    }
    Ok(())
}

/// What is retained; waits for all that must be there at `asked`.
pub(crate) fn read(
    session: &Session,
    place: &Surroundings<'_>,
    publishers: &[&Publisher],
    asked: Tick,
) -> Result<BTreeMap<String, Vec<u8>>, Gone> {
    let (mut client, _) = session.open(place, true, None)?;
    let mut filters = SubscribeFiltersBuf::default();
    let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() };
    filters.push(TopicFilter::new("r/#").expect("a filter"), options).expect("a subscription");
    client.send(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user: UserProperties::default(),
        filters: filters.as_ref(),
    }))?;
    let mut found = BTreeMap::new();
    let mut missing: Vec<_> = publishers.iter().flat_map(|it| certain(it, asked)).collect();
    let until = Instant::now() + PATIENCE;
    // A machine that is busy may take its time over what must come.
    while Instant::now() < until {
        let patience = if missing.is_empty() { QUIET } else { QUIET * 10 };
        match client.receive_within(patience) {
            Some(Received::Publish(message)) => {
                client.acknowledge(&message)?;
                missing.retain(|topic| *topic != message.topic);
                found.insert(message.topic, message.payload);
            }
            Some(Received::Closed | Received::Disconnect(_)) => return Err(Gone),
            Some(_) => {}
            None => break,
        }
    }
    Ok(found)
}

/// Topics that hold something, whatever became of what is under way.
fn certain(publisher: &Publisher, at: Tick) -> impl Iterator<Item = String> + use<'_> {
    let topics = 0..publisher.habits.topics;
    let held = topics.filter(move |topic| !Allowed::of(publisher, *topic, at, at).none);
    held.map(|topic| publisher.topic(topic))
}

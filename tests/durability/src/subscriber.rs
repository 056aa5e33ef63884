use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{
    Packet, PacketId, PacketKind, QoS, Subscribe, SubscribeFiltersBuf, SubscribeOptions,
    TopicFilter, Unsubscribe, UnsubscribeFiltersBuf, UserProperties, Version,
};
use portcullis_tests::{Client, Message, PATIENCE, Received};

use crate::clock::Tick;
use crate::fault::Kind;
use crate::key::Key;
use crate::random::Random;
use crate::session::{Gone, Session, Surroundings, leave};

/// What a subscriber is like.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    /// The publishers whose messages it subscribes to, and the filter for each.
    pub(crate) filters: Vec<(u16, String)>,
    /// Of a thousand lives of the gateway, in how many it connects at all.
    pub(crate) attendance: u64,
    /// Milliseconds that it takes over a message.
    pub(crate) sluggishness: u64,
    pub(crate) receive_maximum: Option<u16>,
    /// Whether it subscribes, unsubscribes and begins new sessions all the time.
    pub(crate) restless: bool,
}

/// A subscriber with a session that lasts.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) habits: Habits,
    pub(crate) session: Session,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Everything that arrived, repeats under an identifier that is not released left out.
    pub(crate) got: Vec<Got>,
    pub(crate) repeats: u64,
    /// The subscription that there is to each filter; of this epoch.
    current: Vec<Option<usize>>,
    /// QoS 2: identifiers that are not released, with the number in `got`.
    unreleased: BTreeMap<u16, usize>,
    /// SUBSCRIBE or UNSUBSCRIBE that is not answered: its number in `subscriptions`.
    asked: Option<usize>,
}

/// The life of one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) epoch: usize,
    /// Which of the habits' filters.
    pub(crate) filter: usize,
    /// Before the first SUBSCRIBE.
    pub(crate) asked: Tick,
    /// After SUBACK.
    pub(crate) granted: Option<Tick>,
    /// Before the first UNSUBSCRIBE.
    pub(crate) leaving: Option<Tick>,
    /// After UNSUBACK.
    pub(crate) left: Option<Tick>,
}

/// One arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) key: Key,
    pub(crate) epoch: usize,
    pub(crate) qos: QoS,
    pub(crate) packet_id: u16,
    /// After it arrived.
    pub(crate) at: Tick,
    /// Before PUBACK or PUBREC.
    pub(crate) answered: Option<Tick>,
    /// After PUBREL, before PUBCOMP.
    pub(crate) released: Option<Tick>,
}

const NOTHING_COMES: Duration = Duration::from_millis(20);

impl Subscriber {
    pub(crate) fn new(index: usize, habits: Habits) -> Self {
        let name = format!("subscriber-{index}");
        Self {
            session: Session::new(name, habits.version, habits.receive_maximum),
            subscriptions: Vec::new(),
            got: Vec::new(),
            repeats: 0,
            current: vec![None; habits.filters.len()],
            unreleased: BTreeMap::new(),
            asked: None,
            habits,
        }
    }

    /// Makes sure that its session and its subscriptions are there.
    pub(crate) fn settle(&mut self, place: &Surroundings<'_>) -> Result<(), Gone> {
        let mut client = self.connect(place, false)?;
        let until = Instant::now() + PATIENCE;
        while self.ask(&mut client, place)? || self.asked.is_some() {
            assert!(Instant::now() < until, "{} gets no SUBACK", self.session.client_id);
            self.listen(&mut client, place, Duration::ZERO)?;
        }
        leave(client)
    }

    /// Receives until the gateway is gone or time is over.
    pub(crate) fn run(
        &mut self,
        place: &Surroundings<'_>,
        random: &mut Random,
    ) -> Result<(), Gone> {
        if !random.chance(self.habits.attendance) {
            return Ok(());
        }
        let pause = Duration::from_millis(self.habits.sluggishness);
        while !place.is_over() {
            let afresh = self.habits.restless && random.chance(300);
            let stay = if self.habits.restless { 970 } else { 997 };
            let mut client = self.connect(place, afresh)?;
            while !place.is_over() && random.chance(stay) {
                if self.habits.restless && random.chance(30) {
                    self.change_its_mind(&mut client, place, random)?;
                }
                self.ask(&mut client, place)?;
                self.listen(&mut client, place, pause)?;
            }
            if random.chance(500) {
                leave(client)?;
            }
        }
        Ok(())
    }

    /// Receives until nothing has come for `quiet`.
    pub(crate) fn drain(&mut self, place: &Surroundings<'_>, quiet: Duration) -> Result<(), Gone> {
        let mut client = self.connect(place, false)?;
        let mut last = Instant::now();
        while last.elapsed() < quiet || self.asked.is_some() {
            let asks = self.ask(&mut client, place)?;
            if self.listen(&mut client, place, Duration::ZERO)? || asks {
                last = Instant::now();
            }
        }
        leave(client)
    }

    fn connect(&mut self, place: &Surroundings<'_>, afresh: bool) -> Result<Client, Gone> {
        let before = self.session.epochs.len();
        let client = self.session.connect(place, afresh);
        self.asked = None;
        if self.session.epochs.len() > before {
            // A new session, or the wish for one: what was is over.
            self.unreleased.clear();
            self.current.fill(None);
        }
        client
    }

    /// Gives up a subscription that it has, or takes up one that it gave up.
    fn change_its_mind(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        random: &mut Random,
    ) -> Result<(), Gone> {
        if self.asked.is_some() {
            return Ok(());
        }
        let filter = usize::try_from(random.below(self.current.len() as u64)).unwrap_or_default();
        let Some(at) = self.current[filter] else { return Ok(()) };
        let subscription = &mut self.subscriptions[at];
        if subscription.left.is_some() {
            self.current[filter] = None;
        } else if subscription.granted.is_some() {
            subscription.leaving.get_or_insert_with(|| place.tick());
        }
        self.ask(client, place).map(drop)
    }

    /// Sends the next SUBSCRIBE or UNSUBSCRIBE that is due, if none is under way; tells whether it did.
    fn ask(&mut self, client: &mut Client, place: &Surroundings<'_>) -> Result<bool, Gone> {
        if self.asked.is_some() {
            return Ok(false);
        }
        for filter in 0..self.current.len() {
            let at = match self.current[filter] {
                Some(at) => at,
                None => self.begin(filter, place),
            };
            let subscription = self.subscriptions[at];
            if subscription.granted.is_none() {
                self.subscribe(client, filter)?;
            } else if subscription.leaving.is_some() && subscription.left.is_none() {
                self.unsubscribe(client, filter)?;
            } else {
                continue;
            }
            self.asked = Some(at);
            return Ok(true);
        }
        Ok(false)
    }

    fn begin(&mut self, filter: usize, place: &Surroundings<'_>) -> usize {
        self.subscriptions.push(Subscription {
            epoch: self.session.epoch(),
            filter,
            asked: place.tick(),
            granted: None,
            leaving: None,
            left: None,
        });
        let at = self.subscriptions.len() - 1;
        self.current[filter] = Some(at);
        at
    }

    fn subscribe(&self, client: &mut Client, filter: usize) -> Result<(), Gone> {
        let options = SubscribeOptions { qos: self.habits.qos, ..SubscribeOptions::default() };
        let mut filters = SubscribeFiltersBuf::default();
        filters.push(self.filter(filter), options).expect("a subscription");
        Ok(client.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        }))?)
    }

    fn unsubscribe(&self, client: &mut Client, filter: usize) -> Result<(), Gone> {
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(self.filter(filter));
        Ok(client.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id: PacketId::MIN,
            user: UserProperties::default(),
            filters: filters.as_ref(),
        }))?)
    }

    fn filter(&self, filter: usize) -> TopicFilter<'_> {
        TopicFilter::new(&self.habits.filters[filter].1).expect("a filter")
    }

    /// Takes what there is, or waits a little for something; tells whether anything came.
    fn listen(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        pause: Duration,
    ) -> Result<bool, Gone> {
        let mut received = client.receive_within(NOTHING_COMES);
        let any = received.is_some();
        while let Some(packet) = received {
            if !pause.is_zero() && matches!(packet, Received::Publish(_)) {
                thread::sleep(pause);
            }
            self.take(client, place, packet)?;
            received = client.buffered();
        }
        Ok(any)
    }

    fn take(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        received: Received,
    ) -> Result<(), Gone> {
        match received {
            Received::Publish(message) => self.arrive(client, place, &message)?,
            Received::Ack(PacketKind::PubRel, id, _) => {
                if let Some(at) = self.unreleased.remove(&id) {
                    self.got[at].released = Some(place.tick());
                }
                client.ack(PacketKind::PubComp, id)?;
            }
            Received::SubAck(codes) if codes.iter().all(|code| !code.is_error()) => {
                if let Some(at) = self.asked.take() {
                    self.subscriptions[at].granted = Some(place.tick());
                }
            }
            Received::Other(PacketKind::UnsubAck) => {
                if let Some(at) = self.asked.take() {
                    self.subscriptions[at].left = Some(place.tick());
                }
            }
            Received::Closed | Received::Disconnect(_) => return Err(Gone),
            other => self.object(format!("hears {other:?}")),
        }
        Ok(())
    }

    fn arrive(
        &mut self,
        client: &mut Client,
        place: &Surroundings<'_>,
        message: &Message,
    ) -> Result<(), Gone> {
        let at = place.tick();
        let Some(key) = Key::of(&message.payload) else {
            self.object(format!("gets {} bytes that nobody sent", message.payload.len()));
            return Ok(client.acknowledge(message)?);
        };
        if let Some(first) = self.unreleased.get(&message.id)
            && message.qos == QoS::ExactlyOnce
        {
            let before = self.got[*first].key;
            if before != key {
                self.object(format!(
                    "gets {key} as {}, which {before} has not released",
                    message.id
                ));
            }
            self.repeats += 1;
            return Ok(client.acknowledge(message)?);
        }
        let confirmed = message.qos != QoS::AtMostOnce;
        self.got.push(Got {
            key,
            epoch: self.session.epoch(),
            qos: message.qos,
            packet_id: message.id,
            at,
            answered: confirmed.then(|| place.tick()),
            released: None,
        });
        if message.qos == QoS::ExactlyOnce {
            self.unreleased.insert(message.id, self.got.len() - 1);
        }
        Ok(client.acknowledge(message)?)
    }

    fn object(&mut self, what: String) {
        let evidence = format!("{} {what}", self.session.client_id);
        self.session.faults.add(Kind::Corrupt, evidence);
    }
}

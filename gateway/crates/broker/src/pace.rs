//! How much a client may send in a time.

use std::time::Duration;

use auth::{Excess, Limits, Rate};
use mqtt::{Packet, ReasonCode, Version};
use session::{Bucket, Timestamp};

use crate::{Answer, Broker, Closing, Conversation, Effect, Flow, Limit};

/// How long a client has to wait at least, unless its buckets are full before: a link that is woken for each packet costs more
/// than the packet.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// The rates of a client that has any.
#[derive(Debug)]
pub(crate) struct Pace {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    excess: Excess,
    /// Nothing of the client is handled before this.
    pub(crate) until: Option<Timestamp>,
}

impl Pace {
    /// None for a client without rates.
    pub(crate) fn new(limits: &Limits, now: Timestamp) -> Option<Box<Self>> {
        let bucket = |rate: Rate| Bucket::new(rate.per_second, rate.burst, now);
        let (messages, bytes) = (limits.messages.map(bucket), limits.bytes.map(bucket));
        let excess = limits.excess;
        let pace = || Box::new(Self { messages, bytes, excess, until: None });
        (messages.is_some() || bytes.is_some()).then(pace)
    }

    /// The rate that forbids another packet now.
    fn exceeded(&mut self, now: Timestamp) -> Option<Limit> {
        let lacks = |bucket: &mut Option<Bucket>| bucket.as_mut().is_some_and(|b| !b.has_one(now));
        if lacks(&mut self.messages) {
            return Some(Limit::MessageRate);
        }
        lacks(&mut self.bytes).then_some(Limit::ByteRate)
    }

    fn take(&mut self, now: Timestamp, bytes: usize) {
        if let Some(bucket) = &mut self.messages {
            bucket.take(now, 1);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(now, bytes);
        }
    }

    /// When a client that has sent too much is heard again.
    fn resumes(&self, now: Timestamp) -> Timestamp {
        let buckets = || [self.messages, self.bytes].into_iter().flatten();
        let allowed = buckets().map(|bucket| bucket.one_at()).max().unwrap_or(now);
        let full = buckets().map(|bucket| bucket.full_at()).min().unwrap_or(now);
        allowed.max(full.min(now.after(PAUSE_MIN)))
    }
}

/// Bytes of a packet that counts; none of one that costs nothing or ends something.
fn counted(packet: &Packet<'_>, version: Version) -> Option<usize> {
    // A filter comes with its length and its options.
    match packet {
        Packet::Publish(publish) => {
            Some(publish.encoded_len(version).unwrap_or(publish.payload.len()))
        }
        Packet::Subscribe(it) => Some(it.filters.iter().map(|(filter, _)| filter.len() + 3).sum()),
        Packet::Unsubscribe(it) => Some(it.filters.iter().map(|filter| filter.len() + 2).sum()),
        _ => None,
    }
}

impl Broker {
    /// Handles a packet of a client with rates. What asks an extension counts when it has been answered.
    pub(crate) fn receive_paced(
        &mut self,
        now: Timestamp,
        from: Conversation,
        packet: &Packet<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let session = from.session;
        let Some(client) = self.clients.get_mut(session as usize) else { return Flow::Closed };
        let bytes = counted(packet, client.version);
        let Some(bytes) = bytes else { return self.take(now, session, packet, answer) };
        let pace = client.online.as_mut().and_then(|online| online.pace.as_deref_mut());
        if let Some(limit) = pace.and_then(|pace| pace.exceeded(now)) {
            return self.exceeds(now, session, limit);
        }
        let flow = self.take(now, session, packet, answer);
        if !matches!(flow, Flow::Ask(_) | Flow::Wait)
            && let Some(client) = self.clients.get_mut(session as usize)
            && let Some(online) = client.online.as_mut().filter(|it| it.link == from.link)
            && let Some(pace) = online.pace.as_deref_mut()
        {
            pace.take(now, bytes);
        }
        flow
    }

    /// A client has sent more than it may.
    fn exceeds(&mut self, now: Timestamp, session: u32, limit: Limit) -> Flow {
        let client = self.clients.get_mut(session as usize);
        let Some(online) = client.and_then(|client| client.online.as_mut()) else {
            return Flow::Closed;
        };
        let Some(pace) = online.pace.as_deref_mut() else { return Flow::Closed };
        if pace.excess == Excess::Disconnect {
            let what = if limit == Limit::ByteRate { "bytes" } else { "messages" };
            let why = format!("the client sent more {what} in a time than it may");
            let closing = Closing::new(ReasonCode::MessageRateTooHigh, why).because_of(limit);
            self.close(now, session, closing);
            return Flow::Closed;
        }
        if pace.until.is_none() {
            pace.until = Some(pace.resumes(now));
            // Its silence is the gateway's doing, which does not read it.
            online.keep_alive.suspend();
            self.stats.count_limit(limit);
            self.set_alarm(session);
        }
        Flow::Wait
    }

    /// A client that had sent too much is heard again.
    pub(crate) fn hear_again(&mut self, now: Timestamp, session: u32) {
        let client = self.clients.get_mut(session as usize);
        let Some(online) = client.and_then(|client| client.online.as_mut()) else { return };
        if let Some(pace) = online.pace.as_deref_mut() {
            pace.until = None;
        }
        online.keep_alive.resume(now);
        if !online.woken {
            online.woken = true;
            self.effects.push_back(Effect::Wake(online.link));
        }
        self.set_alarm(session);
    }
}

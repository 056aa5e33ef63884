//! What is refused when memory runs short.

use std::time::Duration;

use mqtt::{Publish, QoS, ReasonCode};
use session::{Message, Timestamp};

use crate::{Broker, Closing, Flow, Limit};

/// How long a client of 3.1.1, which cannot be told that a publish is refused, waits for memory before its connection is closed. Its
/// acknowledgements wait as well, and what they would free may be what is lacking.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much memory there is for what clients do. The shell measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// Enough.
    #[default]
    Ample,
    /// Nothing is taken on that stays: connections, subscriptions, retained messages are refused (0x97).
    Tight,
    /// Neither is what passes: publishes are refused (0x97), those of QoS 0 dropped, and so is each subscription.
    Full,
}

impl Broker {
    /// Says how much memory there is from now on. Deliveries, acknowledgements and farewells go on whatever it is, for they are
    /// what frees it.
    pub fn set_memory(&mut self, now: Timestamp, memory: Memory) {
        self.memory = memory;
        if memory == Memory::Full {
            return;
        }
        let waits = |client: &crate::client::Client| {
            client.online.as_ref().is_some_and(|online| online.lacks_memory_until.is_some())
        };
        let waiting = self.clients.iter().filter(|(_, client)| waits(client));
        let waiting: Vec<u32> =
            waiting.filter_map(|(session, _)| u32::try_from(session).ok()).collect();
        for session in waiting {
            if let Some(client) = self.clients.get_mut(session as usize)
                && let Some(online) = client.online.as_mut()
            {
                online.lacks_memory_until = None;
            }
            self.hear_again(now, session);
        }
    }

    /// How much memory there is, as the shell has said.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Whether a client may connect.
    pub(crate) fn check_memory_for_client(&self) -> Result<(), Closing> {
        if self.memory == Memory::Ample {
            return Ok(());
        }
        let why = "the memory that the gateway may use, `limits.memory`, is nearly used up";
        Err(Closing::new(ReasonCode::QuotaExceeded, why).because_of(Limit::Memory))
    }

    /// Whether a subscription may be made, or made again, which brings retained messages again.
    pub(crate) fn has_memory_for_subscription(&self, is_new: bool) -> bool {
        match self.memory {
            Memory::Ample => true,
            Memory::Tight => !is_new,
            Memory::Full => false,
        }
    }

    /// Whether `body` may be retained in the place of `old`.
    pub(crate) fn has_memory_to_retain(&self, body: &Message, old: Option<&Message>) -> bool {
        let takes_more = old.is_none_or(|old| old.weight() < body.weight());
        self.memory == Memory::Ample || !takes_more
    }

    /// What becomes of a publish for which there is no memory. One that clears what is retained is none.
    pub(crate) fn refuse_for_memory(
        &mut self,
        now: Timestamp,
        session: u32,
        publish: &Publish<'_>,
    ) -> Result<Flow, Closing> {
        let Some(client) = self.clients.get_mut(session as usize) else { return Ok(Flow::Closed) };
        if publish.qos == QoS::AtMostOnce {
            self.stats.dropped_memory += 1;
            self.stats.count_publish(publish);
            return Ok(Flow::Continue);
        }
        if client.version.is_v5() {
            self.stats.count_limit(Limit::Memory);
            self.answer(session, publish, ReasonCode::QuotaExceeded);
            return Ok(Flow::Continue);
        }
        let Some(online) = client.online.as_mut() else { return Ok(Flow::Closed) };
        online.lacks_memory_until.get_or_insert(now.after(PATIENCE));
        // Its silence is the gateway's doing, which does not read it.
        online.keep_alive.suspend();
        self.set_alarm(session);
        Ok(Flow::Wait)
    }

    /// There was no memory for a publish of this client for too long.
    pub(crate) fn give_up_for_memory(&mut self, now: Timestamp, session: u32) {
        let why = "there was no memory for a publish for some seconds";
        let closing = Closing::new(ReasonCode::QuotaExceeded, why).because_of(Limit::Memory);
        self.close(now, session, closing);
    }
}

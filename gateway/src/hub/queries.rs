use std::sync::Arc;

use broker::{Closing, Rights, SessionPage, SessionView, SubscriptionView};

use super::Hub;
use crate::presence::Presence;

/// Some sessions, each with how its client came in.
pub(crate) struct Guests {
    pub(crate) page: SessionPage,
    /// One for each session of the page.
    pub(crate) presences: Vec<Option<Arc<Presence>>>,
}

/// What decides about a client, and how it came in.
pub(crate) struct Subject {
    pub(crate) rights: Rights,
    pub(crate) presence: Option<Arc<Presence>>,
}

/// Questions of the operator. Each takes the lock for as long as a batch of packets does.
impl Hub {
    /// At most `count` sessions from the place `from` on.
    pub(crate) fn guests(&self, from: u32, count: usize) -> Guests {
        let inner = self.lock();
        let page = inner.broker.sessions_from(from, count);
        let presences = page
            .sessions
            .iter()
            .map(|session| session.link.and_then(|link| inner.tenants.presence(link)));
        let presences = presences.collect();
        drop(inner);
        Guests { page, presences }
    }

    /// One session with its subscriptions.
    pub(crate) fn guest(
        &self,
        client_id: &str,
    ) -> Option<(SessionView, Vec<SubscriptionView>, Option<Arc<Presence>>)> {
        let inner = self.lock();
        let (session, subscriptions) = inner.broker.session_of(client_id)?;
        let presence = session.link.and_then(|link| inner.tenants.presence(link));
        Some((session, subscriptions, presence))
    }

    pub(crate) fn subject(&self, client_id: &str) -> Option<Subject> {
        let inner = self.lock();
        let rights = inner.broker.rights_of(client_id)?;
        let presence = rights.link.and_then(|link| inner.tenants.presence(link));
        Some(Subject { rights, presence })
    }

    /// Sends a client away; answers whether it was there.
    pub(crate) fn dismiss(&self, client_id: &str, closing: Closing) -> bool {
        let now = self.clock.now();
        let mut inner = self.lock();
        let was_there = inner.broker.disconnect_client(now, client_id, closing);
        self.finish(inner, None);
        was_there
    }

    pub(crate) fn now(&self) -> broker::Timestamp {
        self.clock.now()
    }
}

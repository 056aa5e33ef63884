use std::sync::Arc;

use broker::{Closing, Rights, SessionPage, SessionView, SubscriptionView};
use mqtt::ReasonCode;
use warden::{Guest, Whom};

use super::Hub;
use crate::presence::Presence;

/// Sessions that are looked at for a ban at a time: how long the lock is held.
const BANISH_PAGE: usize = 1000;

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
    /// Returns when the lock is to be had.
    pub(crate) fn pulse(&self) {
        drop(self.lock());
    }

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

    /// Sends away whom a ban names, a page of sessions at a time; answers how many. DISCONNECT has no code for a ban (MQTT 5,
    /// 3.14.2.1).
    pub(crate) fn banish(&self, whom: &Whom) -> usize {
        let (mut from, mut sent_away) = (Some(0), 0);
        while let Some(place) = from {
            let Guests { page, presences } = self.guests(place, BANISH_PAGE);
            for (session, presence) in page.sessions.iter().zip(&presences) {
                let guest = Guest {
                    address: presence.as_ref().and_then(|presence| presence.address.ip()),
                    identity: Some(&session.principal),
                    client: Some(&session.client_id),
                };
                let closing =
                    || Closing::new(ReasonCode::AdministrativeAction, "banned by the operator");
                let is_meant = session.link.is_some() && whom.fits(guest);
                if is_meant && self.dismiss(&session.client_id, closing()) {
                    sent_away += 1;
                }
            }
            from = page.next;
        }
        sent_away
    }

    /// Whether a client of this identifier is there.
    pub(crate) fn is_connected(&self, client_id: &str) -> bool {
        self.lock().broker.link_of(client_id).is_some()
    }

    pub(crate) fn now(&self) -> broker::Timestamp {
        self.clock.now()
    }
}

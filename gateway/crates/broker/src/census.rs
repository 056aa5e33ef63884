//! What an operator sees of sessions.

use std::sync::Arc;

use auth::{Act, Identity, Limits, PermissionSet, Trace};
use mqtt::{QoS, TopicName, Version};
use session::Timestamp;

use crate::client::Client;
use crate::{Broker, LinkId};

/// Places that are looked at for one page, taken or not: how long the caller's lock is held.
const PLACES_MAX: usize = 4096;

/// One session at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The client identifier.
    pub client_id: Arc<str>,
    /// Who the client was when it came last.
    pub principal: Arc<str>,
    /// The connection, if there is one.
    pub link: Option<LinkId>,
    /// The version that the client speaks, or spoke.
    pub version: Version,
    /// Whether the session outlives its connection and the process.
    pub durable: bool,
    /// Session Expiry Interval in seconds; `u32::MAX` is never.
    pub expiry_seconds: u32,
    /// Since when it has no connection.
    pub offline_since: Option<Timestamp>,
    /// When the authorization of a connected client runs out.
    pub authorized_until: Option<Timestamp>,
    /// The extension that gave the permissions; `None` after a restart, until the client has authenticated again.
    pub permissions_by: Option<Arc<str>>,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Messages that wait for it, sent and unconfirmed ones included.
    pub queued: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
    /// Messages that were sent and are not confirmed.
    pub in_flight: usize,
    /// Bytes that wait to be written to the connection.
    pub unwritten_bytes: usize,
    /// What was set for a connected client, besides the gateway's own limits.
    pub limits: Limits,
    /// Whether it has to wait because it has sent more than its rates allow.
    pub waits: bool,
}

/// Some sessions, in no order that means anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<u32>,
}

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionView {
    /// Topic filter, `$share/…/` included.
    pub filter: String,
    /// QoS that was granted.
    pub qos: QoS,
}

/// What decides about the acts of a client.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Who it is.
    pub identity: Identity,
    /// What it may do; `None` after a restart, until it has authenticated again.
    pub permissions: Option<Arc<PermissionSet>>,
    /// The connection, if there is one.
    pub link: Option<LinkId>,
    /// What was set for a connected client, besides the gateway's own limits.
    pub limits: Limits,
}

/// What decides about an act before an extension is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The gateway itself refuses it, whatever permissions say, for this reason.
    Reserved(&'static str),
    /// The permission set says this.
    Set(Trace),
}

/// What decides about an act of a client with these permissions, as [`Broker::receive`] would see it.
pub fn ground(permissions: &PermissionSet, who: &Identity, act: Act<'_>) -> Ground {
    let Act::Publish { topic, qos, retain } = act else {
        return Ground::Set(permissions.trace(who, act));
    };
    if crate::system::is_reserved(topic) {
        return Ground::Reserved(crate::system::RESERVED);
    }
    let is_order = TopicName::new(topic).is_ok_and(crate::control::is_order);
    let act = if is_order { Act::Control { topic, qos, retain } } else { act };
    Ground::Set(permissions.trace(who, act))
}

/// Questions of the operator. They change nothing.
impl Broker {
    /// At most `count` sessions from the place `from` on, and at most as many as a short look finds. A session that
    /// comes while somebody turns pages may be missed, none is shown twice unless it left and came back.
    #[must_use]
    pub fn sessions_from(&self, from: u32, count: usize) -> SessionPage {
        let places = self.clients.capacity();
        let mut page = SessionPage::default();
        for place in (from as usize..places).take(PLACES_MAX) {
            if page.sessions.len() >= count {
                page.next = u32::try_from(place).ok();
                return page;
            }
            page.sessions.extend(self.clients.get(place).map(view));
        }
        let reached = (from as usize).saturating_add(PLACES_MAX);
        page.next = (reached < places).then(|| u32::try_from(reached).ok()).flatten();
        page
    }

    /// One session, with its subscriptions in the order of their filters.
    #[must_use]
    pub fn session_of(&self, client_id: &str) -> Option<(SessionView, Vec<SubscriptionView>)> {
        let client = self.client_of(client_id)?;
        let subscriptions = client.subscriptions.iter().map(|(filter, subscription)| {
            let (filter, qos) = (filter.as_str().to_owned(), subscription.options.qos);
            SubscriptionView { filter, qos }
        });
        Some((view(client), subscriptions.collect()))
    }

    /// What decides about the acts of a client.
    #[must_use]
    pub fn rights_of(&self, client_id: &str) -> Option<Rights> {
        let client = self.client_of(client_id)?;
        Some(Rights {
            identity: client.identity.clone(),
            permissions: client.permissions.clone(),
            link: client.online.as_ref().map(|online| online.link),
            limits: client.online.as_ref().map(|online| online.limits).unwrap_or_default(),
        })
    }

    /// The connection of a client, if it has one.
    #[must_use]
    pub fn link_of(&self, client_id: &str) -> Option<LinkId> {
        self.client_of(client_id)?.online.as_ref().map(|online| online.link)
    }

    fn client_of(&self, client_id: &str) -> Option<&Client> {
        let session = self.by_client_id.get(client_id)?;
        self.clients.get(*session as usize)
    }
}

fn view(client: &Client) -> SessionView {
    let online = client.online.as_ref();
    SessionView {
        client_id: Arc::clone(&client.identity.client_id),
        principal: Arc::clone(&client.identity.principal),
        link: online.map(|online| online.link),
        version: client.version,
        durable: client.is_durable(),
        expiry_seconds: client.expiry_seconds,
        offline_since: client.offline.map(|offline| offline.since),
        authorized_until: online.and_then(|online| online.authorized_until),
        permissions_by: client
            .permissions
            .as_ref()
            .map(|set| Arc::clone(&set.permissions().source)),
        subscriptions: client.subscriptions.len(),
        queued: client.outbound.len(),
        queued_bytes: client.outbound.weight(),
        in_flight: client.outbound.in_flight(),
        unwritten_bytes: online.map_or(0, |online| online.all_unsent_bytes()),
        limits: online.map(|online| online.limits).unwrap_or_default(),
        waits: online.is_some_and(|online| online.waits_until().is_some()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use auth::{Actions, Effect, Fallback, Permissions, Rule};
    use mqtt::{Connect, ConnectProperties, ReasonCode};

    use super::*;
    use crate::durable::Snapshot;
    use crate::{Admission, Admitted, Closing, Durability, Event, Settings};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    fn permissions(fallback: Fallback) -> Arc<PermissionSet> {
        let rule = Rule {
            effect: Effect::Allow,
            actions: Actions::BOTH,
            filter: "a/#".to_owned(),
            max_qos: QoS::AtLeastOnce,
            retain: true,
            label: None,
        };
        let stated = Permissions { rules: vec![rule], fallback, source: "acl@1".into() };
        Arc::new(PermissionSet::compile(&stated).unwrap())
    }

    fn connect(broker: &mut Broker, link: u64, client_id: &str) {
        let connect = Connect {
            version: Version::V5,
            client_id,
            clean_start: true,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties::default(),
        };
        let admission = Admission {
            link: LinkId(link),
            connect: &connect,
            client_id: client_id.into(),
            principal: "p".into(),
            attributes: Vec::new(),
            permissions: permissions(Fallback::Deny),
            authentication_data: None,
            durability: Durability::Strict,
            valid_for_ms: None,
            limits: auth::Limits::default(),
            will_verdict: None,
            will_interception: None,
            listener: None,
            arrangement: None,
        };
        assert!(matches!(broker.connect(NOW, admission), Admitted::Accepted(_)), "{client_id}");
    }

    #[test]
    fn pages_show_every_session_once_whatever_left_between() {
        let mut broker = Broker::new(Settings::default(), 1, NOW, Snapshot::default());
        for link in 0..10_000 {
            connect(&mut broker, link, &format!("c{link}"));
        }
        for link in (0..10_000).filter(|link| link % 3 == 0) {
            let closing = Closing::new(ReasonCode::AdministrativeAction, "go");
            assert!(broker.disconnect_client(NOW, &format!("c{link}"), closing));
        }
        let (mut seen, mut from, mut pages) = (BTreeSet::new(), Some(0), 0);
        while let Some(place) = from {
            let page = broker.sessions_from(place, 100);
            assert!(page.sessions.len() <= 100);
            for session in &page.sessions {
                assert!(seen.insert(Arc::clone(&session.client_id)), "{}", session.client_id);
            }
            (from, pages) = (page.next, pages + 1);
        }
        assert_eq!(seen.len(), 6_666);
        assert!((67..80).contains(&pages), "{pages}");
        assert_eq!(broker.sessions_from(u32::MAX, 100), SessionPage::default());
    }

    #[test]
    fn a_dismissed_client_is_told_why_and_hears_it_once() {
        let mut broker = Broker::new(Settings::default(), 1, NOW, Snapshot::default());
        connect(&mut broker, 1, "a");
        let (view, subscriptions) = broker.session_of("a").unwrap();
        assert_eq!((view.link, view.permissions_by.as_deref()), (Some(LinkId(1)), Some("acl@1")));
        assert_eq!(subscriptions, []);
        let closing = Closing::new(ReasonCode::QuotaExceeded, "too much");
        assert!(broker.disconnect_client(NOW, "a", closing.clone()));
        assert!(!broker.disconnect_client(NOW, "a", closing.clone()), "it has gone");
        assert!(!broker.disconnect_client(NOW, "b", closing.clone()), "nobody knows it");
        let mut said =
            std::iter::from_fn(|| broker.poll_effect()).filter_map(|effect| match effect {
                crate::Effect::Event(Event::Disconnected { closing, .. }) => Some(closing),
                _ => None,
            });
        assert_eq!((said.next(), said.next()), (Some(closing), None));
    }

    #[test]
    fn the_gateways_own_topics_are_decided_before_the_set() {
        let who = Identity { client_id: "c".into(), principal: "p".into(), attributes: Vec::new() };
        let set = permissions(Fallback::Allow);
        let publish =
            |topic| ground(&set, &who, Act::Publish { topic, qos: QoS::AtMostOnce, retain: false });
        assert!(matches!(publish("$SYS/x"), Ground::Reserved(_)));
        let allowed = |topic| match publish(topic) {
            Ground::Set(trace) => trace.decision.is_allowed(),
            Ground::Reserved(_) => false,
        };
        assert!(allowed("a/x") && allowed("b"));
        assert!(!allowed("$CONTROL/broker/disconnect"), "that takes a rule");
        let receive = ground(&set, &who, Act::Receive { topic: "$SYS/x" });
        assert!(matches!(receive, Ground::Set(trace) if trace.decision.is_allowed()));
    }
}

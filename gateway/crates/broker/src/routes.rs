use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use mqtt::{QoS, SubscriptionIds, SubscriptionIdsBuf, TopicFilterBuf, TopicName};

use crate::Broker;
use crate::durable::Subscription;
use crate::subscriptions::Match;
use crate::treatment::Treatment;

/// Who gets the messages of one topic, worked out once and kept until a subscription
/// or a permission changes anywhere.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) topic: Box<str>,
    /// The generation of the subscriptions for which this is true.
    pub(crate) generation: u64,
    /// One entry per session, by session.
    pub(crate) targets: Vec<Target>,
    /// One entry per group that shares a subscription.
    pub(crate) shares: Vec<Share>,
    /// How its messages are kept.
    pub(crate) treatment: Treatment,
}

/// One session that gets a copy: one, however many of its subscriptions match.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: u32,
    /// What it gets.
    pub(crate) grant: Grant,
    /// What it gets of its own messages: nothing where it asked for No Local.
    pub(crate) own: Option<Grant>,
    /// How messages are kept for it, where that is special.
    pub(crate) treatment: Option<Treatment>,
}

/// A group of which one member gets the message.
#[derive(Debug)]
pub(crate) struct Share {
    /// The number of the group.
    pub(crate) group: u32,
    /// The members that may receive the topic.
    pub(crate) members: Vec<Target>,
}

/// How a message comes to a session.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The highest QoS of its matching subscriptions (MQTT-3.3.4-2).
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    /// `None` for subscriptions that are neither shared nor have an identifier.
    pub(crate) origin: Option<Arc<Origin>>,
}

/// The subscriptions that a delivery comes of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Their identifiers, all of them (MQTT-3.3.4-4).
    pub(crate) ids: SubscriptionIdsBuf,
    /// The shared one, if it was that.
    pub(crate) group: Option<TopicFilterBuf>,
}

/// Topics whose routes are kept.
const TOPICS_MAX: usize = 16 * 1024;
/// Targets of all routes that are kept.
const TARGETS_MAX: usize = 256 * 1024;

/// The routes of the topics used lately.
#[derive(Debug)]
pub(crate) struct Routes {
    by_topic: HashMap<Box<str>, Arc<Route>, FixedState>,
    targets: usize,
    /// How many were looked for because they were not known.
    searches: u64,
}

impl Routes {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            by_topic: HashMap::with_hasher(FixedState::with_seed(seed)),
            targets: 0,
            searches: 0,
        }
    }

    /// The route of `topic`, if it is known and still true.
    pub(crate) fn get(&self, topic: &str, generation: u64) -> Option<&Arc<Route>> {
        self.by_topic.get(topic).filter(|route| route.generation == generation)
    }

    /// Keeps a route. When there are too many all are dropped: they are cheap to find
    /// again, and no order of eviction is worth its bookkeeping on every message.
    pub(crate) fn insert(&mut self, route: Route) -> Arc<Route> {
        if self.by_topic.len() >= TOPICS_MAX || self.targets >= TARGETS_MAX {
            self.by_topic.clear();
            self.targets = 0;
        }
        self.searches += 1;
        self.targets += route.size();
        let route = Arc::new(route);
        if let Some(old) = self.by_topic.insert(route.topic.clone(), Arc::clone(&route)) {
            self.targets -= old.size();
        }
        route
    }
}

impl Route {
    /// A route to one session.
    pub(crate) fn to(topic: &str, target: Target) -> Self {
        Self {
            topic: topic.into(),
            generation: 0,
            targets: vec![target],
            shares: Vec::new(),
            treatment: Treatment::default(),
        }
    }

    /// Whether nobody gets the topic.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.shares.is_empty()
    }

    fn size(&self) -> usize {
        self.targets.len() + self.shares.iter().map(|share| share.members.len()).sum::<usize>()
    }
}

impl Target {
    /// What `session` gets by its matching subscriptions, of which there is one at least.
    pub(crate) fn of(session: u32, subscriptions: &[Subscription]) -> Self {
        let local = subscriptions.iter().filter(|s| !s.options.no_local);
        let own = (local.clone().count() > 0).then(|| Grant::of(local, None));
        Self { session, grant: Grant::of(subscriptions.iter(), None), own, treatment: None }
    }

    /// What a member of the group of `filter` gets if it is chosen.
    pub(crate) fn member(
        session: u32,
        subscription: &Subscription,
        filter: TopicFilterBuf,
    ) -> Self {
        let grant = Grant::of([subscription].into_iter(), Some(filter));
        Self { session, own: Some(grant.clone()), grant, treatment: None }
    }
}

impl Grant {
    fn of<'a>(
        subscriptions: impl Iterator<Item = &'a Subscription>,
        group: Option<TopicFilterBuf>,
    ) -> Self {
        let mut grant = Self { qos: QoS::AtMostOnce, retain_as_published: false, origin: None };
        let mut ids = SubscriptionIdsBuf::default();
        for Subscription { options, id } in subscriptions {
            grant.qos = grant.qos.max(options.qos);
            grant.retain_as_published |= options.retain_as_published;
            if let Some(id) = id {
                // Identifiers came out of a packet, so they are ones that a packet can hold.
                let pushed = ids.push(id.get());
                debug_assert!(pushed.is_ok(), "a subscription identifier is in its range");
            }
        }
        if group.is_some() || !ids.as_ref().is_empty() {
            grant.origin = Some(Arc::new(Origin { ids, group }));
        }
        grant
    }

    /// Whether it is that of a member of a group.
    pub(crate) fn is_shared(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.group.is_some())
    }

    /// The subscription identifiers that go with the message.
    pub(crate) fn ids(&self) -> SubscriptionIds<'_> {
        ids(self.origin.as_ref())
    }
}

impl Broker {
    /// How often it has looked through all subscriptions for those that a topic matches, so far. That is what takes long
    /// where there are many.
    #[must_use]
    pub fn searches(&self) -> u64 {
        self.routes.searches
    }

    /// Who gets the messages of `topic`.
    pub(crate) fn route(&mut self, topic: &str) -> Arc<Route> {
        let generation = self.subscriptions.generation();
        if let Some(route) = self.routes.get(topic, generation) {
            return Arc::clone(route);
        }
        let mut matches: Vec<(u32, Subscription)> = Vec::new();
        let mut groups = Vec::new();
        self.subscriptions.for_each_match(topic, |found| match found {
            Match::Session(entry) => matches.push((entry.session, entry.subscription)),
            Match::Group(group) => groups.push(group),
        });
        let may_receive = |session: u32| {
            self.clients.get(session as usize).is_some_and(|client| client.may_receive(topic))
        };
        matches.sort_by_key(|(session, _)| *session);
        let mut targets: Vec<Target> = matches
            .chunk_by(|one, other| one.0 == other.0)
            .filter_map(|same| {
                let (session, _) = *same.first()?;
                let subscriptions: Vec<Subscription> = same.iter().map(|(_, s)| *s).collect();
                may_receive(session).then(|| Target::of(session, &subscriptions))
            })
            .collect();
        let shares = groups.into_iter().filter_map(|group| {
            let known = self.subscriptions.groups.get(group)?;
            let members = known.members.iter().filter(|member| may_receive(member.session));
            let members: Vec<Target> = members
                .map(|m| Target::member(m.session, &m.subscription, known.filter.clone()))
                .collect();
            (!members.is_empty()).then_some(Share { group, members })
        });
        let shares = shares.collect();
        let treatment = TopicName::new(topic).map(|topic| self.settings.treatment(topic));
        let treatment = treatment.unwrap_or_default();
        self.arrange(topic, treatment, &mut targets);
        self.routes.insert(Route { topic: topic.into(), generation, targets, shares, treatment })
    }
}

/// The subscription identifiers of a delivery's origin.
pub(crate) fn ids(origin: Option<&Arc<Origin>>) -> SubscriptionIds<'_> {
    origin.map(|origin| origin.ids.as_ref()).unwrap_or_default()
}

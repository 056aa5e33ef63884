use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use mqtt::QoS;

/// Who gets the messages of one topic, worked out once and kept until a subscription
/// or a permission changes anywhere.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) topic: Box<str>,
    /// The generation of the subscriptions for which this is true.
    pub(crate) generation: u64,
    /// One entry per session, by session.
    pub(crate) targets: Vec<Target>,
}

/// One session that gets a copy: one, however many of its subscriptions match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) session: u32,
    /// The highest QoS of its matching subscriptions (MQTT-3.3.4-2).
    pub(crate) qos: QoS,
    /// The same without No Local subscriptions: what the session gets of its own messages.
    pub(crate) own_qos: Option<QoS>,
    pub(crate) retain_as_published: bool,
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
}

impl Routes {
    pub(crate) fn new(seed: u64) -> Self {
        Self { by_topic: HashMap::with_hasher(FixedState::with_seed(seed)), targets: 0 }
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
        self.targets += route.targets.len();
        let route = Arc::new(route);
        if let Some(old) = self.by_topic.insert(route.topic.clone(), Arc::clone(&route)) {
            self.targets -= old.targets.len();
        }
        route
    }
}

impl Target {
    /// Merges another matching subscription of the same session.
    pub(crate) fn merge(&mut self, other: Self) {
        self.qos = self.qos.max(other.qos);
        self.own_qos = self.own_qos.max(other.own_qos);
        self.retain_as_published |= other.retain_as_published;
    }
}

//! Bridges: brokers elsewhere with which messages are exchanged. `gateway/BRIDGE.md` says what they promise.

mod agent;
mod conversation;
mod credential;
mod dials;
mod identity;
mod ledger;
mod post;
mod reload;
mod review;
mod schedule;
mod session;
mod sessions;
mod status;
mod told;
mod wish;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bridge::Settings;
use config::{Bridge, Checked, MessageGrant};
use mqtt::{QoS, TopicName, UserPropertiesBuf};
use transport::DialSettings;

use crate::clock::Clock;
use crate::extensions::Extensions;
use crate::failure::Failure;
use crate::hub::Hub;
use agent::Agent;
use post::Post;
use review::Review;
use sessions::Sessions;
pub(crate) use sessions::client_id;
pub(crate) use status::{State, Status, View};
pub(crate) use told::Told;
use wish::Wish;

/// What client identifiers of bridges begin with; no client may have such a one.
pub(crate) const CLIENT_ID_PREFIX: &str = "$bridge/";

/// Which gateway this is, as others learn it; `None` if it is not known and nobody needs it.
pub(crate) fn identity(checked: &Checked) -> Result<Option<String>, Failure> {
    match identity::open(&checked.data) {
        Ok(identity) => Ok(Some(identity)),
        Err(failure) if !checked.bridges.is_empty() => Err(failure),
        Err(failure) => {
            tracing::debug!(%failure, "this gateway has no identity for others");
            Ok(None)
        }
    }
}

/// What other gateways are told in CONNACK.
pub(crate) fn introduction(identity: Option<&String>) -> UserPropertiesBuf {
    let mut introduction = UserPropertiesBuf::default();
    if let Some(identity) = identity {
        // Both are short texts of ours.
        let _ = introduction.push(bridge::GATEWAY_PROPERTY, identity);
    }
    introduction
}

/// All bridges of a gateway.
pub(crate) struct Bridges {
    hub: Arc<Hub>,
    extensions: Arc<Extensions>,
    clock: Clock,
    identity: Option<String>,
    /// What the gateway was started with: only the bridges of it change.
    running: Arc<Checked>,
    posts: Mutex<BTreeMap<String, Post>>,
}

impl Bridges {
    /// Makes the sessions in which messages for upstream wait, before anybody can publish one.
    pub(crate) fn prepare(
        checked: &Arc<Checked>,
        identity: Option<&String>,
        extensions: &Arc<Extensions>,
        hub: &Arc<Hub>,
        clock: Clock,
    ) -> Arc<Self> {
        let own = identity.map(String::as_str).unwrap_or_default();
        let post = |bridge: &Bridge| {
            let mut sessions = Sessions::new(bridge, checked, hub);
            sessions.prepare();
            let settings = Arc::new(settings(bridge, checked, own));
            let agent = Agent::new(
                bridge.clone(),
                settings,
                sessions,
                review(bridge, extensions),
                clock,
                &checked.data,
            );
            (bridge.name.clone(), Post::new(bridge.clone(), agent, Wish::Run))
        };
        let bridges = Arc::new(Self {
            hub: Arc::clone(hub),
            extensions: Arc::clone(extensions),
            clock,
            identity: identity.cloned(),
            running: Arc::clone(checked),
            posts: Mutex::new(checked.bridges.iter().map(post).collect()),
        });
        bridges.retire_others();
        bridges
    }

    /// What is known of each, in the order of their names.
    pub(crate) fn statuses(&self) -> Vec<Arc<Status>> {
        self.lock().values().map(|post| Arc::clone(&post.status)).collect()
    }

    /// Tells those who see what bridges send that extensions may want to see other messages.
    pub(crate) fn look(&self, grants: &BTreeMap<String, Arc<MessageGrant>>) {
        let reviews: Vec<_> = self.lock().values().filter_map(|post| post.review.clone()).collect();
        reviews.iter().for_each(|review| review.look(grants));
    }

    /// Lets them run.
    pub(crate) fn start(&self) {
        self.lock().values_mut().for_each(Post::begin);
    }

    /// Ends them where they are.
    pub(crate) fn abort(&self) {
        self.lock().values_mut().for_each(|post| post.abort());
    }

    /// Has a bridge wait, or go on; answers whether there is one of that name. It does not outlive the process.
    pub(crate) fn pause(&self, name: &str, pauses: bool) -> bool {
        let all = self.lock();
        let Some(post) = all.get(name) else { return false };
        post.wishes(if pauses { Wish::Pause } else { Wish::Run });
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sees what a bridge sends; `None` if nobody does.
fn review(bridge: &Bridge, extensions: &Extensions) -> Option<Arc<Review>> {
    let chain = extensions.named(&bridge.extensions);
    let review = (!chain.is_empty()).then(|| Review::new(&bridge.name, &chain))?;
    // Nothing is sent before that is known.
    review.look(&extensions.message_grants());
    Some(review)
}

fn settings(bridge: &Bridge, checked: &Checked, identity: &str) -> Settings {
    let sessions = &checked.sessions;
    let own = || format!("portcullis-{identity}-{}", bridge.name);
    let client_id = bridge.client_id.clone().unwrap_or_else(own);
    Settings {
        gateway: identity.to_owned(),
        announces: bridge.announce,
        probe: bridge.probe.as_ref().and_then(|probe| probe_terms(probe, &client_id)),
        client_id,
        username: bridge.username.clone(),
        // They are made for each connection.
        password: None,
        authentication: None,
        keep_alive: bridge.keep_alive,
        answer_timeout: bridge.connect_timeout,
        receive_maximum: bridge.receive_maximum,
        max_packet_size: bridge.max_packet_size,
        bounds: bridge.bounds,
        max_hops: usize::from(bridge.max_hops),
        topic_aliases: bridge.topic_aliases,
        pace: bridge.pace,
        // They are those of its sessions at the time.
        priorities: Vec::new(),
        outward: bridge.outward.clone(),
        inward: bridge.inward.clone(),
        // It is looked up for each connection.
        former: Vec::new(),
        refused_topic: bridge.refused_topic.clone(),
        local: bridge::LocalLimits {
            max_packet_size: sessions.max_packet_size,
            max_topic_bytes: usize::from(sessions.max_topic_bytes),
            max_topic_levels: usize::from(sessions.max_topic_levels),
            max_user_properties: usize::from(sessions.max_user_properties),
            maximum_qos: QoS::from_u8(checked.mqtt.maximum_qos).unwrap_or(QoS::ExactlyOnce),
            receive_maximum: sessions.receive_maximum,
        },
    }
}

/// The topic is one of this client's own, whatever its identifier is made of.
fn probe_terms(probe: &config::BridgeProbe, client_id: &str) -> Option<bridge::ProbeTerms> {
    let own = || {
        let id = client_id.replace(['+', '#', '/'], "_");
        TopicName::new(&format!("portcullis/probe/{id}")).ok().map(TopicName::to_owned)
    };
    let topic = probe.topic.clone().or_else(own)?;
    Some(bridge::ProbeTerms { topic, interval: probe.interval, missing: probe.missing })
}

/// The files of TLS and credentials that can be found wrong without a connection: a sentence for each.
pub(crate) fn check(checked: &Checked) -> Vec<String> {
    let mut faults = Vec::new();
    for bridge in &checked.bridges {
        let about = |why: String| format!("bridge \"{}\": {why}", bridge.name);
        let dials = dials::dials(bridge);
        if let Some(tls) = dials.iter().find_map(DialSettings::tls)
            && let Err(error) = tls.check()
        {
            faults.push(about(error.to_string()));
        }
        if let Err(why) = credential::make_here(&bridge.credential, Clock::start()) {
            faults.push(about(why));
        }
    }
    faults
}

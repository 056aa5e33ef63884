use std::time::Duration;

use mqtt::QoS;

use crate::{Bounds, Pace, Priority, ProbeTerms, Rule};

/// What a relay goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Identifier of this gateway, without a comma; it goes into the trail of messages.
    pub gateway: String,
    /// Whether upstream is told it in CONNECT.
    pub announces: bool,
    /// Client identifier for upstream.
    pub client_id: String,
    /// User name for upstream.
    pub username: Option<String>,
    /// Password for upstream.
    pub password: Option<Vec<u8>>,
    /// Enhanced authentication for upstream, in MQTT 5.
    pub authentication: Option<Authentication>,
    /// Keep alive in seconds; 0 watches nothing.
    pub keep_alive: u16,
    /// How long upstream may take to answer CONNECT.
    pub answer_timeout: Duration,
    /// Unconfirmed messages of QoS 1 and 2 in each direction.
    pub receive_maximum: u16,
    /// Bytes of the largest packet for upstream, where it announces no less.
    pub max_packet_size: u32,
    /// What upstream takes besides that.
    pub bounds: Bounds,
    /// Gateways that a message may have come by.
    pub max_hops: usize,
    /// Topic aliases towards upstream, where it takes as many.
    pub topic_aliases: u16,
    /// How upstream is asked whether it routes, if it is.
    pub probe: Option<ProbeTerms>,
    /// How fast messages go upstream.
    pub pace: Pace,
    /// The priorities that have a session of the local broker; normal is one of them.
    pub priorities: Vec<Priority>,
    /// What goes upstream; the first rule that matches a topic decides.
    pub outward: Vec<Rule>,
    /// What is fetched from upstream.
    pub inward: Vec<Rule>,
    /// Filters that were fetched before, for which upstream's session may still have subscriptions.
    pub former: Vec<String>,
    /// The topic below which dead letters are published.
    pub refused_topic: String,
    /// What the local broker accepts.
    pub local: LocalLimits,
}

/// Who we are, by a method that upstream knows (MQTT 5, 4.12).
#[derive(Clone, Debug)]
pub struct Authentication {
    /// Its name.
    pub method: String,
    /// What it is shown in CONNECT.
    pub data: Vec<u8>,
}

/// What the local broker disconnects for, so that a message from upstream is looked at before.
#[derive(Clone, Copy, Debug)]
pub struct LocalLimits {
    /// Bytes of a packet.
    pub max_packet_size: u32,
    /// Bytes of a topic.
    pub max_topic_bytes: usize,
    /// Levels of a topic.
    pub max_topic_levels: usize,
    /// User properties of a message.
    pub max_user_properties: usize,
    /// The highest QoS of a subscription.
    pub maximum_qos: QoS,
    /// Unacknowledged publishes of a client.
    pub receive_maximum: u16,
}

use std::num::NonZeroU32;
use std::time::Duration;

use bridge::Bounds;
use mqtt::QoS;

use super::BridgeVersion;
use crate::section::Section;

/// What is known of a service or of a broker: what it takes, and what suits it. gateway/BRIDGE.md has the table with its sources.
#[derive(Debug)]
pub(super) struct Profile {
    /// What the file calls it.
    pub(super) name: &'static str,
    /// What messages call it.
    pub(super) service: &'static str,
    /// The version to speak, and whether the other one will do.
    pub(super) version: BridgeVersion,
    pub(super) other_version: bool,
    /// Seconds, from the least to the most; 0 as the least allows none.
    pub(super) keep_alive: (u16, u16),
    /// Unconfirmed messages in each direction.
    pub(super) in_flight: u16,
    /// Bytes of a packet.
    pub(super) packet: u32,
    /// Subscriptions of a connection.
    pub(super) subscriptions: usize,
    /// Bytes of a client identifier.
    pub(super) client_id: usize,
    /// The usual wait between two connections, and the least.
    pub(super) retry: (Duration, Duration),
    /// Messages, and bytes, that a connection may send in a second.
    pub(super) messages_per_second: Option<NonZeroU32>,
    pub(super) bytes_per_second: Option<NonZeroU32>,
    /// Whether it is reached over TLS only.
    pub(super) encrypts: bool,
    /// What is at its port 443.
    pub(super) port_443: Port443,
    /// Whether another gateway of ours may be behind it, to which this one is to name itself.
    pub(super) announces: bool,
    /// Messages with RETAIN.
    pub(super) retain: Retain,
    /// What topics and names must look like.
    pub(super) form: Form,
    /// What holds for each message.
    pub(super) bounds: Bounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port443 {
    /// Nothing in particular.
    Any,
    /// MQTT over TLS, told apart by the application protocol: with a client certificate, and without.
    Mqtt(&'static str, &'static str),
    /// A WebSocket only.
    WebSocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retain {
    Usual,
    /// Not unless a rule says so: not every region or tier has it, and those that have it not close the connection.
    OnRequest,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Any,
    /// A device of Azure IoT Hub: fixed topics, and a user name that is made of the others.
    IotHubDevice,
}

const KIB: usize = 1 << 10;
const SECOND: Duration = Duration::from_secs(1);

/// What MQTT allows, and the bridge's own limits.
const ANY: Profile = Profile {
    name: "",
    service: "upstream",
    version: BridgeVersion::V5,
    other_version: true,
    keep_alive: (0, u16::MAX),
    in_flight: 10_000,
    packet: 256 << 20,
    subscriptions: usize::MAX,
    client_id: usize::MAX,
    retry: (SECOND, Duration::from_millis(100)),
    messages_per_second: None,
    bytes_per_second: None,
    encrypts: false,
    port_443: Port443::Any,
    announces: true,
    retain: Retain::Usual,
    form: Form::Any,
    bounds: Bounds::OF_MQTT,
};

static UNSTATED: Profile = ANY;

static PROFILES: [Profile; 8] = [
    Profile {
        name: "aws-iot-core",
        service: "AWS IoT Core",
        keep_alive: (30, 1200),
        in_flight: 100,
        subscriptions: 50,
        client_id: 128,
        retry: (Duration::from_secs(10), SECOND),
        messages_per_second: NonZeroU32::new(100),
        bytes_per_second: NonZeroU32::new(512 << 10),
        encrypts: true,
        port_443: Port443::Mqtt("x-amzn-mqtt-ca", "mqtt"),
        announces: false,
        bounds: Bounds {
            qos: QoS::AtLeastOnce,
            payload: 128 * KIB,
            topic_bytes: 256,
            topic_levels: 8,
            subscribe_options: false,
            ..Bounds::OF_MQTT
        },
        ..ANY
    },
    Profile {
        name: "azure-event-grid",
        service: "Azure Event Grid",
        keep_alive: (1, 1160),
        in_flight: 1000,
        packet: 512 << 10,
        subscriptions: 50,
        client_id: 128,
        messages_per_second: NonZeroU32::new(1000),
        bytes_per_second: NonZeroU32::new(1_000_000),
        encrypts: true,
        port_443: Port443::WebSocket,
        announces: false,
        retain: Retain::OnRequest,
        bounds: Bounds {
            qos: QoS::AtLeastOnce,
            topic_bytes: 256,
            topic_levels: 15,
            user_property_bytes: 32 * KIB,
            label_bytes: 256,
            filters_per_subscribe: 10,
            hears_refusals: false,
            ..Bounds::OF_MQTT
        },
        ..ANY
    },
    Profile {
        name: "azure-iot-hub",
        service: "Azure IoT Hub",
        version: BridgeVersion::V3_1_1,
        other_version: false,
        keep_alive: (1, 1177),
        packet: 256 << 10,
        client_id: 128,
        encrypts: true,
        port_443: Port443::WebSocket,
        announces: false,
        retain: Retain::Never,
        form: Form::IotHubDevice,
        bounds: Bounds { qos: QoS::AtLeastOnce, retains: false, ..Bounds::OF_MQTT },
        ..ANY
    },
    Profile {
        name: "hivemq-cloud",
        service: "HiveMQ Cloud",
        encrypts: true,
        announces: false,
        ..ANY
    },
    Profile {
        name: "emqx-cloud",
        service: "EMQX Cloud",
        packet: 1 << 20,
        subscriptions: 10,
        client_id: 1024,
        messages_per_second: NonZeroU32::new(10),
        encrypts: true,
        announces: false,
        bounds: Bounds { topic_levels: 10, ..Bounds::OF_MQTT },
        ..ANY
    },
    Profile {
        name: "mosquitto",
        service: "Mosquitto",
        announces: false,
        bounds: Bounds { topic_levels: 200, ..Bounds::OF_MQTT },
        ..ANY
    },
    Profile {
        name: "nats",
        service: "NATS",
        version: BridgeVersion::V3_1_1,
        other_version: false,
        announces: false,
        // A message may have 1 MiB with the headers that it gets there.
        bounds: Bounds { payload: 1_000_000, refused_characters: " ", ..Bounds::OF_MQTT },
        ..ANY
    },
    Profile {
        name: "rabbitmq",
        service: "RabbitMQ",
        packet: 16 << 20,
        announces: false,
        // A topic becomes a routing key of AMQP.
        bounds: Bounds { qos: QoS::AtLeastOnce, topic_bytes: 255, ..Bounds::OF_MQTT },
        ..ANY
    },
];

/// The profile that the file names.
pub(super) fn read(section: &Section<'_>) -> &'static Profile {
    let all: Vec<_> = PROFILES.iter().map(|profile| (profile.name, profile)).collect();
    section.choice("profile", &UNSTATED, &all)
}

impl Profile {
    /// Whether the file names one.
    pub(super) fn is_stated(&self) -> bool {
        !self.name.is_empty()
    }

    /// The end of a sentence that tells where a limit comes from.
    pub(super) fn source(&self) -> String {
        format!("(profile \"{}\")", self.name)
    }
}

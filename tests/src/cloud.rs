//! What clouds take, as their documents of 2026 say: the table by which a [`StandIn`](crate::StandIn) ends connections. It is written
//! apart from the profiles of bridges, so that each is held to the other.

/// One cloud.
#[derive(Debug)]
pub struct Cloud {
    /// Levels of the protocol that it speaks; any other hears code 1 of CONNACK.
    pub versions: &'static [u8],
    /// The highest QoS, in either direction.
    pub qos: u8,
    /// The longest keep alive in seconds; none is longer.
    pub keep_alive: u16,
    /// Bytes of a client identifier.
    pub client_id: usize,
    /// Filters in a SUBSCRIBE.
    pub filters: usize,
    /// Subscriptions of a connection.
    pub subscriptions: usize,
    /// Slashes in a topic or a filter.
    pub slashes: usize,
    /// Bytes of a topic or a filter.
    pub topic: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// Bytes of a packet.
    pub packet: usize,
    /// Whether CONNECT, SUBSCRIBE and acknowledgements may have user properties.
    pub user_properties: bool,
    /// Whether a SUBSCRIBE may have options besides the QoS.
    pub subscribe_options: bool,
    /// Whether a message may have RETAIN.
    pub retain: bool,
    /// Whether a client may refuse a message in its acknowledgement.
    pub refusals: bool,
    /// Messages above QoS 0 of a client that are not confirmed.
    pub unconfirmed: usize,
    /// Messages of a connection in a second; as many at once after a quiet time.
    pub messages_per_second: u32,
    /// Bytes of payload of a connection in a second, likewise.
    pub bytes_per_second: u32,
    /// What topics of publishes begin with; any where there is none.
    pub publishes: &'static [&'static str],
    /// What filters begin with; any where there is none.
    pub subscribes: &'static [&'static str],
}

const BOTH: &[u8] = &[4, 5];
const MANY: usize = usize::MAX;

const ANY: Cloud = Cloud {
    versions: BOTH,
    qos: 2,
    keep_alive: u16::MAX,
    client_id: MANY,
    filters: MANY,
    subscriptions: MANY,
    slashes: MANY,
    topic: MANY,
    payload: MANY,
    packet: MANY,
    user_properties: true,
    subscribe_options: true,
    retain: true,
    refusals: true,
    unconfirmed: MANY,
    messages_per_second: u32::MAX,
    bytes_per_second: u32::MAX,
    publishes: &[],
    subscribes: &[],
};

/// AWS IoT Core.
pub static AWS_IOT_CORE: Cloud = Cloud {
    qos: 1,
    keep_alive: 1200,
    client_id: 128,
    filters: 8,
    subscriptions: 50,
    slashes: 7,
    topic: 256,
    payload: 131_072,
    subscribe_options: false,
    unconfirmed: 100,
    messages_per_second: 100,
    bytes_per_second: 512 << 10,
    ..ANY
};

/// Azure Event Grid, in a region without retained messages.
pub static AZURE_EVENT_GRID: Cloud = Cloud {
    qos: 1,
    keep_alive: 1160,
    client_id: 128,
    filters: 10,
    subscriptions: 50,
    slashes: 14,
    topic: 256,
    packet: 524_288,
    user_properties: false,
    retain: false,
    refusals: false,
    messages_per_second: 1000,
    bytes_per_second: 1_000_000,
    ..ANY
};

/// Azure IoT Hub, for the device `site-7`.
pub static AZURE_IOT_HUB: Cloud = Cloud {
    versions: &[4],
    qos: 1,
    keep_alive: 1177,
    client_id: 128,
    packet: 262_144,
    retain: false,
    publishes: &["devices/site-7/messages/events", "$iothub/"],
    subscribes: &["devices/site-7/messages/devicebound/", "$iothub/"],
    ..ANY
};

/// HiveMQ Cloud, which says itself what it takes.
pub static HIVEMQ_CLOUD: Cloud = ANY;

/// EMQX Cloud, serverless.
pub static EMQX_CLOUD: Cloud = Cloud {
    client_id: 1024,
    subscriptions: 10,
    slashes: 9,
    packet: 1_048_576,
    messages_per_second: 10,
    ..ANY
};

//! From the checked configuration to the settings of each part.

use std::time::Duration;

use config::Checked;
use mqtt::QoS;

/// Connections that the kernel may hold ready for one listener.
const BACKLOG: u32 = 1024;

/// The protocol name of MQTT in TLS (registered with IANA).
const ALPN: &[u8] = b"mqtt";

/// The protocol name of what opens a WebSocket in TLS: browsers offer it.
const ALPN_WEB: &[u8] = b"http/1.1";

/// What is spoken in a WebSocket (MQTT-6.0.0-3, MQTT-6.0.0-4).
const SUBPROTOCOL: &str = "mqtt";

pub(crate) fn broker(checked: &Checked) -> broker::Settings {
    let (sessions, broker, store) = (&checked.sessions, &checked.broker, &checked.store);
    let mqtt = &checked.mqtt;
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    broker::Settings {
        receive_maximum: sessions.receive_maximum,
        max_inflight: sessions.max_inflight,
        max_packet_size: sessions.max_packet_size,
        max_session_expiry: seconds(sessions.max_expiry),
        max_keep_alive: u16::try_from(sessions.max_keep_alive.as_secs()).unwrap_or(u16::MAX),
        max_queued_messages: sessions.max_queued_messages as usize,
        max_queued_bytes: size(sessions.max_queued_bytes),
        max_queued_bytes_total: size(broker.max_queued_bytes_total),
        overflow: overflow(sessions.overflow),
        topic_rules: checked.topics.iter().map(topic_rule).collect(),
        max_waiting_bytes: size(sessions.queue_memory),
        max_waiting_bytes_total: size(broker.queue_memory_total),
        max_outbox_bytes: size(broker.outbound_buffer),
        max_subscriptions: sessions.max_subscriptions as usize,
        max_topic_levels: usize::from(sessions.max_topic_levels),
        max_topic_bytes: usize::from(sessions.max_topic_bytes),
        max_user_properties: usize::from(sessions.max_user_properties),
        topic_alias_maximum: mqtt.topic_alias_maximum,
        max_topic_aliases: mqtt.max_topic_aliases,
        maximum_qos: QoS::from_u8(mqtt.maximum_qos).unwrap_or(QoS::ExactlyOnce),
        retain_available: mqtt.retain,
        wildcards_available: mqtt.wildcard_subscriptions,
        subscription_ids_available: mqtt.subscription_identifiers,
        shared_available: mqtt.shared_subscriptions,
        validate_payload_format: mqtt.validate_payload_format,
        reports_subscriptions: !checked.observers.is_empty(),
        max_retained_messages: broker.max_retained_messages as usize,
        max_retained_bytes: size(broker.max_retained_bytes),
        max_journal_bytes: size(store.max_pending),
        persist_delay: store.persist_delay,
        ..broker::Settings::default()
    }
}

fn topic_rule(rule: &config::TopicRule) -> broker::TopicRule {
    broker::TopicRule {
        name: rule.name.clone(),
        filter: rule.filter.clone(),
        durability: rule.durability.map(durability),
        overflow: rule.overflow.map(overflow),
        max_queued_messages: rule.max_queued_messages.map(|max| max as usize),
        max_queued_bytes: rule.max_queued_bytes.map(size),
    }
}

pub(crate) fn durability(stated: config::Durability) -> broker::Durability {
    match stated {
        config::Durability::Strict => broker::Durability::Strict,
        config::Durability::Relaxed => broker::Durability::Relaxed,
        config::Durability::Off => broker::Durability::Off,
    }
}

/// What each client of a listener may do at most.
pub(crate) fn client_limits(listener: &config::Listener) -> auth::Limits {
    let rate = |it: config::Rate| auth::Rate { per_second: it.per_second, burst: it.burst };
    auth::Limits {
        messages: listener.rates.messages.map(rate),
        bytes: listener.rates.bytes.map(rate),
        excess: match listener.rates.on_excess {
            config::OnExcess::Delay => auth::Excess::Delay,
            config::OnExcess::Disconnect => auth::Excess::Disconnect,
        },
        ..auth::Limits::default()
    }
}

pub(crate) fn overflow(stated: config::Overflow) -> broker::Overflow {
    match stated {
        config::Overflow::Reject => broker::Overflow::Reject,
        config::Overflow::DropNewest => broker::Overflow::DropNewest,
        config::Overflow::DropOldest => broker::Overflow::DropOldest,
        config::Overflow::LastValue => broker::Overflow::LastValue,
    }
}

pub(crate) fn listener(listener: &config::Listener) -> transport::Settings {
    let alpn = if listener.web.is_some() { ALPN_WEB } else { ALPN };
    let kind = match &listener.transport {
        config::Transport::Tcp => transport::Kind::Tcp,
        config::Transport::Tls(tls) => transport::Kind::Tls(tls_settings(tls, alpn)),
        config::Transport::Quic(quic) => transport::Kind::Quic(quic_settings(quic)),
    };
    let web = listener.web.as_ref().map(|web| transport::WebSettings {
        path: web.path.clone(),
        subprotocol: SUBPROTOCOL.to_owned(),
        origins: web.origins.clone(),
    });
    let network = |it: &config::Network| transport::Network::new(it.address, it.prefix);
    let proxies = listener.proxies.iter().filter_map(network).collect();
    transport::Settings { bind: bind(&listener.bind), kind, web, proxies, backlog: BACKLOG }
}

fn bind(bind: &config::Bind) -> transport::Bind {
    match bind {
        config::Bind::Address(address) => transport::Bind::Address(*address),
        config::Bind::Unix { path, mode } => {
            transport::Bind::Unix { path: path.clone(), mode: *mode }
        }
        config::Bind::Systemd(name) => transport::Bind::Systemd { name: name.clone() },
    }
}

fn quic_settings(quic: &config::Quic) -> transport::QuicSettings {
    transport::QuicSettings {
        tls: tls_settings(&quic.tls, ALPN),
        idle_timeout: quic.idle_timeout,
        congestion: match quic.congestion {
            config::Congestion::Cubic => transport::Congestion::Cubic,
            config::Congestion::NewReno => transport::Congestion::NewReno,
            config::Congestion::Bbr => transport::Congestion::Bbr,
        },
        receive_window: quic.receive_window,
        send_window: quic.send_window,
        streams_max: quic.max_streams,
        retry_from: quic.retry_from as usize,
        handshakes_max: quic.max_handshakes as usize,
    }
}

fn tls_settings(tls: &config::Tls, alpn: &[u8]) -> transport::TlsSettings {
    let (client_auth, client_ca) = match &tls.client_auth {
        config::ClientAuth::None => (transport::ClientAuth::None, None),
        config::ClientAuth::Optional(ca) => (transport::ClientAuth::Optional, Some(ca.clone())),
        config::ClientAuth::Required(ca) => (transport::ClientAuth::Required, Some(ca.clone())),
    };
    transport::TlsSettings {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        more: tls.certificates.iter().map(certificate_files).collect(),
        client_ca,
        client_auth,
        client_crls: tls.revocation.lists.clone(),
        revocation: transport::RevocationPolicy {
            refuse_unknown: tls.revocation.unknown == config::Judgement::Refuse,
            refuse_outdated: tls.revocation.outdated == config::Judgement::Refuse,
        },
        min_version: match tls.min_version {
            config::TlsVersion::V1_2 => transport::TlsVersion::V1_2,
            config::TlsVersion::V1_3 => transport::TlsVersion::V1_3,
        },
        alpn: vec![alpn.to_vec()],
    }
}

fn certificate_files(files: &config::CertificateFiles) -> transport::CertificateFiles {
    transport::CertificateFiles { cert: files.cert.clone(), key: files.key.clone() }
}

pub(crate) fn limits(limits: &config::Limits) -> warden::Limits {
    let network = |it: &config::Network| warden::Network::new(it.address, it.prefix);
    warden::Limits {
        exempt: limits.exempt.iter().filter_map(network).collect(),
        arrival_rate: limits.arrival_rate,
        arrival_burst: limits.arrival_burst,
        connections_per_address: limits.max_connections_per_address,
        connections_per_identity: limits.max_connections_per_identity,
        strangers_per_address: limits.max_strangers_per_address,
        failures_per_name: limits.max_failures_per_name,
        failures_per_address: limits.max_failures_per_address,
        failure_window: limits.failure_window,
        failure_delay: limits.max_failure_delay,
        connects_per_client: limits.max_connects_per_client,
        connects_per_address: limits.max_connects_per_address,
        flapping_window: limits.flapping_window,
        ban_time: limits.ban_time,
        tracked: limits.max_tracked as usize,
        bans: limits.max_bans as usize,
    }
}

pub(crate) fn committer(checked: &Checked) -> store::CommitterSettings {
    store::CommitterSettings {
        group_delay: checked.store.group_commit_delay,
        ..store::CommitterSettings::default()
    }
}

pub(crate) fn extension_limits(extension: &config::Extension) -> extension_host::ExtensionLimits {
    extension_host::ExtensionLimits {
        memory_bytes: size(extension.memory),
        instances: extension.instances as usize,
        deadline_init: extension.deadlines.init,
        deadline_authenticate: extension.deadlines.authenticate,
        deadline_authorize: extension.deadlines.authorize,
        deadline_intercept: extension.deadlines.intercept,
        deadline_observe: extension.deadlines.observe,
        ..extension_host::ExtensionLimits::default()
    }
}

pub(crate) fn capability(grant: config::Grant) -> extension_host::Capability {
    match grant {
        config::Grant::Log => extension_host::Capability::Log,
        config::Grant::Config => extension_host::Capability::Config,
        config::Grant::Credentials => extension_host::Capability::Credentials,
        config::Grant::Clock => extension_host::Capability::Clock,
        config::Grant::Random => extension_host::Capability::Random,
        config::Grant::Cache => extension_host::Capability::Cache,
        config::Grant::Metrics => extension_host::Capability::Metrics,
        config::Grant::KeyValue => extension_host::Capability::KeyValue,
        config::Grant::Http => extension_host::Capability::Http,
        config::Grant::Broker => extension_host::Capability::Broker,
    }
}

/// On a 32-bit board a size above its memory is no limit at all.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(crate) fn log(checked: &Checked) -> telemetry::Settings {
    telemetry::Settings {
        level: match checked.log.level {
            config::Level::Error => telemetry::Level::Error,
            config::Level::Warn => telemetry::Level::Warn,
            config::Level::Info => telemetry::Level::Info,
            config::Level::Debug => telemetry::Level::Debug,
            config::Level::Trace => telemetry::Level::Trace,
        },
        format: match checked.log.format {
            config::Format::Text => telemetry::Format::Text,
            config::Format::Json => telemetry::Format::Json,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use config::{FileProbe, Found};

    use super::*;

    /// Every file is there.
    struct Everything;

    impl FileProbe for Everything {
        fn probe(&self, _: &Path) -> io::Result<Found> {
            Ok(Found::File)
        }

        fn uid(&self) -> Option<u32> {
            None
        }
    }

    fn settings(more: &str) -> broker::Settings {
        let text = format!(
            "[listeners.plant]\nbind = '127.0.0.1:0'\ntransport = 'tcp'\nchain = ['acl']\n\
             [extensions.acl]\ncomponent = 'acl.wasm'\n{more}"
        );
        let checked = config::parse(&text, Path::new("/etc/gateway.toml"), &Everything);
        broker(&checked.map_err(|report| report.to_string()).expect("a configuration"))
    }

    /// The broker's own defaults are for tests of it; they must not be others.
    #[test]
    fn defaults_are_the_brokers() {
        assert_eq!(settings(""), broker::Settings::default());
    }

    #[test]
    fn each_key_is_its_own_setting() {
        let off = |key: &str| settings(&format!("[mqtt]\n{key} = false\n"));
        let usual = broker::Settings::default();
        let expected = broker::Settings { retain_available: false, ..usual.clone() };
        assert_eq!(off("retain"), expected);
        let expected = broker::Settings { wildcards_available: false, ..usual.clone() };
        assert_eq!(off("wildcard-subscriptions"), expected);
        let expected = broker::Settings { shared_available: false, ..usual.clone() };
        assert_eq!(off("shared-subscriptions"), expected);
        let expected = broker::Settings { subscription_ids_available: false, ..usual.clone() };
        assert_eq!(off("subscription-identifiers"), expected);
        let all = settings(
            "[mqtt]\nmaximum-qos = 1\ntopic-alias-maximum = 2\nmax-topic-aliases = 3\n\
             validate-payload-format = true\n\
             [sessions]\nmax-topic-levels = 4\nmax-topic-bytes = '5 B'\nmax-user-properties = 6\n\
             overflow = 'drop-oldest'\nqueue-memory = '7 B'\n\
             [broker]\nqueue-memory-total = '8 B'\n\
             [topics.a]\nfilter = 'a/#'\ndurability = 'off'\noverflow = 'last-value'\n\
             max-queued-messages = 9\nmax-queued-bytes = '10 KiB'\n",
        );
        let expected = broker::Settings {
            maximum_qos: QoS::AtLeastOnce,
            topic_alias_maximum: 2,
            max_topic_aliases: 3,
            validate_payload_format: true,
            max_topic_levels: 4,
            max_topic_bytes: 5,
            max_user_properties: 6,
            overflow: broker::Overflow::DropOldest,
            max_waiting_bytes: 7,
            max_waiting_bytes_total: 8,
            topic_rules: vec![broker::TopicRule {
                name: "a".to_owned(),
                filter: mqtt::TopicFilter::new("a/#").expect("a filter").to_owned(),
                durability: Some(broker::Durability::Off),
                overflow: Some(broker::Overflow::LastValue),
                max_queued_messages: Some(9),
                max_queued_bytes: Some(10 * 1024),
            }],
            ..usual
        };
        assert_eq!(all, expected);
    }
}

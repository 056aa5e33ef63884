//! Whether a bridge fits the profile that it names: what it asks for beyond that is a fault at the start, not an outage later.

use bridge::Rule;
use mqtt::levels;

use super::profile::{Form, Port443, Profile, Retain};
use super::{Bridge, BridgeCredential, BridgeTls, BridgeVersion, Carrier, Upstream};
use crate::section::Section;

/// The version of Azure IoT Hub's interface that a user name has to state.
const API_VERSION: &str = "2021-04-12";

/// The user name that follows from the rest.
pub(super) fn username(
    profile: &Profile,
    upstreams: &[Upstream],
    client_id: Option<&str>,
) -> Option<String> {
    let (first, id) = (upstreams.first()?, client_id?);
    (profile.form == Form::IotHubDevice)
        .then(|| format!("{}/{id}/?api-version={API_VERSION}", first.host))
}

/// Offers the application protocol by which a service tells MQTT from HTTPS at port 443.
pub(super) fn alpn(profile: &Profile, upstreams: &[Upstream], tls: &mut BridgeTls) {
    if let Port443::Mqtt(with_certificate, without) = profile.port_443
        && tls.alpn.is_empty()
        && upstreams
            .iter()
            .any(|one| one.encrypts && one.port == 443 && one.carrier == Carrier::Tcp)
    {
        let name = if tls.identity.is_some() { with_certificate } else { without };
        tls.alpn = vec![name.to_owned()];
    }
}

/// Reports whatever is beyond the profile.
pub(super) fn check(section: &Section<'_>, profile: &'static Profile, bridge: &Bridge) {
    if !profile.is_stated() {
        return;
    }
    let fit = Fit { section, profile };
    fit.addresses(bridge);
    fit.connection(bridge);
    fit.client(bridge);
    fit.number_of_subscriptions(bridge);
    fit.probe(bridge);
    for (key, rules) in [("out", &bridge.outward), ("in", &bridge.inward)] {
        for (rule, section) in rules.iter().zip(section.list(key, key)) {
            Fit { section: &section, profile }.rule(bridge, rule, key == "out");
        }
    }
}

struct Fit<'s, 'a> {
    section: &'s Section<'a>,
    profile: &'static Profile,
}

impl Fit<'_, '_> {
    /// A fault of a key that the file states, or of the whole table where it does not.
    fn fault(&self, key: &str, message: &str) {
        let message = format!("{message} {}", self.profile.source());
        match self.section.line_of(key) {
            Some(line) => self.section.fault(line, key, &message),
            None => self.section.fault_of_all(&format!("{key} {message}")),
        }
    }

    fn addresses(&self, bridge: &Bridge) {
        let service = self.profile.service;
        let key = if self.section.has("urls") { "urls" } else { "url" };
        for one in &bridge.upstreams {
            let url = &one.url;
            if self.profile.encrypts && !one.encrypts {
                let fix = format!(
                    "\"{url}\" does not encrypt, and {service} is reached over TLS only; write mqtts://"
                );
                self.fault(key, &fix);
            } else if one.carrier == Carrier::Quic {
                let fix =
                    format!("\"{url}\" is QUIC, which {service} does not speak; write mqtts://");
                self.fault(key, &fix);
            } else if self.profile.port_443 == Port443::WebSocket
                && one.port == 443
                && one.carrier == Carrier::Tcp
            {
                let fix = format!(
                    "\"{url}\" is no MQTT: {service} has WebSocket at port 443; use port 8883, or wss://"
                );
                self.fault(key, &fix);
            }
        }
    }

    fn connection(&self, bridge: &Bridge) {
        let (profile, service) = (self.profile, self.profile.service);
        if bridge.version != profile.version && !profile.other_version {
            let only = if profile.version == BridgeVersion::V5 { "5.0" } else { "3.1.1" };
            let fix =
                format!("is one that {service} does not speak; write \"{only}\", or leave it out");
            self.fault("version", &fix);
        }
        let (least, most) = profile.keep_alive;
        if !(least..=most).contains(&bridge.keep_alive) {
            let has = bridge.keep_alive;
            let fix = format!(
                "is {has}s, and {service} takes from {least}s to {most}s; change it, or leave it out"
            );
            self.fault("keep-alive", &fix);
        }
        if bridge.receive_maximum > profile.in_flight {
            let (has, most) = (bridge.receive_maximum, profile.in_flight);
            let fix = format!(
                "is {has}, and {service} takes {most} unconfirmed messages; lower it, or leave it out"
            );
            self.fault("receive-maximum", &fix);
        }
        if bridge.max_packet_size > profile.packet {
            let (has, most) = (bridge.max_packet_size, profile.packet);
            let fix = format!(
                "is {has} bytes, and {service} takes packets of {most}; lower it, or leave it out"
            );
            self.fault("max-packet-size", &fix);
        }
        if bridge.retry_min < profile.retry.1 {
            let (has, least) = (bridge.retry_min, profile.retry.1);
            let fix = format!(
                "is {has:?}, and {service} wants {least:?} between two CONNECTs of a client; raise it, or leave it out"
            );
            self.fault("retry-min", &fix);
        }
        if bridge.announce && !profile.announces {
            let fix = format!("is for another Portcullis, and {service} is none; leave it out");
            self.fault("announce", &fix);
        }
    }

    fn client(&self, bridge: &Bridge) {
        let (profile, service) = (self.profile, self.profile.service);
        let id = bridge.client_id.as_deref();
        if let Some(id) = id.filter(|id| id.len() > profile.client_id) {
            let (has, most) = (id.len(), profile.client_id);
            let fix = format!("has {has} bytes, and {service} takes {most}; choose a shorter one");
            self.fault("client-id", &fix);
        }
        if profile.form != Form::IotHubDevice {
            return;
        }
        let Some(id) = id else {
            self.section
                .missing("client-id", "it is the identifier of the device in Azure IoT Hub");
            return;
        };
        if bridge.credential == BridgeCredential::None && bridge.tls.identity.is_none() {
            let hint = "Azure IoT Hub wants a shared access signature, or tls.cert and tls.key";
            self.section.missing("sas", hint);
        }
        let stated = bridge.username.as_deref().unwrap_or_default();
        let fits = |one: &Upstream| stated.starts_with(&format!("{}/{id}/", one.host));
        if !bridge.upstreams.iter().any(fits) {
            let host = bridge.upstreams.first().map_or("HUB", |one| &one.host);
            let form = format!("{host}/{id}/?api-version={API_VERSION}");
            let fix = format!("is not of the form \"{form}\"; leave it out for that");
            self.fault("username", &fix);
        }
    }

    fn number_of_subscriptions(&self, bridge: &Bridge) {
        let probe = usize::from(bridge.probe.is_some());
        let (has, most) = (bridge.inward.len() + probe, self.profile.subscriptions);
        if has > most {
            let service = self.profile.service;
            let fix = format!(
                "comes to {has} subscriptions with that of the probe, and {service} takes {most} of a connection; use fewer filters, or a second bridge"
            );
            self.fault("in", &fix);
        }
    }

    fn rule(&self, bridge: &Bridge, rule: &Rule, outward: bool) {
        let (bounds, service) = (&self.profile.bounds, self.profile.service);
        if rule.qos > bounds.qos {
            let (has, most) = (rule.qos.as_u8(), bounds.qos.as_u8());
            let fix = format!(
                "is {has}, and {service} takes {most}; write qos = {most}, or leave it out"
            );
            self.fault("qos", &fix);
        }
        if rule.retain && self.profile.retain == Retain::Never {
            let fix = format!("is true, and {service} retains nothing; leave it out");
            self.fault("retain", &fix);
        }
        let there = if outward { rule.target() } else { rule.filter().as_str().to_owned() };
        // What "#" stands for may be nothing.
        let names = there.strip_suffix("/#").filter(|_| outward).unwrap_or(&there);
        self.name("filter", &there, names);
        if let Some(batch) = &rule.packing.batch {
            self.name("batch", batch.topic.as_str(), batch.topic.as_str());
        }
        if let (Form::IotHubDevice, Some(id)) = (self.profile.form, bridge.client_id.as_deref()) {
            self.iot_hub_topic(id, &there, outward);
        }
    }

    fn probe(&self, bridge: &Bridge) {
        let Some(probe) = &bridge.probe else { return };
        if self.profile.form == Form::IotHubDevice {
            self.fault(
                "probe",
                "asks for what Azure IoT Hub never does, to hand a message back; leave it out",
            );
        } else if let Some(topic) = &probe.topic {
            self.name("probe", topic.as_str(), topic.as_str());
        }
    }

    /// A topic or a filter, and what of it every topic has that matches it.
    fn name(&self, key: &str, there: &str, names: &str) {
        let (bounds, service) = (&self.profile.bounds, self.profile.service);
        let (has, most) = (levels(names).count(), bounds.topic_levels);
        if has > most {
            let fix = format!(
                "is \"{there}\" there, with {has} levels, and {service} takes {most}; shorten it by strip or another prefix"
            );
            self.fault(key, &fix);
        }
        if names.len() > bounds.topic_bytes {
            let (has, most) = (names.len(), bounds.topic_bytes);
            let fix = format!("has {has} bytes there, and {service} takes {most}; shorten it");
            self.fault(key, &fix);
        }
        if let Some(one) = there.chars().find(|one| bounds.refused_characters.contains(*one)) {
            let fix = format!(
                "is \"{there}\" there, and {service} refuses {one:?} in topics; choose another name"
            );
            self.fault(key, &fix);
        }
    }

    /// Azure IoT Hub has topics of its own, and ends the connection for any other.
    fn iot_hub_topic(&self, id: &str, there: &str, outward: bool) {
        let events = format!("devices/{id}/messages/events");
        let commands = format!("devices/{id}/messages/devicebound/");
        let allowed: &[&str] = match outward {
            true => &[&events, "$iothub/methods/res/", "$iothub/twin/"],
            false => &[&commands, "$iothub/methods/POST/", "$iothub/twin/"],
        };
        let begins = |front: &&&str| match there.strip_prefix(**front) {
            Some(rest) => front.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        if allowed.iter().find(begins).is_none() {
            let fix = format!(
                "is \"{there}\" there, where Azure IoT Hub has only {}; use strip and prefix",
                allowed.join(", ")
            );
            self.fault("filter", &fix);
        }
    }
}

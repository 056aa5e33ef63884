use mqtt::{
    ConnAck, Connect, ConnectProperties, Packet, QoS, ReasonCode, UserPropertiesBuf, Version,
};
use session::Timestamp;

use super::{LocalTerms, Phase, Relay};
use crate::aliases::Aliases;
use crate::heartbeat::Heartbeat;
use crate::trail::GATEWAY_PROPERTY;
use crate::{End, Priority};

/// Bytes by which a message from upstream may grow here: by the levels of a prefix and by one more gateway on its trail. Upstream
/// is told so much less than the local broker accepts.
const GROWTH: u32 = 2048;

impl Relay {
    /// CONNECT.
    pub(super) fn greet(&mut self, now: Timestamp) {
        let settings = &self.settings;
        let mut user = UserPropertiesBuf::default();
        if settings.announces {
            // An identifier of ours is short and printable.
            let _ = user.push(GATEWAY_PROPERTY, &settings.gateway);
        }
        let (by, v5) = (settings.authentication.as_ref(), self.upstream.version.is_v5());
        let properties = ConnectProperties {
            session_expiry: Some(u32::MAX),
            receive_maximum: Some(self.in_flight_max()),
            maximum_packet_size: Some(
                settings.local.max_packet_size.saturating_sub(GROWTH).max(1024),
            ),
            authentication_method: by.filter(|_| v5).map(|by| by.method.as_str()),
            authentication_data: by.filter(|_| v5).map(|by| by.data.as_slice()),
            user: user.as_ref(),
            ..ConnectProperties::default()
        };
        let connect = Connect {
            version: self.upstream.version,
            client_id: &settings.client_id,
            clean_start: false,
            keep_alive: settings.keep_alive,
            username: settings.username.as_deref(),
            password: settings.password.as_deref(),
            will: None,
            properties,
        };
        // What cannot be written was checked with the configuration; an empty output makes upstream time out.
        let _ = self.upstream.send(now, &Packet::Connect(Box::new(connect)));
    }

    /// Messages of QoS 1 and 2 in either direction: dead letters and messages from upstream share what the local broker allows.
    fn in_flight_max(&self) -> u16 {
        self.settings.receive_maximum.min(self.settings.local.receive_maximum / 2).max(1)
    }

    /// CONNACK of upstream.
    pub(super) fn connected(&mut self, now: Timestamp, connack: &ConnAck<'_>) -> Result<(), End> {
        if connack.code == ReasonCode::UnsupportedProtocolVersion {
            return Err(End::UnsupportedVersion);
        }
        if connack.code.is_error() {
            let reason = connack.properties.reason.map(str::to_owned);
            return Err(End::Refused { code: connack.code, reason });
        }
        let said = &connack.properties;
        let largest =
            said.maximum_packet_size.unwrap_or(u32::MAX).min(self.settings.max_packet_size);
        self.upstream.max_packet = usize::try_from(largest).unwrap_or(usize::MAX);
        let bounds = self.settings.bounds;
        self.upstream.max_qos = said.maximum_qos.unwrap_or(QoS::ExactlyOnce).min(bounds.qos);
        self.upstream.retains = said.retain_available.unwrap_or(true) && bounds.retains;
        let keep_alive = said.server_keep_alive.unwrap_or(self.settings.keep_alive);
        self.upstream.heartbeat = Heartbeat::new(keep_alive, now);
        self.peer = said
            .user
            .iter()
            .find(|(name, _)| *name == GATEWAY_PROPERTY)
            .map(|(_, id)| id.to_owned());
        self.subscribe(now, connack.session_present)?;
        self.phase = Phase::Between;
        let receive_maximum = said.receive_maximum.unwrap_or(u16::MAX).min(self.in_flight_max());
        self.batches.window = receive_maximum;
        let aliases = said.topic_alias_maximum.unwrap_or(0).min(self.settings.topic_aliases);
        self.aliases = Aliases::new(aliases);
        self.window = receive_maximum.into();
        let session_present = connack.session_present;
        self.terms = Some(LocalTerms { receive_maximum, session_present });
        Ok(())
    }

    /// CONNACK of the local broker.
    pub(super) fn let_in(&mut self, now: Timestamp, priority: Priority, connack: &ConnAck<'_>) {
        let said = &connack.properties;
        let local = self.locals.of_mut(priority);
        local.max_qos = said.maximum_qos.unwrap_or(QoS::ExactlyOnce);
        local.retains = said.retain_available.unwrap_or(true);
        let largest = said.maximum_packet_size.unwrap_or(u32::MAX);
        local.max_packet = usize::try_from(largest).unwrap_or(usize::MAX);
        local.heartbeat = Heartbeat::new(said.server_keep_alive.unwrap_or(0), now).halved();
        self.entered.insert(priority);
        if self.settings.priorities.iter().all(|priority| self.entered.contains(priority)) {
            self.phase = Phase::Running;
        }
    }
}

/// A broker that does not know MQTT 5 may answer in the form of 3.1.1, which is two bytes shorter than the shortest of 5.
pub(super) fn check_old_connack(version: Version, input: &[u8]) -> Result<(), End> {
    match input {
        [0x20, 2, _, code, ..] if version.is_v5() => match ReasonCode::from_connack_v3(*code) {
            Some(ReasonCode::UnsupportedProtocolVersion | ReasonCode::Success) | None => {
                Err(End::UnsupportedVersion)
            }
            Some(code) => Err(End::Refused { code, reason: None }),
        },
        _ => Ok(()),
    }
}

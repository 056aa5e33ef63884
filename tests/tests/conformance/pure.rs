//! The broker as a value: all happens at once, and time is turned. What `with` may set:
//!
//! `max-qos=1` `retain=0` `wildcards=0` `sub-ids=0` `shared=0` `max-keep-alive=10` `may=nothing`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth::{Fallback, PermissionSet, Permissions};
use broker::{LinkId, Settings, answer_to_broken_connect, refusal};
use mqtt::{Connect, Decoded, Decoder, Packet, QoS, ReasonCode, Version};

use crate::play::{Received, Stage};
use crate::words::number;
use crate::{MAX_PACKET_SIZE, RECEIVE_MAXIMUM};
use simulation::{Door, Login, World};

pub(crate) struct Pure {
    world: World,
    permissions: Arc<PermissionSet>,
    clients: BTreeMap<String, Client>,
}

#[derive(Default)]
struct Client {
    /// What was sent before there was a conversation.
    greeting: Vec<u8>,
    link: Option<LinkId>,
    /// What was said by the door.
    wire: Vec<u8>,
    turned_away: bool,
}

impl Pure {
    /// A broker with these settings; an error says which there is not.
    pub(crate) fn new(with: &[String]) -> Result<Self, String> {
        let mut settings = Settings {
            receive_maximum: RECEIVE_MAXIMUM,
            max_packet_size: MAX_PACKET_SIZE,
            // Nobody is given time to acknowledge before the disk is asked.
            persist_delay: Duration::ZERO,
            ..Settings::default()
        };
        let mut fallback = Fallback::Allow;
        for setting in with {
            match setting.split_once('=') {
                Some(("max-qos", qos)) => {
                    settings.maximum_qos = QoS::from_u8(number(qos)?).ok_or("a QoS")?;
                }
                Some(("retain", "0")) => settings.retain_available = false,
                Some(("wildcards", "0")) => settings.wildcards_available = false,
                Some(("sub-ids", "0")) => settings.subscription_ids_available = false,
                Some(("shared", "0")) => settings.shared_available = false,
                Some(("max-keep-alive", seconds)) => settings.max_keep_alive = number(seconds)?,
                Some(("may", "nothing")) => fallback = Fallback::Deny,
                _ => return Err(format!("there is no setting {setting:?}")),
            }
        }
        let permissions = Permissions { rules: Vec::new(), fallback, source: "script".into() };
        let permissions = PermissionSet::compile(&permissions).map_err(|e| e.to_string())?;
        Ok(Self {
            world: World::new(settings, 1),
            permissions: Arc::new(permissions),
            clients: BTreeMap::new(),
        })
    }

    /// The way in, as the gateway's.
    fn greet(&mut self, who: &str) {
        let Some(client) = self.clients.get_mut(who) else { return };
        let bytes = std::mem::take(&mut client.greeting);
        let mut decoder = Decoder::new(MAX_PACKET_SIZE);
        match decoder.decode(&bytes) {
            Ok(Decoded::Incomplete { .. }) => client.greeting = bytes,
            Ok(Decoded::Packet { packet: Packet::Connect(connect), len }) => {
                match self.admit(&connect) {
                    Ok(link) => {
                        self.world.send(link, &bytes[len..]);
                        if let Some(client) = self.clients.get_mut(who) {
                            client.link = Some(link);
                        }
                    }
                    Err(code) => self.turn_away(who, Some((connect.version, code))),
                }
            }
            Ok(Decoded::Packet { .. }) => self.turn_away(who, None),
            Err(error) => self.turn_away(who, answer_to_broken_connect(&bytes, &error)),
        }
    }

    fn admit(&mut self, connect: &Connect<'_>) -> Result<LinkId, ReasonCode> {
        let login = Login {
            connect,
            principal: "everybody",
            permissions: Arc::clone(&self.permissions),
            valid_for_ms: None,
            limits: auth::Limits::default(),
            authentication_data: None,
            will_verdict: None,
            will_interception: None,
        };
        match self.world.connect(&login) {
            Door::Open(link) => Ok(link),
            Door::Shut(closing) => Err(closing.code),
            Door::Ask(question) => panic!("nothing is asked about: {question:?}"),
        }
    }

    /// What is due happens, and the disk writes all that there is.
    fn settle(&mut self) {
        self.world.advance(Duration::ZERO);
        self.world.flush();
    }

    fn turn_away(&mut self, who: &str, answer: Option<(Version, ReasonCode)>) {
        let Some(client) = self.clients.get_mut(who) else { return };
        client.turned_away = true;
        client.wire = answer.map(|(version, code)| refusal(version, code)).unwrap_or_default();
    }
}

impl Stage for Pure {
    fn send(&mut self, who: &str, bytes: &[u8]) {
        let client = self.clients.entry(who.to_owned()).or_default();
        match client.link {
            Some(link) => {
                self.world.send(link, bytes);
            }
            None if client.turned_away => {}
            None => {
                client.greeting.extend(bytes);
                self.greet(who);
            }
        }
        self.settle();
    }

    fn receive(&mut self, who: &str) -> Received {
        let Some(client) = self.clients.get_mut(who) else { return Received::Nothing };
        let mut bytes = std::mem::take(&mut client.wire);
        if let Some(wire) = client.link.and_then(|link| self.world.wire(link)) {
            bytes.append(wire);
        }
        let closed =
            client.turned_away || client.link.is_some_and(|link| !self.world.is_open(link));
        match (bytes.is_empty(), closed) {
            (false, _) => Received::Bytes(bytes),
            (true, false) => Received::Nothing,
            (true, true) => {
                self.clients.remove(who);
                Received::Closed(None)
            }
        }
    }

    fn drop(&mut self, who: &str) {
        if let Some(link) = self.clients.remove(who).and_then(|client| client.link) {
            self.world.cut(link);
        }
        self.settle();
    }

    fn wait(&mut self, time: Duration) {
        self.world.advance(time);
        self.settle();
    }

    fn is_settled(&self) -> bool {
        true
    }
}

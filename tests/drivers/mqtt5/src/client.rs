use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt5::transport::tls::TlsConfig;
use mqtt5::{
    AckToken, ConnectOptions, ConnectResult, ConnectionEvent, DisconnectReason, Message,
    MqttClient, MqttError, ProtocolVersion, PublishOptions, SubscribeOptions, WillMessage,
};
use serde_json::{Map, Value, json};

use crate::words::{self, flag, number, text};
use crate::{Failure, say};

/// One client under its name in the case.
pub(crate) struct Client {
    name: String,
    client: MqttClient,
    /// Acknowledges when it is told to, not by itself.
    holds: bool,
    held: Arc<Mutex<VecDeque<AckToken>>>,
    /// It has left by its own will: what comes of that is no event.
    gone: Arc<Mutex<bool>>,
}

impl Client {
    pub(crate) async fn new(name: &str, command: &Value) -> Result<Self, Failure> {
        let this = Self {
            name: name.to_owned(),
            client: MqttClient::with_options(options(command)),
            holds: flag(command, "hold"),
            held: Arc::default(),
            gone: Arc::default(),
        };
        this.tell_of_its_end().await?;
        Ok(this)
    }

    /// Connects, again if it was connected before; gives what CONNACK said.
    pub(crate) async fn connect(&self, command: &Value) -> Result<Value, Failure> {
        *lock(&self.gone) = false;
        match self.dial(command, options(command)).await {
            Ok(result) => Ok(json!({ "code": 0, "present": result.session_present })),
            Err(MqttError::ConnectionRefused(code)) => {
                *lock(&self.gone) = true;
                Ok(json!({ "code": u8::from(code) }))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn dial(
        &self,
        command: &Value,
        options: ConnectOptions,
    ) -> Result<ConnectResult, MqttError> {
        let port = number(command, "port").unwrap_or(0);
        if let Some(strategy) = words::streams(command) {
            let ca = text(command, "ca").unwrap_or_default().into_bytes();
            self.client.set_tls_config(None, None, Some(ca)).await;
            self.client.set_quic_stream_strategy(strategy).await;
            let address = format!("quics://127.0.0.1:{port}");
            return self.client.connect_with_options(&address, options).await;
        }
        if !flag(command, "tls") {
            let address = format!("mqtt://localhost:{port}");
            return self.client.connect_with_options(&address, options).await;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut tls = TlsConfig::new(address, "localhost").with_system_roots(false);
        tls.load_ca_cert_pem(&text(command, "ca").unwrap_or_default())?;
        self.client.connect_with_tls_and_options(tls, options).await
    }

    async fn tell_of_its_end(&self) -> Result<(), MqttError> {
        let (name, gone) = (self.name.clone(), Arc::clone(&self.gone));
        let tell = move |event| {
            let ConnectionEvent::Disconnected { reason } = event else { return };
            if *lock(&gone) {
                return;
            }
            let mut words = json!({ "client": name, "event": "closed" });
            if let DisconnectReason::ServerDisconnect(code) = reason {
                words["code"] = u8::from(code).into();
            }
            say(&words);
        };
        self.client.on_connection_event(tell).await
    }

    pub(crate) async fn subscribe(&self, command: &Value) -> Result<Value, Failure> {
        let options = SubscribeOptions {
            qos: words::qos(command),
            no_local: flag(command, "no-local"),
            retain_as_published: flag(command, "as-published"),
            retain_handling: words::handling(command),
            subscription_identifier: number(command, "ids"),
        };
        let mut codes = Vec::new();
        for filter in text(command, "filter").unwrap_or_default().split(',') {
            let name = self.name.clone();
            let result = if self.holds {
                let held = Arc::clone(&self.held);
                let take = move |packet: mqtt5::packet::publish::PublishPacket, token| {
                    lock(&held).push_back(token);
                    tell(&name, packet.into());
                };
                self.client.subscribe_with_ack(filter, options.clone(), take).await
            } else {
                let take = move |message| tell(&name, message);
                self.client.subscribe_with_options(filter, options.clone(), take).await
            };
            codes.push(match result {
                Ok((_, qos)) => qos as u8,
                Err(MqttError::SubscriptionFailed(code)) => u8::from(code),
                Err(MqttError::SubscriptionDenied(code)) => code as u8,
                Err(error) => return Err(error.into()),
            });
        }
        Ok(json!({ "codes": codes }))
    }

    pub(crate) async fn unsubscribe(&self, command: &Value) -> Result<Value, Failure> {
        for filter in text(command, "filter").unwrap_or_default().split(',') {
            self.client.unsubscribe(filter).await?;
        }
        Ok(json!({}))
    }

    pub(crate) async fn publish(&self, command: &Value) -> Result<Value, Failure> {
        let payload = text(command, "payload").unwrap_or_default();
        match self.send(command, payload).await {
            Ok(()) => Ok(json!({ "code": 0 })),
            Err(MqttError::PublishFailed(code)) => Ok(json!({ "code": u8::from(code) })),
            Err(error) => Err(error.into()),
        }
    }

    /// As many messages as asked for, numbered, each after the one before.
    pub(crate) async fn flood(&self, command: &Value) -> Result<Value, Failure> {
        let count = number(command, "count").unwrap_or(0_u64);
        for number in 0..count {
            self.send(command, number.to_string()).await?;
        }
        Ok(json!({ "done": count }))
    }

    async fn send(&self, command: &Value, payload: String) -> Result<(), MqttError> {
        let options = PublishOptions {
            qos: words::qos(command),
            retain: flag(command, "retain"),
            properties: words::publish_properties(command),
            ..PublishOptions::default()
        };
        let topic = text(command, "topic").unwrap_or_default();
        self.client.publish_with_options(topic, payload, options).await.map(drop)
    }

    pub(crate) fn acknowledge(&self, command: &Value) -> Result<Value, Failure> {
        for _ in 0..number(command, "count").unwrap_or(1_u64) {
            lock(&self.held).pop_front().ok_or("there is nothing to acknowledge")?.ack();
        }
        Ok(json!({}))
    }

    pub(crate) async fn disconnect(&self) -> Result<Value, Failure> {
        *lock(&self.gone) = true;
        self.client.disconnect().await?;
        Ok(json!({}))
    }

    /// The connection ends without a word.
    pub(crate) async fn kill(&self) -> Result<Value, Failure> {
        *lock(&self.gone) = true;
        self.client.disconnect_abnormally().await?;
        Ok(json!({}))
    }
}

fn tell(client: &str, message: Message) {
    let mut words: Map<String, Value> = words::of_message(message.properties);
    for (name, value) in [
        ("client", json!(client)),
        ("event", json!("message")),
        ("topic", json!(message.topic)),
        ("payload", json!(String::from_utf8_lossy(&message.payload))),
        ("qos", json!(message.qos as u8)),
        ("retain", json!(message.retain)),
    ] {
        words.insert(name.to_owned(), value);
    }
    say(&Value::Object(words));
}

fn options(command: &Value) -> ConnectOptions {
    let v5 = command["version"] == 5;
    let version = if v5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
    let clean = command["clean"].as_bool().unwrap_or(true);
    let mut options = ConnectOptions::new(text(command, "id").unwrap_or_default())
        .with_protocol_version(version)
        .with_clean_start(clean)
        .with_resume_existing_session(true)
        .with_keep_alive(Duration::from_secs(number(command, "keep-alive").unwrap_or(60)))
        .with_credentials(
            text(command, "username").unwrap_or_default(),
            text(command, "password").unwrap_or_default(),
        )
        .with_automatic_reconnect(false)
        .with_deferred_ack(flag(command, "hold"));
    if v5 {
        let properties = &mut options.properties;
        properties.session_expiry_interval = number(command, "session-expiry");
        properties.receive_maximum = number(command, "receive-maximum");
        properties.maximum_packet_size = number(command, "maximum-packet");
        properties.topic_alias_maximum = number(command, "alias-maximum");
        properties.user_properties = words::pairs(command);
    }
    let will = &command["will"];
    if let Some(topic) = text(will, "topic") {
        let mut message = WillMessage::new(topic, text(will, "payload").unwrap_or_default())
            .with_qos(words::qos(will))
            .with_retain(flag(will, "retain"));
        message.properties = words::will_properties(will);
        options = options.with_will(message);
    }
    options
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The client whose calls wait for their answers.

use std::time::Duration;

use flowsdk::mqtt_client::{
    MqttClientOptions, MqttMessage, TokioAsyncClientConfig, TokioAsyncMqttClient,
    TokioMqttEventHandler,
};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::{Failure, MESSAGES, Received, TOPIC, message, say};

/// How long it waits for a message.
const PATIENCE: Duration = Duration::from_secs(20);

struct Handler(UnboundedSender<(u8, Vec<u8>)>);

#[async_trait::async_trait]
impl TokioMqttEventHandler for Handler {
    async fn on_message_received(&mut self, message: &MqttMessage) {
        // Nobody waits for more than the messages that were sent.
        let _ = self.0.send((message.qos, message.payload.clone()));
    }
}

pub(crate) async fn converse(options: MqttClientOptions, ca: String) -> Result<(), Failure> {
    let config =
        TokioAsyncClientConfig::builder().auto_reconnect(false).quic_custom_root_ca_pem(ca).build();
    let (tell, mut told) = unbounded_channel();
    let client = TokioAsyncMqttClient::new(options, Box::new(Handler(tell)), config).await?;
    let connected = client.connect_sync().await?;
    say(&json!({ "step": "connack", "code": connected.reason_code }));
    let subscribed = client.subscribe_sync(TOPIC, 2).await?;
    say(&json!({ "step": "suback", "codes": subscribed.reason_codes }));
    let (mut received, mut acknowledged) = (Received::default(), 0);
    for number in 0..MESSAGES {
        let (payload, qos) = message(number);
        let published = client.publish_sync(TOPIC, &payload, qos, false).await?;
        acknowledged += usize::from(published.reason_code == Some(0));
    }
    while !received.is_complete() {
        let (qos, payload) = timeout(PATIENCE, told.recv()).await?.ok_or("no more messages")?;
        received.add(qos, &payload)?;
    }
    say(&received.words(acknowledged));
    client.disconnect_sync().await?;
    say(&json!({ "step": "end" }));
    Ok(())
}

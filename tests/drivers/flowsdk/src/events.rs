//! The client that tells of events, and puts subscriptions on streams of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use flowsdk::mqtt_client::{
    MqttClientOptions, MqttEvent, PublishCommand, SubscribeCommand, TokioQuicMqttClient,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::time::timeout;

use crate::{Failure, MESSAGES, Received, TOPIC, message, say};

/// How long it waits for an event.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn converse(
    options: MqttClientOptions,
    port: u16,
    ca: &str,
) -> Result<(), Failure> {
    let mut client = TokioQuicMqttClient::new(options).map_err(|error| error.to_string())?;
    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    client.connect(gateway, "localhost".to_owned(), trusting(ca)?).await?;
    let (mut received, mut acknowledged) = (Received::default(), 0);
    // Of QoS 0 no more is heard than that they were sent.
    let expected = (0..MESSAGES).filter(|number| message(*number).1 > 0).count();
    while !received.is_complete() || acknowledged < expected {
        let event = timeout(PATIENCE, client.next_event()).await?.ok_or("the client has ended")?;
        match event {
            MqttEvent::Connected(connected) => {
                say(&json!({ "step": "connack", "code": connected.reason_code }));
                client.subscribe(SubscribeCommand::single(TOPIC, 2)).await?;
            }
            MqttEvent::Subscribed(subscribed) => {
                say(&json!({ "step": "suback", "codes": subscribed.reason_codes }));
                for number in 0..MESSAGES {
                    let (payload, qos) = message(number);
                    client.publish(PublishCommand::simple(TOPIC, payload, qos, false)).await?;
                }
            }
            MqttEvent::Published(published) => {
                acknowledged += usize::from(published.reason_code == Some(0));
            }
            MqttEvent::MessageReceived(message) => received.add(message.qos, &message.payload)?,
            MqttEvent::Error(error) => return Err(error.to_string().into()),
            MqttEvent::Disconnected(code) => return Err(format!("disconnected: {code:?}").into()),
            MqttEvent::TransportClosed { reason, .. } => return Err(reason.into()),
            _ => {}
        }
    }
    say(&received.words(acknowledged));
    client.disconnect().await?;
    say(&json!({ "step": "end" }));
    Ok(())
}

/// What trusts this authority only, and speaks MQTT.
fn trusting(ca: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    Ok(config)
}

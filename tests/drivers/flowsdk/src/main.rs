//! Has a client of the crate `flowsdk` speak MQTT 5, and says what came of each step as a line of JSON.
//!
//! Usage: flowsdk-driver tcp|quic|quic-streams PORT CA USER PASSWORD
//!
//! With `quic` everything is on one stream; with `quic-streams` SUBSCRIBE and what comes of it are on a stream of data. Each
//! subscribes to a topic and sends itself thirty messages, of QoS 0, 1 and 2 in turns.

mod calls;
mod events;

use std::error::Error;

use flowsdk::mqtt_client::MqttClientOptions;
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

/// Messages of each client.
const MESSAGES: u32 = 30;

/// What it subscribes to.
const TOPIC: &str = "own/flowsdk";

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [transport, port, ca, user, password] = &words[..] else {
        return Err("usage: flowsdk-driver tcp|quic|quic-streams PORT CA USER PASSWORD".into());
    };
    let ca = std::fs::read_to_string(ca)?;
    let peer = match transport.as_str() {
        "tcp" => format!("mqtt://127.0.0.1:{port}"),
        _ => format!("quic://localhost:{port}"),
    };
    let options = MqttClientOptions::builder()
        .peer(peer)
        .client_id("flowsdk")
        .username(user.clone())
        .password(password.clone().into_bytes())
        .clean_start(true)
        .keep_alive(30)
        .reconnect(false)
        .build();
    match transport.as_str() {
        "quic-streams" => events::converse(options, port.parse()?, &ca).await,
        _ => calls::converse(options, ca).await,
    }
}

/// What is sent with this number.
fn message(number: u32) -> (Vec<u8>, u8) {
    (number.to_string().into_bytes(), (number % 3) as u8)
}

/// The messages that came back.
#[derive(Default)]
struct Received(Vec<(u8, u32)>);

impl Received {
    fn add(&mut self, qos: u8, payload: &[u8]) -> Result<(), Failure> {
        self.0.push((qos, std::str::from_utf8(payload)?.parse()?));
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.0.len() >= MESSAGES as usize
    }

    /// Messages of different QoS may overtake each other in the client, those of one may not.
    fn words(&self, acknowledged: usize) -> Value {
        let of =
            |qos: u8| self.0.iter().filter(move |(of, _)| *of == qos).map(|(_, number)| *number);
        let in_order = (0..3).all(|qos| of(qos).is_sorted_by(|one, next| one < next));
        let counts: Vec<usize> = (0..3).map(|qos| of(qos).count()).collect();
        json!({ "step": "flow", "received": counts, "in_order": in_order, "acknowledged": acknowledged })
    }
}

fn say(words: &Value) {
    println!("{words}");
}

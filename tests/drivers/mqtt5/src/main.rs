//! Drives clients of the crate `mqtt5`: a command per line of standard input, an answer or an event per line of
//! standard output. The words are those of the cases in tests/tests/clients; both directions are JSON.

mod client;
mod words;

use std::collections::HashMap;
use std::error::Error;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use client::Client;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut clients = HashMap::new();
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let command: Value = serde_json::from_str(&line)?;
        let mut answer = perform(&mut clients, &command)
            .await
            .unwrap_or_else(|failure| json!({ "error": failure.to_string() }));
        answer["n"] = command["n"].clone();
        say(&answer);
    }
    Ok(())
}

async fn perform(clients: &mut HashMap<String, Client>, command: &Value) -> Result<Value, Failure> {
    let name = words::text(command, "client").unwrap_or_default();
    let verb = words::text(command, "do").unwrap_or_default();
    if verb == "connect" {
        // One that comes back is the same client: it knows what to do with what its session has for it.
        if !clients.contains_key(&name) {
            clients.insert(name.clone(), Client::new(&name, command).await?);
        }
    }
    let client = clients.get(&name).ok_or_else(|| format!("there is no client {name}"))?;
    match verb.as_str() {
        "connect" => client.connect(command).await,
        "subscribe" => client.subscribe(command).await,
        "unsubscribe" => client.unsubscribe(command).await,
        "publish" => client.publish(command).await,
        "flood" => client.flood(command).await,
        "ack" => client.acknowledge(command),
        "disconnect" => client.disconnect().await,
        "kill" => client.kill().await,
        _ => Err(format!("{verb} is nothing that it can do").into()),
    }
}

fn say(words: &Value) {
    println!("{words}");
}

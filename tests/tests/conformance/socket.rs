//! The real gateway, over TCP and over WebSocket.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use portcullis_tests::{Gateway, MQTT, Offer, PATIENCE, Site, WebSocket, Wire, free_port};

use crate::guest::{Fallback, Guest, TWO_STEPS};
use crate::play::{self, Received, Stage};
use crate::script::{Script, Where};
use crate::{MAX_PACKET_SIZE, RECEIVE_MAXIMUM};

/// Scripts that are played at a time.
const AT_ONCE: usize = 8;

/// Plays all on one gateway, over TCP or over WebSocket; gives what went wrong.
pub(crate) fn play_all(scripts: &[Script], carrier: Where) -> Vec<String> {
    let site = Site::new();
    let (port, web) = (free_port(), free_port());
    configure(&site, port, web);
    let mut gateway = Gateway::start_with(&site, 4);
    let port = if carrier == Where::WebSocket { web } else { port };
    let (alone, together): (Vec<_>, Vec<_>) = scripts.iter().partition(|script| script.alone);
    let failures = Mutex::new(Vec::new());
    let run = |number: usize, script: &Script| {
        let ca = site.ca();
        let stage = Socket { carrier, port, ca, connections: BTreeMap::new() };
        if let Err(failure) = play::play(script, &format!("s{number}"), stage) {
            failures.lock().expect("nobody panics with it").push(failure);
        }
    };
    alone.iter().enumerate().for_each(|(number, script)| run(number, script));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(script) = together.get(number) else { break };
                    run(number, script);
                }
            });
        }
    });
    gateway.assert_sound();
    let mut failures = failures.into_inner().expect("nobody panics with it");
    failures.sort();
    failures
}

/// A listener that lets everybody in to do anything, with the limits of the other stage.
fn configure(site: &Site, port: u16, web: u16) {
    // Who names the method `M` is challenged with `?`, and is let in for `yes`.
    let guest = Guest::authenticator("")
        .accepting(&[], Fallback::Allow)
        .with_step(&["M"], TWO_STEPS)
        .granting(&[], Fallback::Allow);
    fs::write(site.path("everybody.wasm"), guest.build()).expect("the component is written");
    site.configure(&format!(
        r#"[listeners.everybody]
bind = "127.0.0.1:{port}"
transport = "tcp"
chain = ["everybody"]
[listeners.pages]
bind = "127.0.0.1:{web}"
transport = "wss"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["everybody"]
[extensions.everybody]
component = "everybody.wasm"
[sessions]
receive-maximum = {RECEIVE_MAXIMUM}
max-packet-size = "{} KiB"
"#,
        MAX_PACKET_SIZE / 1024
    ));
}

struct Socket {
    carrier: Where,
    port: u16,
    ca: PathBuf,
    connections: BTreeMap<String, Wire>,
}

impl Stage for Socket {
    fn send(&mut self, who: &str, bytes: &[u8]) {
        let wire = self.connections.entry(who.to_owned()).or_insert_with(|| {
            let wire = match self.carrier {
                Where::WebSocket => Wire::wss(self.port, &self.ca),
                Where::Broker | Where::Socket => Wire::plain(self.port),
            };
            wire.expect("the gateway accepts connections")
        });
        // If the gateway has closed, reading tells.
        let _ = wire.write_all(bytes).and_then(|()| wire.flush());
    }

    fn frame(&mut self, who: &str, first: u8, payload: &[u8]) {
        if let Some(Wire::Web(socket)) = self.connections.get_mut(who) {
            // If the gateway has closed, reading tells.
            let _ = socket.frame(first, payload);
        }
    }

    fn offer(&mut self, who: &str, subprotocols: &str) -> Option<String> {
        let tls = Wire::tls_for(b"http/1.1", self.port, &self.ca, None);
        let tls = tls.expect("the gateway accepts connections");
        match WebSocket::open(tls, Offer { subprotocols, ..MQTT }) {
            Ok(socket) => {
                self.connections.insert(who.to_owned(), Wire::Web(Box::new(socket)));
                None
            }
            Err(answer) => answer.to_string().split(' ').nth(1).map(str::to_owned),
        }
    }

    fn receive(&mut self, who: &str) -> Received {
        let Some(wire) = self.connections.get_mut(who) else { return Received::Nothing };
        wire.set_patience(PATIENCE);
        let mut bytes = vec![0; 64 * 1024];
        match wire.read(&mut bytes) {
            Ok(0) => match self.connections.remove(who) {
                Some(Wire::Web(socket)) => Received::Closed(socket.closed()),
                _ => Received::Closed(None),
            },
            Ok(count) => {
                bytes.truncate(count);
                Received::Bytes(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Received::Nothing,
            Err(_) => {
                self.connections.remove(who);
                Received::Closed(None)
            }
        }
    }

    fn drop(&mut self, who: &str) {
        let Some(mut wire) = self.connections.remove(who) else { return };
        wire.hang_up();
        // The gateway closes its side once the broker knows.
        assert!(wire.closes_within(PATIENCE), "the gateway notices that {who} is gone");
    }

    fn wait(&mut self, time: Duration) {
        thread::sleep(time);
    }

    fn is_settled(&self) -> bool {
        false
    }
}

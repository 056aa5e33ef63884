//! A web page in a real browser that speaks MQTT: mqtt.js in headless Chromium.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use portcullis_tests::tools::node_modules;
use portcullis_tests::{DEMO, Gateway, Site, free_port};
use serde_json::Value;

use crate::libraries::listener;

/// A browser is slow to start on a small and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a page publishes to itself: more than a frame's shorter lengths can say.
const LENGTH: usize = 100_000;

#[test]
fn a_page_connects_subscribes_and_publishes() {
    let (site, port) = (Site::new(), free_port());
    let pages = Pages::serve(page(&site, port));
    site.configure(&listener(port));
    let mut gateway = Gateway::start_with(&site, 3);
    let browser = Browser::open(&site, &format!("http://localhost:{}/", pages.port));
    let said = pages.said.recv_timeout(PATIENCE).expect("the page reports");
    assert_eq!(said["error"], Value::Null, "{said}");
    assert_eq!(said["topic"], "demo/page");
    assert_eq!(said["length"], LENGTH);
    assert_eq!(said["clean"], true, "the goodbye is answered: {said}");
    drop(browser);

    // The same page from a host that is not the gateway's, which nobody has allowed.
    let mark = gateway.log.mark();
    let _browser = Browser::open(&site, &format!("http://127.0.0.1:{}/", pages.port));
    let said = pages.said.recv_timeout(PATIENCE).expect("the page reports");
    assert_ne!(said["error"], Value::Null, "{said}");
    let refused = gateway.events(mark, "connection turned away");
    let why = refused.first().map(|event| event["why"].to_string()).unwrap_or_default();
    assert!(why.contains("Origin"), "{refused:?}");
    gateway.assert_sound();
}

/// Connects, hears its own message, and says goodbye.
fn page(site: &Site, port: u16) -> String {
    let password = &site.password;
    format!(
        r#"<!doctype html><meta charset="utf-8"><title>MQTT</title><script src="/mqtt.js"></script><script>
const report = (words) => fetch('/said', {{ method: 'POST', body: JSON.stringify(words) }})
let heard
const client = mqtt.connect('wss://localhost:{port}/mqtt', {{
  username: '{DEMO}', password: '{password}', protocolVersion: 5, reconnectPeriod: 0,
  createWebsocket: (url, protocols) => {{
    const socket = new WebSocket(url, protocols)
    socket.addEventListener('close', (event) => {{ if (heard) report({{ ...heard, clean: event.wasClean }}) }})
    return socket
  }}
}})
client.on('connect', () => client.subscribe('demo/page', {{ qos: 1 }}, () => {{
  client.publish('demo/page', 'x'.repeat({LENGTH}), {{ qos: 1 }})
}}))
client.on('message', (topic, payload) => {{
  heard = {{ topic, length: payload.length }}
  client.end()
}})
client.on('error', (error) => report({{ error: `${{error}}` }}))
client.on('close', () => {{ if (!heard) report({{ error: 'closed' }}) }})
</script>"#
    )
}

/// A web server for one page, which reports to it.
struct Pages {
    port: u16,
    said: Receiver<Value>,
}

impl Pages {
    fn serve(page: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let library = fs::read(node_modules().join("mqtt/dist/mqtt.min.js")).expect("mqtt.js");
        let (tell, said) = mpsc::channel();
        let served = Arc::new((page, library));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (served, tell) = (Arc::clone(&served), tell.clone());
                // A browser opens connections ahead, on which it says nothing yet.
                thread::spawn(move || {
                    let (path, body) = request(&stream);
                    let (kind, answer) = match path.as_str() {
                        "/mqtt.js" => ("text/javascript", served.1.as_slice()),
                        "/" => ("text/html", served.0.as_bytes()),
                        _ => ("text/plain", &b""[..]),
                    };
                    if path == "/said" {
                        // Nobody listens once the test has ended.
                        let _ = tell.send(serde_json::from_slice(&body).unwrap_or_default());
                    }
                    respond(stream, kind, answer);
                });
            }
        });
        Self { port, said }
    }
}

fn request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    for line in reader.by_ref().lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    // A browser that opens a connection and says nothing has no request.
    let _ = reader.read_exact(&mut body);
    (path, body)
}

fn respond(mut stream: TcpStream, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The browser may have gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

/// Chromium with nothing to show. It is killed when this value goes.
struct Browser(Child, PathBuf);

impl Browser {
    fn open(site: &Site, address: &str) -> Self {
        let profile = site.path("chromium");
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            // The one key that is trusted besides those of the system.
            .arg(format!("--ignore-certificate-errors-spki-list={}", key_digest(site)))
            // Headless Chromium ends by itself unless something is to be looked at.
            .args(["--remote-debugging-port=0", address])
            .env("HOME", site.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts; `cargo xtask test` installs it");
        Self(child, profile)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
        // Its helpers end with it, and may hold the profile for a moment.
        let _ = fs::remove_dir_all(&self.1);
    }
}

/// SHA-256 of the public key of the gateway's certificate.
fn key_digest(site: &Site) -> String {
    let certificate = site.path("pki/server.pem");
    let key = openssl(&["x509", "-noout", "-pubkey", "-in"], &certificate, &[]);
    let der = openssl(&["pkey", "-pubin", "-outform", "der"], Path::new(""), &key);
    Base64::encode_string(ring::digest::digest(&ring::digest::SHA256, &der).as_ref())
}

fn openssl(arguments: &[&str], file: &Path, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    if !file.as_os_str().is_empty() {
        command.arg(file);
    }
    let mut child = command.spawn().expect("openssl starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success(), "openssl {arguments:?}");
    out.stdout
}

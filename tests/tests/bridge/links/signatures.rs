//! Shared access signatures, before an upstream of the test's own that verifies them with OpenSSL and lets nobody stay longer than
//! they hold.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use mqtt::{Ack, ConnAck, ConnAckProperties, Decoded, Decoder, Packet, QoS, ReasonCode, Version};
use portcullis_tests::{Gateway, PATIENCE, Publisher, Site, number};

use crate::downstream::{QUICK, counters, rules, wait_until_connected, wait_until_empty};

const RESOURCE: &str = "hub.example.net/devices/site 7";
const KEY: &[u8] = b"thirty-two bytes that are secret";
/// Seconds that a signature holds, and after how many of them there is another.
const LIFETIME: u64 = 10;
const RENEWAL: u64 = 8;

/// A cloud with one client at a time.
struct Cloud {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    admitted: AtomicUsize,
    refused: AtomicUsize,
    outstayed: AtomicUsize,
    numbers: Mutex<Vec<u64>>,
}

impl Cloud {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("it does not wait");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || for_thread.serve(&listener)));
        Self { port, shared, thread }
    }

    fn count(&self, what: impl Fn(&Shared) -> &AtomicUsize) -> usize {
        what(&self.shared).load(Ordering::Relaxed)
    }

    /// The numbers of messages that have come, each once.
    fn numbers(&self) -> Vec<u64> {
        super::first_times(&self.shared.numbers.lock().expect("no thread has panicked"))
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has shown in what it has not done.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// All connections in turn, piece by piece: the one that takes a client's place comes before the first has gone.
    fn serve(&self, listener: &TcpListener) {
        let mut all: Vec<Guest> = Vec::new();
        while !self.ended.load(Ordering::Relaxed) {
            if let Ok((socket, _)) = listener.accept() {
                socket.set_nonblocking(true).expect("it does not wait");
                all.push(Guest {
                    socket,
                    decoder: Decoder::new(1 << 20),
                    unread: Vec::new(),
                    until: None,
                });
            }
            all.retain_mut(|guest| self.look_after(guest));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it stays.
    fn look_after(&self, guest: &mut Guest) -> bool {
        if guest.until.is_some_and(|until| unix_now() >= until) {
            self.outstayed.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let mut bytes = [0; 16 << 10];
        match guest.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => guest.unread.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        let unread = std::mem::take(&mut guest.unread);
        let (mut at, mut out, mut stays) = (0, Vec::new(), true);
        while let Ok(Decoded::Packet { packet, len }) = guest.decoder.decode(&unread[at..]) {
            at += len;
            stays &= self.answer(&packet, &mut guest.until, &mut out);
        }
        guest.unread = unread[at..].to_vec();
        guest.socket.write_all(&out).is_ok() && stays
    }

    fn answer(&self, packet: &Packet<'_>, until: &mut Option<u64>, out: &mut Vec<u8>) -> bool {
        let answer = match packet {
            Packet::Connect(connect) => {
                let password = String::from_utf8_lossy(connect.password.unwrap_or_default());
                *until = verify(&password).filter(|_| connect.username == Some("hub/site-7"));
                let admitted = if until.is_some() { &self.admitted } else { &self.refused };
                admitted.fetch_add(1, Ordering::Relaxed);
                let code = match until {
                    Some(_) => ReasonCode::Success,
                    None => ReasonCode::BadUserNameOrPassword,
                };
                let properties = ConnAckProperties::default();
                let session_present = until.is_some();
                Packet::ConnAck(Box::new(ConnAck { session_present, code, properties }))
            }
            Packet::Publish(publish) => {
                let number = number(publish.payload);
                self.numbers.lock().expect("no thread has panicked").push(number);
                let Some(id) = publish.packet_id else { return true };
                Packet::PubAck(Ack::new(id, ReasonCode::Success))
            }
            Packet::PingReq => Packet::PingResp,
            _ => return !matches!(packet, Packet::Disconnect(_)),
        };
        answer.encode(Version::V3_1_1, out).expect("a packet that can be sent");
        until.is_some()
    }
}

struct Guest {
    socket: TcpStream,
    decoder: Decoder,
    unread: Vec<u8>,
    until: Option<u64>,
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// Until when the signature opens [`RESOURCE`], if it does so now.
fn verify(password: &str) -> Option<u64> {
    let fields = password.strip_prefix("SharedAccessSignature ")?;
    let fields: BTreeMap<_, _> =
        fields.split('&').filter_map(|field| field.split_once('=')).collect();
    let (sr, sig, se) = (*fields.get("sr")?, *fields.get("sig")?, *fields.get("se")?);
    let expected = openssl_hmac(&format!("{sr}\n{se}"));
    let until =
        se.parse().ok().filter(|until| (unix_now()..=unix_now() + LIFETIME).contains(until));
    let genuine = sr == "hub.example.net%2Fdevices%2Fsite%207" && decoded(sig) == expected;
    until.filter(|_| genuine && fields.get("skn") == Some(&"device"))
}

fn openssl_hmac(message: &str) -> String {
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new("openssl");
    command.args([
        "dgst",
        "-sha256",
        "-mac",
        "HMAC",
        "-macopt",
        &format!("hexkey:{hex}"),
        "-binary",
    ]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("openssl is installed");
    child.stdin.take().expect("a pipe").write_all(message.as_bytes()).expect("it reads");
    Base64::encode_string(&child.wait_with_output().expect("it ends").stdout)
}

/// What base64 has in it that means something in a URL.
fn decoded(text: &str) -> String {
    text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
}

fn configure(site: &Site, cloud: &Cloud) {
    let rules = rules("cloud", &["filter = \"demo/up/#\"\nqos = 1"], &[]);
    site.configure(&format!(
        "[bridges.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\nversion = \"3.1.1\"\nclient-id = \"site-7\"\nusername = \"hub/site-7\"\n\
         sas.resource = \"{RESOURCE}\"\nsas.key-file = \"hub.key\"\nsas.policy = \"device\"\nsas.lifetime = \"{LIFETIME}s\"\n{QUICK}{rules}",
        cloud.port
    ));
}

#[test]
fn a_signature_is_made_and_renewed_before_it_ends() {
    let (site, cloud) = (Site::new(), Cloud::start());
    fs::write(site.path("hub.key"), Base64::encode_string(KEY) + "\n").expect("the key is written");
    configure(&site, &cloud);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 20);
    let mut device = gateway.client("device");
    let until = Instant::now() + Duration::from_secs(2 * RENEWAL + 2);
    let mut total = 0;
    while Instant::now() < until {
        total += 20;
        publisher.publish(&mut device, total).expect("the connection stays");
        std::thread::sleep(Duration::from_millis(10));
    }
    wait_until_empty(&gateway);
    let admitted = cloud.count(|it| &it.admitted);
    let counters = counters(&gateway);
    assert_eq!(cloud.numbers(), (0..total).collect::<Vec<_>>());
    assert_eq!(counters["failures"].as_u64(), Some(0), "{counters}");
    let counts = (cloud.count(|it| &it.refused), cloud.count(|it| &it.outstayed));
    assert_eq!(counts, (0, 0));
    assert!((3..=4).contains(&admitted), "{admitted}");
    println!("{total} messages of QoS 1 over {admitted} signatures: 0 lost, in order, 0 failures");
    gateway.assert_sound();
}

#[test]
fn a_wrong_key_is_refused_and_one_that_is_put_right_is_used() {
    let (site, cloud) = (Site::new(), Cloud::start());
    fs::write(site.path("hub.key"), Base64::encode_string(b"another key"))
        .expect("the key is written");
    configure(&site, &cloud);
    let gateway = Gateway::start(&site);
    let told = gateway.log.wait(0, PATIENCE, |event| event["message"] == "bridge not connected");
    assert_eq!(
        told.map(|told| told["state"].clone()),
        Some("refused".into()),
        "{}",
        gateway.log.text()
    );
    fs::write(site.path("hub.key"), Base64::encode_string(KEY)).expect("the key is written");
    wait_until_connected(&gateway, 1);
    let text = gateway.log.text();
    assert!(!text.contains("SharedAccess"), "a signature is in the log");
}

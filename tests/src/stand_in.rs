use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::censor::{Censor, Verdict};
use crate::cloud::Cloud;
use crate::site::{Site, free_port};
use crate::wire::is_timeout;

/// How long either side of a connection is waited for before the other is looked at.
const TURN: Duration = Duration::from_millis(2);

/// Stands in for a cloud that no test can reach: TLS with client certificates of a site's authority before a broker on loopback, and
/// whoever goes beyond what the cloud takes loses the connection, as there.
#[derive(Debug)]
pub struct StandIn {
    /// MQTT over TLS.
    pub tls: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cloud: &'static Cloud,
    broker: u16,
    tls: Arc<ServerConfig>,
    connections: AtomicUsize,
    violations: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl StandIn {
    /// Stands before the broker at a plain port.
    pub fn start(site: &Site, cloud: &'static Cloud, broker: u16) -> Self {
        let tls = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, tls)).expect("the port is free");
        let shared = Arc::new(Shared {
            cloud,
            broker,
            tls: Arc::new(configuration(site)),
            connections: AtomicUsize::new(0),
            violations: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.over.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&accepting)) else { return };
                // Whoever goes, goes.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { tls, shared }
    }

    /// Connections on which CONNECT was let through.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// What connections were ended for.
    pub fn violations(&self) -> Vec<String> {
        self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // The listener looks up; it may have gone before.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(TURN))?;
        let session = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut client = StreamOwned::new(session, stream);
        let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker))?;
        broker.set_read_timeout(Some(TURN))?;
        let mut censor = Censor::new(self.cloud);
        let (mut bytes, mut pass) = (vec![0; 64 << 10], Vec::new());
        while !self.over.load(Ordering::Acquire) {
            if let Some(count) = turn(client.read(&mut bytes))? {
                if count == 0 {
                    return Ok(());
                }
                let verdict = censor.of_client(&bytes[..count], &mut pass);
                broker.write_all(&pass)?;
                pass.clear();
                match verdict {
                    Verdict::Pass => {}
                    Verdict::LetIn => {
                        self.connections.fetch_add(1, Ordering::AcqRel);
                    }
                    Verdict::Answer(answer) => {
                        client.write_all(answer)?;
                        return client.flush();
                    }
                    Verdict::End(why) => {
                        let mut all =
                            self.violations.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push(why);
                        return Ok(());
                    }
                }
            }
            if let Some(count) = turn(broker.read(&mut bytes))? {
                if count == 0 {
                    return Ok(());
                }
                censor.of_broker(&bytes[..count]);
                client.write_all(&bytes[..count])?;
                client.flush()?;
            }
        }
        Ok(())
    }
}

/// The bytes that came, if any came in this turn.
fn turn(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(count) => Ok(Some(count)),
        Err(error) if is_timeout(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn configuration(site: &Site) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(site.ca()).expect("a certificate in PEM");
    roots.add(authority).expect("a certificate authority");
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let clients = clients.build().expect("there is an authority");
    let chain: Vec<_> = CertificateDer::pem_file_iter(site.path("pki/server.pem"))
        .expect("a file in PEM")
        .collect::<Result<_, _>>()
        .expect("certificates in PEM");
    let key = PrivateKeyDer::from_pem_file(site.path("pki/server.key")).expect("a key in PEM");
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3 and 1.2")
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .expect("they fit")
}

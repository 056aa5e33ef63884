use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::PATIENCE;
use crate::site::Site;

/// A server of one document on loopback, over HTTPS with the certificate of a site. It serves until the process ends.
#[derive(Debug)]
pub struct Web {
    /// Where the document is.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// None while the server is out of order.
    document: Mutex<Option<String>>,
    /// Milliseconds before each answer.
    delay: AtomicU64,
    asked: AtomicUsize,
}

impl Web {
    /// Starts it, out of order.
    pub fn start(site: &Site) -> Self {
        let certificates = CertificateDer::pem_file_iter(site.path("pki/server.pem"))
            .expect("a certificate in PEM")
            .collect::<Result<Vec<_>, _>>()
            .expect("certificates in PEM");
        let key = PrivateKeyDer::from_pem_file(site.path("pki/server.key")).expect("a key in PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.3 and 1.2")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("they fit");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let (shared, config) = (Arc::new(Shared::default()), Arc::new(config));
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    // A client that is cut off is what some tests want.
                    let _ = shared.answer(stream, &config);
                }
            }
        });
        Self { url: format!("https://localhost:{port}/keys"), shared }
    }

    /// Serves this from now on.
    pub fn serve(&self, document: &str) {
        self.set(Some(document.to_owned()));
    }

    /// Takes so long for each answer from now on.
    pub fn delay(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).expect("a short time");
        self.shared.delay.store(ms, Ordering::SeqCst);
    }

    /// Closes every connection from now on.
    pub fn fail(&self) {
        self.set(None);
    }

    /// How often somebody has come.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    fn set(&self, document: Option<String>) {
        *self.shared.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let document = self.document.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(document) = document else { return Ok(()) };
        stream.set_read_timeout(Some(PATIENCE))?;
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        // What is left unread would make the system break the connection off instead of ending it.
        io::copy(&mut Read::by_ref(&mut stream).take(body_bytes(&request)), &mut io::sink())?;
        thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
        let bytes = document.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{document}")?;
        stream.conn.send_close_notify();
        stream.flush()
    }
}

/// The bytes that follow this head of a request.
fn body_bytes(head: &[u8]) -> u64 {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

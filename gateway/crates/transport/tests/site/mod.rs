//! A site in a temporary directory: its authority, a listener, and clients of every sort.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_transport::pki::{self, Pki};
use portcullis_transport::{
    Address, ArrivalError, Bind, ClientAuth, Connection, HandshakeError, Kind, Listener,
    RevocationPolicy, Settings, TlsSettings, TlsVersion,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) pki: Pki,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = pki::create(dir.path(), &[], SystemTime::now()).unwrap();
        Self { dir, pki }
    }

    pub(crate) fn settings(&self) -> TlsSettings {
        TlsSettings {
            cert: self.pki.server_cert.clone(),
            key: self.pki.server_key.clone(),
            more: Vec::new(),
            client_ca: None,
            client_auth: ClientAuth::None,
            client_crls: Vec::new(),
            revocation: RevocationPolicy::default(),
            min_version: TlsVersion::V1_3,
            alpn: vec![b"mqtt".to_vec()],
        }
    }

    pub(crate) fn asking_for_certificates(&self, client_auth: ClientAuth) -> TlsSettings {
        TlsSettings { client_auth, client_ca: Some(self.pki.ca_cert.clone()), ..self.settings() }
    }

    /// A client that trusts this site.
    pub(crate) fn client(&self) -> Client {
        Client { ca: self.pki.ca_cert.clone(), identity: None, alpn: Vec::new(), v1_2: false }
    }

    /// The same with a certificate that this site issued at `when`.
    pub(crate) fn client_with_certificate(&self, name: &str, when: SystemTime) -> Client {
        let out = self.dir.path().join(name);
        let files = pki::issue_client(self.dir.path(), name, &out, when).unwrap();
        Client { identity: Some((files.cert, files.key)), ..self.client() }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) ca: PathBuf,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) v1_2: bool,
}

impl Client {
    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca) {
            roots.add(root).unwrap();
        }
        let version = if self.v1_2 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(
                    certificates(cert),
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect(&Arc::new(self.config()), address).await
    }
}

pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, socket).await
}

pub(crate) fn bind(kind: Kind) -> Listener {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Listener::bind(&Settings {
        bind: Bind::Address(bind),
        kind,
        web: None,
        proxies: Vec::new(),
        backlog: 128,
    })
    .unwrap()
}

/// The address of a listener in a network.
pub(crate) fn network(listener: &Listener) -> SocketAddr {
    match listener.address() {
        Address::Network(address) => address,
        Address::Unix(_) => unreachable!("it listens in a network"),
    }
}

/// Accepts one connection and establishes it, within ten seconds.
pub(crate) fn serve_one(listener: Listener) -> JoinHandle<Result<Connection, HandshakeError>> {
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        let patience = Duration::from_secs(10);
        let established = tokio::time::timeout(patience, incoming.establish()).await.unwrap();
        established.map_err(|error| match error {
            ArrivalError::Handshake(cause) => cause,
            other => unreachable!("no matter of TLS: {other}"),
        })
    })
}

/// Both ends of an established connection.
pub(crate) async fn pair(
    settings: TlsSettings,
    client: &Client,
) -> (TlsStream<TcpStream>, Connection) {
    let listener = bind(Kind::Tls(settings));
    let address = network(&listener);
    let server = serve_one(listener);
    let client = client.connect(address).await.unwrap();
    (client, server.await.unwrap().unwrap())
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

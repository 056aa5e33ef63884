//! What a handshake is made with: one reading of all files of a listener.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::clock::Held;
use crate::settings::{TlsSettings, TlsVersion};
use crate::tls::acceptor::aes_in_hardware;
use crate::tls::clients::Clients;
use crate::tls::credential::Credential;
use crate::tls::error::TlsConfigError;
use crate::tls::presented::{ByName, Presented};
use crate::tls::stamp::Stamp;

/// One reading of all files of a listener, checked.
pub(crate) struct Ready {
    pub(crate) config: Arc<ServerConfig>,
    /// The server's certificates, the one for all other names first.
    pub(crate) presented: Vec<Presented>,
    pub(crate) clients: Clients,
    /// How the files looked when this was about to be read.
    pub(crate) stamp: Stamp,
    /// Seals sessions that may be resumed. Who can read an earlier seal resumes an earlier session.
    tickets: Arc<dyn ProducesTickets>,
}

impl Ready {
    /// Reads all files. `before` is what was in use until now: if the same clients are trusted, the
    /// sessions that were begun with it can be resumed.
    pub(crate) fn load(
        settings: &TlsSettings,
        provider: &Arc<CryptoProvider>,
        before: Option<&Self>,
    ) -> Result<Self, TlsConfigError> {
        let stamp = Stamp::of_all(settings);
        let presented = Presented::load_all(settings, provider)?;
        let clients = Clients::load(settings, provider)?;
        // A resumed session brings the client's chain along without having it verified. So a session
        // from before a change of who is trusted is not resumed: its client makes a full handshake,
        // and is told by an alert if it is not welcome any more.
        let tickets = match before.filter(|before| before.clients.trusts_as(&clients)) {
            Some(before) => Arc::clone(&before.tickets),
            None => {
                ring::Ticketer::new().map_err(|cause| TlsConfigError::Library(cause.to_string()))?
            }
        };
        let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::new(Held))
            .with_protocol_versions(versions(settings.min_version))
            .map_err(|cause| TlsConfigError::Library(cause.to_string()))?
            .with_client_cert_verifier(clients.verifier())
            .with_cert_resolver(Arc::new(ByName::of(&presented)));
        config.alpn_protocols.clone_from(&settings.alpn);
        config.ignore_client_order = !aes_in_hardware();
        // The state of a session travels in its ticket, so nothing is kept here per session.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&tickets);
        // A device reconnects with one connection at a time: a second ticket is never used.
        config.send_tls13_tickets = 1;
        // What is sent before the handshake is over can be sent again by whoever has heard it.
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), presented, clients, stamp, tickets })
    }

    /// That each certificate is valid now.
    pub(crate) fn check_validity(&self, now: SystemTime) -> Result<(), TlsConfigError> {
        self.presented.iter().try_for_each(|presented| presented.check_validity(now))
    }

    /// Everything that ends some time.
    pub(crate) fn credentials(&self) -> Vec<Credential> {
        let mut all: Vec<_> = self.presented.iter().flat_map(Presented::credentials).collect();
        all.extend_from_slice(self.clients.credentials());
        all
    }
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    match min {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => BOTH.split_at(1).0,
    }
}

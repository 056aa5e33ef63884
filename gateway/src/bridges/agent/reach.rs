//! How an agent comes to its connections.

use std::time::Duration;

use config::Carrier;
use tokio::sync::mpsc;
use transport::Dialed;

use super::Agent;
use crate::bridges::credential::{self, Shown};

/// How long is waited after a renewal that has failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

impl Agent {
    /// All that comes before the first packet.
    pub(super) async fn begin(
        &self,
        number: usize,
        ready: Option<Dialed>,
    ) -> Result<(Option<Shown>, Dialed), String> {
        let shown = credential::make(&self.bridge.credential, self.clock).await?;
        match ready {
            Some(stream) => Ok((shown, stream)),
            None => Ok((shown, self.dial(number).await?)),
        }
    }

    async fn dial(&self, number: usize) -> Result<Dialed, String> {
        let (Some(dial), Some(upstream)) =
            (self.dials.get(number), self.bridge.upstreams.get(number))
        else {
            return Err("there is no such address".to_owned());
        };
        let (time, key) = match upstream.carrier {
            Carrier::Quic => (self.bridge.quic_timeout, "quic-timeout; UDP may not pass"),
            Carrier::Tcp | Carrier::Web { .. } => (self.bridge.connect_timeout, "connect-timeout"),
        };
        match tokio::time::timeout(time, dial.dial()).await {
            Ok(dialed) => dialed.map_err(|error| error.to_string()),
            Err(_) => Err(format!("there was no connection within {key}")),
        }
    }

    /// Waits until there is a connection to an address that comes before this one; for ever if there is none.
    pub(super) async fn earlier_is_back(&self, number: usize) -> (usize, Dialed) {
        loop {
            if number == 0 {
                return std::future::pending().await;
            }
            tokio::time::sleep(self.bridge.fail_back).await;
            for earlier in 0..number {
                if let Ok(dialed) = self.dial(earlier).await {
                    return (earlier, dialed);
                }
            }
        }
    }

    /// Waits until what upstream was shown is about to end. Then a connection that can show another one is shown that,
    /// again and again; for any other there is one to the same address, so that messages hardly wait.
    pub(super) async fn renewal(
        &self,
        number: usize,
        after: Option<Duration>,
        renewals: mpsc::Sender<Vec<u8>>,
    ) -> Dialed {
        let Some(mut after) = after else { return std::future::pending().await };
        loop {
            tokio::time::sleep(after).await;
            after = RENEWAL_PAUSE;
            if !credential::renews_in_place(&self.bridge.credential) {
                match self.dial(number).await {
                    Ok(dialed) => return dialed,
                    Err(cause) => self.status.not_renewed(&cause),
                }
                continue;
            }
            match credential::make(&self.bridge.credential, self.clock).await {
                Ok(shown) => {
                    after = shown.as_ref().and_then(|shown| shown.renew_after).unwrap_or(after);
                    let bytes = shown.map(Shown::into_bytes).unwrap_or_default();
                    // Whoever does not take it is about to end.
                    let _ = renewals.send(bytes).await;
                }
                Err(cause) => self.status.not_renewed(&cause),
            }
        }
    }
}

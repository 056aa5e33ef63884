mod expiry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use telemetry::Counter;
use transport::{Credential, CredentialKind, Credentials, Reloaded, TlsConfigError, utc};

use crate::clock;
use crate::hub::Hub;
use crate::watched::{LOOK_EVERY, Watched};

pub(crate) use expiry::seconds_left;

/// How long the files of a pair may not fit before that is a fault: whoever renews a certificate writes
/// two files, and takes a moment between them.
const PAIR_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is said that something ends soon.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificates, keys and revocation lists of all TLS listeners, kept fresh.
pub(crate) struct Certificates {
    kept: Vec<Kept>,
    /// Reloads that changed something.
    pub(crate) reloads: Counter,
    /// Reloads that came to nothing.
    pub(crate) failures: Counter,
    /// Connections that were closed because of a revocation list.
    pub(crate) revoked: Counter,
}

/// Those of one listener.
struct Kept {
    listener: String,
    credentials: Credentials,
    watched: Mutex<Watched>,
}

impl Certificates {
    /// Those of listeners by name; names of listeners without TLS have none.
    pub(crate) fn of(listeners: impl Iterator<Item = (String, Option<Credentials>)>) -> Self {
        let kept = listeners.filter_map(|(listener, credentials)| {
            let credentials = credentials?;
            let watched = Mutex::new(Watched::new(credentials.stamp_in_use()));
            Some(Kept { listener, credentials, watched })
        });
        Self {
            kept: kept.collect(),
            reloads: Counter::default(),
            failures: Counter::default(),
            revoked: Counter::default(),
        }
    }

    /// Everything that listeners rely on, each with the listener's name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Credential)> {
        self.kept.iter().flat_map(|kept| {
            kept.credentials.all().into_iter().map(|credential| (&*kept.listener, credential))
        })
    }

    /// Reads everything again, because the operator says so. Reads files: not for a thread that must not wait.
    pub(crate) fn reload(&self, hub: &Hub) {
        for kept in &self.kept {
            let mut watched = kept.watched();
            *watched = Watched::new(kept.credentials.stamp());
            match kept.credentials.reload() {
                Ok(reloaded) => self.take_over(kept, &reloaded, hub),
                Err(error) => self.complain(kept, &error),
            }
        }
    }

    /// Looks at the files, and says what ends soon, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>, hub: Arc<Hub>) {
        if self.kept.is_empty() {
            return;
        }
        let mut reminded = Instant::now();
        self.remind();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (certificates, hub) = (Arc::clone(&self), Arc::clone(&hub));
            let look = tokio::task::spawn_blocking(move || certificates.look(&hub));
            if look.await.is_err() {
                tracing::error!("look at certificates did not end in order; they stay as they are");
            }
            if reminded.elapsed() >= REMIND_EVERY {
                reminded = Instant::now();
                self.remind();
            }
        }
    }

    fn look(&self, hub: &Hub) {
        for kept in &self.kept {
            let mut watched = kept.watched();
            let Some(since) = watched.changed_since(kept.credentials.stamp()) else { continue };
            match kept.credentials.reload() {
                Ok(reloaded) => {
                    watched.settle();
                    if !reloaded.changed.is_empty() {
                        self.take_over(kept, &reloaded, hub);
                    }
                }
                Err(error) if error.may_pass() && since.elapsed() < PAIR_PATIENCE => {}
                Err(error) => {
                    watched.settle();
                    self.complain(kept, &error);
                }
            }
        }
    }

    fn take_over(&self, kept: &Kept, reloaded: &Reloaded, hub: &Hub) {
        if !reloaded.changed.is_empty() {
            self.reloads.increment();
        }
        let shown: Vec<_> = reloaded
            .credentials
            .iter()
            .filter(|credential| credential.kind == CredentialKind::ServerCertificate)
            .collect();
        let joined = |part: &dyn Fn(&Credential) -> String| {
            shown.iter().map(|credential| part(credential)).collect::<Vec<_>>().join("; ")
        };
        tracing::info!(
            listener = kept.listener,
            subject = joined(&|it| it.subject.clone()),
            names = joined(&|it| it.names.join(", ")),
            not_after = joined(&|it| it.not_after_unix_s.map(utc).unwrap_or_default()),
            changed = reloaded.changed.join(", "),
            newly_revoked = reloaded.newly_revoked.len(),
            no_longer_revoked = reloaded.no_longer_revoked,
            "certificates reloaded"
        );
        let closed = hub.revoke(&kept.listener, &reloaded.revoked, &reloaded.newly_revoked);
        if closed > 0 {
            self.revoked.add(closed as u64);
            tracing::warn!(
                listener = kept.listener,
                connections = closed,
                "connections closed; their client certificates were revoked"
            );
        }
        kept.remind();
    }

    fn complain(&self, kept: &Kept, error: &TlsConfigError) {
        self.failures.increment();
        tracing::error!(
            listener = kept.listener,
            %error,
            "certificates not reloaded; the listener goes on with those that it has"
        );
    }

    fn remind(&self) {
        self.kept.iter().for_each(Kept::remind);
    }
}

impl Kept {
    /// Says what ends soon, or has ended.
    fn remind(&self) {
        let now = clock::wall();
        for credential in self.credentials.all() {
            expiry::remind(&self.listener, &credential, now);
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

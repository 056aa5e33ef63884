use std::sync::Arc;

use config::Checked;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::bridges::Bridges;
use crate::certificates::Certificates;
use crate::counters;
use crate::disk::Disk;
use crate::extensions::{self, Extensions};
use crate::failure::Failure;
use crate::hub::Hub;
use crate::sentry::Sentry;
use crate::supervisor;

/// What the operator can ask of a gateway that runs.
pub(crate) struct Signals {
    stop: Signal,
    interrupt: Signal,
    reload: Signal,
    count: Signal,
}

/// What a signal may be about.
pub(crate) struct Subject {
    pub(crate) checked: Arc<Checked>,
    pub(crate) extensions: Arc<Extensions>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) disk: Disk,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) sentry: Arc<Sentry>,
    pub(crate) bridges: Arc<Bridges>,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind).map_err(|error| Failure::System { what: "listen for signals", error })
        };
        Ok(Self {
            stop: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            reload: catch(SignalKind::hangup())?,
            count: catch(SignalKind::user_defined1())?,
        })
    }

    /// Does what signals ask for until one says stop; answers its name.
    pub(crate) async fn obey(&mut self, subject: &Subject) -> &'static str {
        loop {
            tokio::select! {
                _ = self.stop.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.reload.recv() => {
                    supervisor::reloading();
                    subject.reload().await;
                    supervisor::ready();
                }
                _ = self.count.recv() => subject.count(),
            }
        }
    }
}

impl Subject {
    /// Logs all counters.
    pub(crate) fn count(&self) {
        counters::log(&self.hub, &self.disk, &self.sentry, &self.extensions);
        self.bridges.statuses().iter().for_each(|bridge| counters::log_bridge(bridge));
    }

    async fn reload(&self) {
        let (certificates, hub) = (Arc::clone(&self.certificates), Arc::clone(&self.hub));
        let job = tokio::task::spawn_blocking(move || certificates.reload(&hub));
        if job.await.is_err() {
            tracing::error!("reload did not end in order; the certificates go on as they are");
        }
        let checked = Arc::clone(&self.checked);
        let job = tokio::task::spawn_blocking(move || extensions::read_again(&checked));
        let Ok(fresh) = job.await else {
            tracing::error!("reload did not end in order; the rest goes on as it is");
            return;
        };
        let Some(fresh) = fresh.map(Arc::new) else { return };
        self.bridges.reload(&fresh).await;
        let extensions = Arc::clone(&self.extensions);
        let job = tokio::task::spawn_blocking(move || extensions.reload(&fresh));
        if job.await.is_err() {
            tracing::error!("reload did not end in order; the extensions go on as they are");
        }
    }
}

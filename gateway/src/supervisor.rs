//! What whoever has started the gateway is told (`NOTIFY_SOCKET`, as systemd has it), if it wants to know.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::disk::Disk;
use crate::hub::Hub;

/// Signs of life in the time after which one is missed: one that comes late is no end yet.
const SIGNS_IN_TIME: u32 = 3;

/// That it serves, for the first time or after a reload.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// That it reads again what may have changed.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// That it stops, which may take some seconds.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Gives a sign of life while there is life: when a task gets its turn, the hub's lock is to be had, and the store's thread has
/// answered since the last look. Returns at once where nobody waits for signs (`WATCHDOG_USEC`).
///
/// A disk that refuses is no reason to be started again: its thread answers between two attempts.
pub(crate) async fn watch(hub: Arc<Hub>, disk: Disk) {
    let Some(time) = sd_notify::watchdog_enabled() else { return };
    let pause = (time / SIGNS_IN_TIME).max(Duration::from_millis(1));
    let mut knock = disk.knock();
    loop {
        tokio::time::sleep(pause).await;
        hub.pulse();
        if disk.has_answered(knock) {
            tell(&[NotifyState::Watchdog]);
            knock = disk.knock();
        } else {
            tracing::warn!(
                wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "store's thread does not answer; no sign of life is given until it does"
            );
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = %error, "supervisor not told; the socket in NOTIFY_SOCKET does not take it");
    }
}

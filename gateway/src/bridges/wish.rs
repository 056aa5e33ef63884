use tokio::sync::watch;

/// What an agent is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To keep the bridge connected.
    Run,
    /// To have no connection, and keep the session here until it is to run again.
    Pause,
    /// To end; another agent goes on with the same session at upstream.
    Stop,
    /// To end; nobody comes back to the session at upstream.
    Withdraw,
}

/// The agent's side.
pub(super) type Wishes = watch::Receiver<Wish>;

/// Waits until something else is wished.
pub(super) async fn changed(wishes: &mut Wishes) {
    if wishes.changed().await.is_err() {
        // Nobody is left to wish for anything: the gateway ends, and this with it.
        std::future::pending().await
    }
}

use sd_notify::NotifyState;

/// Tells whoever has started the gateway, if it wants to know (`Type=notify` of systemd), that it serves.
pub(crate) fn ready() {
    tell(&NotifyState::Ready);
}

/// Tells it that the gateway stops, which may take some seconds.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(error = %error, "supervisor not told; the socket in NOTIFY_SOCKET does not take it");
    }
}

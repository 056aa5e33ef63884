//! Sockets that were opened for us before we started (socket activation of systemd, sd_listen_fds(3)).

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// What has not been taken yet, by its names; none before anybody asked. It belongs to the process as a
/// whole, as the variables that tell of it do.
static INHERITED: Mutex<Option<Vec<(String, OwnedFd)>>> = Mutex::new(None);

/// Hands out the descriptor of this name, once.
///
/// # Errors
/// If there is none, or the variables that tell of them make no sense.
pub(crate) fn take(name: &str) -> io::Result<OwnedFd> {
    let mut inherited = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
    let there = match &mut *inherited {
        Some(there) => there,
        unread => unread.insert(read()?),
    };
    let Some(at) = there.iter().position(|(own, _)| own == name) else {
        let names: Vec<_> = there.iter().map(|(name, _)| name.as_str()).collect();
        let why = match names.join(", ") {
            none if none.is_empty() => "systemd has handed over no socket".to_owned(),
            names => format!("systemd has handed over {names}"),
        };
        return Err(io::Error::new(ErrorKind::NotFound, why));
    };
    Ok(there.swap_remove(at).1)
}

fn read() -> io::Result<Vec<(String, OwnedFd)>> {
    let handed = sd_listen_fds::get()
        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))?;
    // What systemd itself calls a descriptor without a name.
    let name = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    Ok(handed.into_iter().map(|(own, descriptor)| (name(own), descriptor.into_std())).collect())
}

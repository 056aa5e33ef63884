//! One connection to whichever of several addresses takes it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::DialError;

/// How long one address is ahead of the next. Where nothing answers at one of IPv6, that of IPv4 is not to wait until it is
/// given up (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How long one address may take.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries the addresses in their order, each a little after the one before or as soon as that has failed, and takes the first
/// connection there is. The others are given up.
///
/// # Errors
/// What the last one that failed has said; there has to be an address.
pub(super) async fn first<T, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, DialError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DialError>> + Send + 'static,
{
    let mut waiting = addresses.into_iter().peekable();
    let mut running = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = waiting.next() {
            let attempt = attempt(address);
            running.spawn(async move {
                let timeout = tokio::time::timeout(ADDRESS_TIMEOUT, attempt).await;
                timeout.unwrap_or_else(|_| {
                    let error = std::io::ErrorKind::TimedOut.into();
                    Err(DialError::Connect { address, error })
                })
            });
        }
        tokio::select! {
            done = running.join_next() => match done {
                Some(Ok(Ok(connection))) => return Ok(connection),
                Some(Ok(Err(error))) => last = Some(error),
                Some(Err(_)) => {}
                None if waiting.peek().is_none() => {
                    return Err(last.unwrap_or_else(|| {
                        DialError::Handshake("the attempt was broken off".to_owned())
                    }));
                }
                None => {}
            },
            () = tokio::time::sleep(HEAD_START), if waiting.peek().is_some() => {}
        }
    }
}

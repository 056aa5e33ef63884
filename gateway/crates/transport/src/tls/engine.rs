//! One step of a TLS session, on slices: no socket and no buffer of its own.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// What a step came to.
pub(crate) struct Step {
    /// Bytes at the front of the input that are done with. The rest belongs to a record that is not
    /// complete and must be at the front of the next step's input.
    pub(crate) used: usize,
    /// The peer has said that it sends no more.
    pub(crate) closed: bool,
}

/// Processes every complete record in `incoming`. Plain text goes to `plain`; what the session has to
/// say (handshake, alerts, key updates) is appended to `out` and is to be sent before anything else.
///
/// On an error `out` gets the alert that tells the peer.
pub(crate) fn advance(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    plain: &mut dyn FnMut(&[u8]),
    out: &mut Output,
) -> Result<Step, rustls::Error> {
    let mut step = Step { used: 0, closed: false };
    loop {
        let rest = incoming.get_mut(step.used..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = session.process_tls_records(rest);
        let mut settled = false;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(message)) => encode(message, out)?,
            // What was encoded is in `out`, ahead of all that will follow: as good as sent.
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                step.closed = true;
                settled = true;
            }
            Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                settled = true;
            }
            Ok(_) => return Err(unexpected_state()),
            Err(cause) => {
                let rest = incoming.get_mut(step.used + discard..).unwrap_or_default();
                take_alert(session, rest, out);
                return Err(cause);
            }
        }
        step.used += discard;
        if settled {
            return Ok(step);
        }
    }
}

/// Encrypts `plain` and appends it to `out`, after what the session itself has to say.
pub(crate) fn encrypt(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    plain: &[u8],
    out: &mut Output,
) -> Result<(), rustls::Error> {
    write(session, incoming, out, |traffic, space| traffic.encrypt(plain, space), {
        // Four records of 16 KiB at most are written at a time; a record adds 22 bytes in TLS 1.3
        // and 29 in 1.2, and a key update is smaller than the rest.
        plain.len() + 32 * (plain.len() / 16_384 + 1) + 256
    })
}

/// Appends the alert that ends our direction to `out`.
pub(crate) fn close(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    out: &mut Output,
) -> Result<(), rustls::Error> {
    write(session, incoming, out, |traffic, space| traffic.queue_close_notify(space), 256)
}

fn write(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    out: &mut Output,
    mut action: impl FnMut(
        &mut WriteTraffic<'_, ServerConnectionData>,
        &mut [u8],
    ) -> Result<usize, EncryptError>,
    space: usize,
) -> Result<(), rustls::Error> {
    loop {
        match session.process_tls_records(incoming).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let written = action(&mut traffic, out.space(space))
                    .map_err(|cause| rustls::Error::General(cause.to_string()))?;
                out.commit(written);
                return Ok(());
            }
            ConnectionState::EncodeTlsData(message) => encode(message, out)?,
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            _ => return Err(unexpected_state()),
        }
    }
}

fn encode<D>(mut message: EncodeTlsData<'_, D>, out: &mut Output) -> Result<(), rustls::Error> {
    let mut space = 0;
    loop {
        match message.encode(out.space(space)) {
            Ok(written) => {
                out.commit(written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(missing)) if missing.required_size > space => {
                space = missing.required_size;
            }
            Err(cause) => return Err(rustls::Error::General(cause.to_string())),
        }
    }
}

/// After a failure the session holds the alert that names it, perhaps behind what it said before. Not
/// asked again once it has nothing to say: it would read on, fail again and say so twice.
fn take_alert(session: &mut UnbufferedServerConnection, rest: &mut [u8], out: &mut Output) {
    while session.wants_write() {
        // Where that fails, the peer sees the connection end without a reason.
        let Ok(ConnectionState::EncodeTlsData(message)) = session.process_tls_records(rest).state
        else {
            return;
        };
        if encode(message, out).is_err() {
            return;
        }
    }
}

fn unexpected_state() -> rustls::Error {
    rustls::Error::General("the session is in a state that a server never enters".to_owned())
}

/// Bytes on their way to the socket. It keeps its memory, zeroed once, so that filling it again
/// costs nothing but the filling.
#[derive(Debug, Default)]
pub(crate) struct Output {
    memory: Vec<u8>,
    filled: usize,
}

impl Output {
    /// What is to be sent.
    pub(crate) fn filled(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    /// Adds bytes that are ready to be sent.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
        self.commit(bytes.len());
    }

    /// Forgets what it holds and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Exactly `length` bytes to write into, after what is filled.
    fn space(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        self.memory.get_mut(self.filled..end).unwrap_or_default()
    }

    fn commit(&mut self, length: usize) {
        self.filled = (self.filled + length).min(self.memory.len());
    }
}

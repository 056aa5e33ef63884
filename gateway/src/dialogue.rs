use std::fmt;
use std::io;

use mqtt::{Auth, DecodeError, Decoded, Decoder, Packet, ReasonCode, Version};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use transport::Stream;

use crate::chain::Refusal;

/// A connection between CONNECT and CONNACK, when both sides may say AUTH.
pub(crate) struct Dialogue {
    pub(crate) stream: Stream,
    pub(crate) decoder: Decoder,
    /// What came behind the last packet that was looked at.
    pub(crate) unread: Vec<u8>,
    /// Bytes of the largest packet that is read.
    pub(crate) limit: u32,
}

/// Why a client is not let in.
pub(crate) enum NotAdmitted {
    /// It is told so.
    Refused(Refusal),
    /// It does not listen any more.
    Gone(String),
}

/// Why there is no packet.
pub(crate) enum NoPacket {
    Closed,
    Socket(io::Error),
    Broken(DecodeError),
}

impl Dialogue {
    /// Sends a challenge, and waits for what the client has to say to it.
    pub(crate) async fn challenge(
        &mut self,
        challenge: &Auth<'_>,
        until: Instant,
    ) -> Result<Option<Vec<u8>>, NotAdmitted> {
        let answer = async {
            self.send(challenge).await?;
            self.answer(challenge.method).await
        };
        tokio::time::timeout_at(until, answer).await.unwrap_or_else(|_| {
            let why = "the exchange was not over within connect-timeout";
            Err(Refusal::ours(ReasonCode::NotAuthorized, why).into())
        })
    }

    /// A client that named a method may send nothing but AUTH and DISCONNECT before it has CONNACK, and
    /// nobody waits for AUTH when this is called.
    pub(crate) fn check_silence(&self) -> Result<(), Refusal> {
        match self.decoder.clone().decode(&self.unread) {
            Ok(Decoded::Incomplete { .. }) if self.unread.is_empty() => Ok(()),
            Ok(Decoded::Packet { packet: Packet::Disconnect(_), .. }) => Ok(()),
            _ => Err(out_of_turn("something was sent before CONNACK (MQTT-3.1.2-30)")),
        }
    }

    async fn send(&mut self, auth: &Auth<'_>) -> Result<(), NotAdmitted> {
        let mut bytes = Vec::new();
        auth.encode(Version::V5, &mut bytes).map_err(|error| {
            Refusal::ours(ReasonCode::ImplementationSpecificError, error.to_string())
        })?;
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        sent.await
            .map_err(|error: io::Error| NotAdmitted::Gone(format!("cannot send AUTH: {error}")))
    }

    async fn answer(&mut self, method: Option<&str>) -> Result<Option<Vec<u8>>, NotAdmitted> {
        let read = read_packet(&mut self.stream, &self.decoder, self.limit, &mut self.unread);
        read.await.map_err(|missing| match missing {
            NoPacket::Broken(error) => Refusal::ours(error.reason_code(), error.to_string()).into(),
            missing => NotAdmitted::Gone(format!("no answer to AUTH: {missing}")),
        })?;
        let Ok(Decoded::Packet { packet, len }) = self.decoder.decode(&self.unread) else {
            return Err(out_of_turn("what was read is no packet").into());
        };
        let data = match packet {
            Packet::Disconnect(disconnect) => {
                let why = format!("the client answered AUTH with DISCONNECT: {}", disconnect.code);
                return Err(NotAdmitted::Gone(why));
            }
            Packet::Auth(auth) if auth.method != method => {
                let why = "AUTH names another authentication method than CONNECT (MQTT-4.12.0-5)";
                return Err(out_of_turn(why).into());
            }
            Packet::Auth(auth) if auth.code == ReasonCode::ContinueAuthentication => {
                auth.data.map(<[u8]>::to_vec)
            }
            Packet::Auth(_) => {
                let why = "AUTH does not answer with 0x18 (MQTT-4.12.0-3)";
                return Err(out_of_turn(why).into());
            }
            other => {
                let why = format!("{} was sent before CONNACK (MQTT-3.1.2-30)", other.kind());
                return Err(out_of_turn(&why).into());
            }
        };
        self.unread.drain(..len);
        Ok(data)
    }
}

fn out_of_turn(why: &str) -> Refusal {
    Refusal::ours(ReasonCode::ProtocolError, why)
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for NoPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the peer closed the connection"),
            Self::Socket(error) => write!(f, "cannot read the socket: {error}"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

/// Reads until `bytes` begins with a whole packet; `decoder` stays as it is.
pub(crate) async fn read_packet(
    stream: &mut Stream,
    decoder: &Decoder,
    limit: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), NoPacket> {
    let mut decoder = decoder.clone();
    loop {
        let missing = match decoder.decode(bytes) {
            Ok(Decoded::Packet { .. }) => return Ok(()),
            Ok(Decoded::Incomplete { missing }) => missing,
            Err(error) => return Err(NoPacket::Broken(error)),
        };
        receive(stream, limit, bytes.len().saturating_add(missing), bytes).await?;
    }
}

/// Reads until there are `wanted` bytes.
pub(crate) async fn receive(
    stream: &mut Stream,
    limit: u32,
    wanted: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), NoPacket> {
    while bytes.len() < wanted {
        let keep = |piece: &[u8]| bytes.extend_from_slice(piece);
        match stream.receive(limit as usize, keep).await {
            Ok(0) => return Err(NoPacket::Closed),
            Ok(_) => {}
            Err(error) => return Err(NoPacket::Socket(error)),
        }
    }
    Ok(())
}

use std::fmt;
use std::io;
use std::sync::Arc;

use mqtt::{DecodeError, Decoded, Decoder, Packet, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use transport::{Connection, Incoming, Stream};

use crate::accept::Door;
use crate::judge::Judge;
use crate::link::{FAREWELL, LINGER, Link};
use crate::visitor::{Admittance, Visitor};

/// Bytes of a CONNECT at most: whoever sends it is not known yet. Its will is the only part that
/// may reasonably be long.
const CONNECT_BYTES_MAX: u32 = 128 * 1024;

/// Bytes of a CONNECT that end behind its protocol level, at most.
const CONNECT_HEAD: usize = mqtt::limits::FIXED_HEADER_MAX + 7;

/// A client that is in.
pub(crate) struct Greeting {
    pub(crate) link: Link<Stream>,
    pub(crate) judge: Judge,
}

/// The way in: TLS handshake, CONNECT, the extensions' decision, a session. `None` if it ends
/// anywhere before; the client has been told then, where MQTT has words for it.
pub(crate) async fn greet(door: &Door, incoming: Incoming) -> Option<Greeting> {
    let until = Instant::now() + door.connect_timeout;
    let address = incoming.peer;
    let turned_away = |why: &str| door.reporter.turned_away(&door.name, address.ip(), why);
    let Ok(established) = tokio::time::timeout_at(until, incoming.establish()).await else {
        turned_away("the handshake was not over within connect-timeout");
        return None;
    };
    let Connection { mut stream, peer } =
        established.map_err(|error| turned_away(&error.to_string())).ok()?;

    let limit = CONNECT_BYTES_MAX.min(door.max_packet_size);
    let mut bytes = Vec::new();
    let fresh = Decoder::new(limit).allow_v3_1(door.mqtt_3_1);
    let read = read_packet(&mut stream, fresh.clone(), limit, &mut bytes);
    let Ok(read) = tokio::time::timeout_at(until, read).await else {
        turned_away("CONNECT did not arrive within connect-timeout");
        return None;
    };
    if let Err(error) = read {
        turned_away(&error.to_string());
        if let NoConnect::Broken(DecodeError::PacketTooLarge { .. }) = error {
            // It is refused by its length, and whether it is MQTT 5, which is to be told, comes behind that.
            let head = receive(&mut stream, limit, CONNECT_HEAD, &mut bytes);
            let _ = tokio::time::timeout(FAREWELL, head).await;
        }
        if let NoConnect::Broken(error) = error
            && let Some((version, code)) = broker::answer_to_broken_connect(&bytes, &error)
        {
            refuse(stream, version, code).await;
        }
        return None;
    }
    let mut decoder = fresh;
    let Ok(Decoded::Packet { packet: Packet::Connect(connect), len }) = decoder.decode(&bytes)
    else {
        turned_away("the first packet is not CONNECT (MQTT-3.1.0-1)");
        return None;
    };
    let visitor = Visitor { door, address, connect: &connect, until };
    match visitor.admit(peer).await {
        Ok(Admittance { registration, conversation, judge }) => {
            decoder.set_max_packet_size(door.max_packet_size);
            let rest = bytes.get(len..).unwrap_or_default().to_vec();
            let hub = Arc::clone(&door.hub);
            let link = Link::new(stream, hub, registration, conversation, decoder, rest);
            Some(Greeting { link, judge })
        }
        Err(code) => {
            refuse(stream, connect.version, code).await;
            None
        }
    }
}

/// Why there is no packet.
enum NoConnect {
    Closed,
    Socket(io::Error),
    Broken(DecodeError),
}

impl fmt::Display for NoConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => {
                f.write_str("the peer closed the connection before CONNECT was complete")
            }
            Self::Socket(error) => write!(f, "cannot read CONNECT: {error}"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

/// Reads until `bytes` begins with a whole packet.
async fn read_packet(
    stream: &mut Stream,
    mut decoder: Decoder,
    limit: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), NoConnect> {
    loop {
        let missing = match decoder.decode(bytes) {
            Ok(Decoded::Packet { .. }) => return Ok(()),
            Ok(Decoded::Incomplete { missing }) => missing,
            Err(error) => return Err(NoConnect::Broken(error)),
        };
        receive(stream, limit, bytes.len().saturating_add(missing), bytes).await?;
    }
}

/// Reads until there are `wanted` bytes.
async fn receive(
    stream: &mut Stream,
    limit: u32,
    wanted: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), NoConnect> {
    while bytes.len() < wanted {
        let keep = |piece: &[u8]| bytes.extend_from_slice(piece);
        match stream.receive(limit as usize, keep).await {
            Ok(0) => return Err(NoConnect::Closed),
            Ok(_) => {}
            Err(error) => return Err(NoConnect::Socket(error)),
        }
    }
    Ok(())
}

/// Sends a CONNACK that refuses, and closes once the peer has had the time to read it.
async fn refuse(mut stream: Stream, version: Version, code: ReasonCode) {
    let bytes = broker::refusal(version, code);
    let told = async {
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(LINGER, told).await, Ok(Ok(()))) {
        return;
    }
    // Closing over unread bytes would reset the connection, and a reset overtakes the CONNACK.
    let mut rest = [0; 512];
    let drained = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
    let _ = tokio::time::timeout(FAREWELL, drained).await;
}

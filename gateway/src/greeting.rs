use std::sync::Arc;

use mqtt::{DecodeError, Decoded, Decoder, Packet, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use transport::{Connection, Incoming, Stream};

use crate::accept::Door;
use crate::dialogue::{Dialogue, NoPacket, read_packet, receive};
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
pub(crate) async fn greet(door: &Door, mut incoming: Incoming) -> Option<Greeting> {
    let until = Instant::now() + door.connect_timeout;
    let identified = tokio::time::timeout_at(until, incoming.identify()).await;
    let address = incoming.peer;
    let turned_away = |why: &str| door.reporter.turned_away(&door.name, &address, why);
    match identified {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            turned_away(&error.to_string());
            return None;
        }
        Err(_) => {
            turned_away(
                "what comes first, such as the header of a proxy, did not arrive within connect-timeout",
            );
            return None;
        }
    }
    let Ok(established) = tokio::time::timeout_at(until, incoming.establish()).await else {
        turned_away("the handshake was not over within connect-timeout");
        return None;
    };
    let Connection { mut stream, peer } =
        established.map_err(|error| turned_away(&error.to_string())).ok()?;

    let limit = CONNECT_BYTES_MAX.min(door.max_packet_size);
    let mut decoder = Decoder::new(limit).allow_v3_1(door.mqtt_3_1);
    let mut bytes = Vec::new();
    let read = read_packet(&mut stream, &decoder, limit, &mut bytes);
    let Ok(read) = tokio::time::timeout_at(until, read).await else {
        turned_away("CONNECT did not arrive within connect-timeout");
        return None;
    };
    if let Err(missing) = read {
        turned_away(&format!("no CONNECT: {missing}"));
        if let NoPacket::Broken(DecodeError::PacketTooLarge { .. }) = missing {
            // It is refused by its length, and whether it is MQTT 5, which is to be told, comes behind that.
            let head = receive(&mut stream, limit, CONNECT_HEAD, &mut bytes);
            let _ = tokio::time::timeout(FAREWELL, head).await;
        }
        if let NoPacket::Broken(error) = missing
            && let Some((version, code)) = broker::answer_to_broken_connect(&bytes, &error)
        {
            refuse(stream, version, code).await;
        }
        return None;
    }
    let Ok(Decoded::Packet { packet: Packet::Connect(connect), len }) = decoder.decode(&bytes)
    else {
        turned_away("the first packet is not CONNECT (MQTT-3.1.0-1)");
        return None;
    };
    door.hub.knocked(len);
    let visitor = Visitor { door, address, connect: &connect, until };
    let unread = bytes.get(len..).unwrap_or_default().to_vec();
    let mut dialogue = Dialogue { stream, decoder, unread, limit };
    match visitor.admit(peer, &mut dialogue).await {
        Ok(Admittance { registration, conversation, judge }) => {
            let Dialogue { stream, mut decoder, unread, .. } = dialogue;
            decoder.set_max_packet_size(door.max_packet_size);
            let hub = Arc::clone(&door.hub);
            let link = Link::new(stream, hub, registration, conversation, decoder, unread);
            Some(Greeting { link, judge })
        }
        Err(code) => {
            // Without a code there is nobody left to tell.
            if let Some(code) = code {
                refuse(dialogue.stream, connect.version, code).await;
            }
            None
        }
    }
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

use std::sync::Arc;

use broker::Memory;
use mqtt::{DecodeError, Decoded, Decoder, Packet, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use transport::{ArrivalError, Connection, HandshakeError, Incoming, Origin, Stream};

use crate::accept::Door;
use crate::dialogue::{Dialogue, NoPacket, read_packet, receive};
use crate::judge::Judge;
use crate::link::{FAREWELL, LINGER, Link};
use crate::sentry::Visit;
use crate::visitor::{Admittance, Dismissal, Visitor};

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
pub(crate) async fn greet(
    door: &Door,
    incoming: Incoming,
    visit: &mut Visit,
) -> Option<Box<Greeting>> {
    let until = Instant::now() + door.connect_timeout;
    let address = incoming.peer;
    let Some(place) = place(door, until).await else {
        let why = "other connections were making their handshakes for all of connect-timeout";
        door.reporter.turned_away(&door.name, &address, why);
        return None;
    };
    let Connection { mut stream, peer } = arrive(door, incoming, visit, until).await?;
    let address = peer.address;
    let turned_away = |why: &str| door.reporter.turned_away(&door.name, &address, why);

    let limit = CONNECT_BYTES_MAX.min(door.max_packet_size);
    let mut decoder = Decoder::new(limit).allow_v3_1(door.mqtt_3_1);
    let mut bytes = Vec::new();
    let read = read_packet(&mut stream, &decoder, limit, &mut bytes);
    let Ok(read) = tokio::time::timeout_at(until, read).await else {
        visit.stalled();
        turned_away("CONNECT did not arrive within connect-timeout");
        return None;
    };
    drop(place);
    if let Err(missing) = read {
        turned_away(&format!("no CONNECT: {missing}"));
        answer_to_no_connect(stream, missing, limit, bytes).await;
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
    match visitor.admit(peer, &mut dialogue, visit).await {
        Ok(Admittance { registration, conversation, judge }) => {
            let Dialogue { mut stream, mut decoder, unread, .. } = dialogue;
            decoder.set_max_packet_size(door.max_packet_size);
            let (hub, sides) = (Arc::clone(&door.hub), stream.take_sides());
            let link = Link::new(stream, hub, registration, conversation, decoder, unread)
                .patient_for(door.packet_timeout)
                .with_sides(sides);
            Some(Box::new(Greeting { link, judge }))
        }
        Err(Dismissal { code, after }) => {
            // Without a code there is nobody left to tell.
            if let Some(code) = code
                && door.sentry.keep_back(after).await
            {
                refuse(dialogue.stream, connect.version, code).await;
            }
            None
        }
    }
}

/// A place among those that make their handshake, as soon as one is free.
async fn place(door: &Door, until: Instant) -> Option<SemaphorePermit<'_>> {
    if let Ok(place) = door.handshakes.try_acquire() {
        return Some(place);
    }
    door.sentry.crowded.increment();
    tokio::time::timeout_at(until, door.handshakes.acquire()).await.ok()?.ok()
}

/// From a socket to a stream whose peer is known, and counted where it comes from.
async fn arrive(
    door: &Door,
    mut incoming: Incoming,
    visit: &mut Visit,
    until: Instant,
) -> Option<Connection> {
    if door.hub.memory() == Memory::Full {
        let why = "the memory that the gateway may use is used up";
        door.reporter.turned_away(&door.name, &incoming.peer, why);
        incoming.turn_away();
        return None;
    }
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
    let announced = match incoming.origin() {
        // It is shown by the handshake.
        Origin::Claimed(_) => Ok(()),
        Origin::Shown(address) if visit.is_unknown() => visit.show(Some(address)),
        _ if visit.is_unknown() => visit.show(None),
        _ => Ok(()),
    };
    if let Err(refusal) = announced {
        door.reporter.kept_out(&door.name, &address, &refusal);
        incoming.turn_away();
        return None;
    }
    let Ok(established) = tokio::time::timeout_at(until, incoming.establish()).await else {
        visit.stalled();
        turned_away("the handshake was not over within connect-timeout");
        return None;
    };
    let error = match established {
        Err(error) => error,
        // Whoever has got so far gets packets at its address.
        Ok(connection) if visit.is_unknown() => match visit.show(address.ip()) {
            Ok(()) => return Some(connection),
            Err(refusal) => {
                door.reporter.kept_out(&door.name, &address, &refusal);
                return None;
            }
        },
        Ok(connection) => return Some(connection),
    };
    if let ArrivalError::Handshake(HandshakeError::ClientCertificate(_)) = error {
        // It has had its answer, by TLS.
        visit.failed(None, "");
    }
    turned_away(&error.to_string());
    None
}

/// Says what is to be said to a client whose first packet is no CONNECT that can be read.
async fn answer_to_no_connect(
    mut stream: Stream,
    missing: NoPacket,
    limit: u32,
    mut bytes: Vec<u8>,
) {
    let NoPacket::Broken(error) = missing else { return };
    if let DecodeError::PacketTooLarge { .. } = error {
        // It is refused by its length, and whether it is MQTT 5, which is to be told, comes behind that.
        let head = receive(&mut stream, limit, CONNECT_HEAD, &mut bytes);
        let _ = tokio::time::timeout(FAREWELL, head).await;
    }
    if let Some((version, code)) = broker::answer_to_broken_connect(&bytes, &error) {
        refuse(stream, version, code).await;
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
